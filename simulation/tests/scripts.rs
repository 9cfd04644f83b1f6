//! The parts that are not Rust have tests of their own; here they run with the others.

use std::path::Path;
use std::process::Command;

fn run(script: &str) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let output = Command::new("bash")
        .arg(script)
        .current_dir(root)
        .output()
        .expect("bash runs");
    let said = [output.stdout, output.stderr].concat();
    assert!(
        output.status.success(),
        "{script} failed:\n{}",
        String::from_utf8_lossy(&said)
    );
}

#[test]
fn the_system_buildpacks_do_what_their_interface_promises() {
    run("cell-agent/buildpacks/tests.sh");
}

#[test]
fn the_flash_sale_never_oversells() {
    run("sample-apps/flash-sale/tests/run");
}
