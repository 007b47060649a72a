//! Arguments in, exit code out.

fn main() -> std::process::ExitCode {
    nopong::cli::main()
}
