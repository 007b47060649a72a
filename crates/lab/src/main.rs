//! Command line of the lab. Usage is in `docs/lab.md`.

fn main() -> std::process::ExitCode {
    lab::cli::main()
}
