//! Every scenario, as `cargo test -p lab` runs it. Skipped, with the reason, where the lab cannot
//! run; a failure there with `LAB=require`; left out with `LAB=skip`.

use std::process::Command;

#[test]
fn nopong_names_every_fault() {
    if std::env::var("LAB").is_ok_and(|v| v == "skip") {
        return;
    }
    let lab = env!("CARGO_BIN_EXE_lab");
    let mut command = Command::new(lab);
    command.arg("run");
    if lab::cli::nopong().is_none() {
        let built = Command::new(env!("CARGO")).args(["build", "-p", "nopong"]).status().unwrap();
        assert!(built.success(), "nopong does not build");
    }
    assert!(command.status().unwrap().success(), "the lab's table above says what differs");
}
