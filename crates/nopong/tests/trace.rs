//! `--trace` puts a table of its own into the kernel: it must be gone with the process, however that ends.
//!
//! Needs root, nft and a kernel with tables that have an owner (Linux 5.12); elsewhere it says so and passes.
#![expect(clippy::disallowed_methods, reason = "a test starts programs")]

use std::process::Command;

/// A namespace of its own, one rule that drops, and nopong killed as soon as its table is seen.
const SCRIPT: &str = r#"
ip link set lo up
ip address add 10.5.0.1/32 dev lo
nft add table inet fw
nft add chain inet fw in '{ type filter hook input priority 0; }'
nft add rule inet fw in tcp dport 6379 drop
seen=0
for attempt in $(seq 1 60); do
    "$1" redis://10.5.0.1:6379 --trace --timeout 20ms >/dev/null 2>&1 &
    pid=$!
    while kill -0 $pid 2>/dev/null; do
        if nft list tables | grep -q nopong-; then seen=$((seen+1)); break; fi
    done
    kill -9 $pid 2>/dev/null
    wait $pid 2>/dev/null
    if nft list tables | grep nopong-; then exit 9; fi
    [ $seen -ge 3 ] && break
done
echo "killed $seen times"
"$1" redis://10.5.0.1:6379 --trace --timeout 20ms --format json
nft list tables | grep nopong- && exit 9
exit 0
"#;

#[test]
fn a_killed_trace_leaves_no_table() {
    let able = Command::new("unshare").args(["-n", "nft", "list", "ruleset"]).output();
    if !able.is_ok_and(|o| o.status.success()) {
        println!("skipped: no namespace with nft to be had");
        return;
    }
    let run = Command::new("unshare")
        .args(["-n", "bash", "-c", SCRIPT, "bash", env!("CARGO_BIN_EXE_nopong")])
        .output()
        .expect("unshare");
    let said = String::from_utf8_lossy(&run.stdout);
    assert!(run.status.success(), "a table was left: {said}");
    assert!(said.contains("killed "), "{said}");
    if said.contains("Linux 5.12") {
        println!("skipped: {said}");
        return;
    }
    assert!(said.contains("the kernel's own trace of a SYN ends there"), "{said}");
}
