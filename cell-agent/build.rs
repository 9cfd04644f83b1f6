//! Builds the programs that the agent carries, the launcher and the keeper, static and small, and
//! leaves them where `src/carried.rs` embeds them.
//!
//! Cargo cannot yet depend on another crate's binary, so this runs a cargo of its own, with its
//! own target directory (the outer one is locked) and without the outer build's flags.

use std::ffi::OsString;
use std::io::{Error, Result, Write};
use std::path::{Path, PathBuf};
use std::process::Command;

/// Settings of the outer build that would reach the inner one and break or bloat it.
const NOT_INHERITED: [&str; 8] = [
    "CARGO_ENCODED_RUSTFLAGS",
    "RUSTC_WORKSPACE_WRAPPER",
    "RUSTC_WRAPPER",
    "CARGO_MAKEFLAGS",
    "MAKEFLAGS",
    "CARGO_BUILD_TARGET",
    "CARGO_TARGET_DIR",
    "CLIPPY_ARGS",
];

/// Their packages and binaries.
const PROGRAMS: [(&str, &str); 2] = [
    ("cfx-launcher", "cfx-launcher"),
    ("cfx-sandbox", "cfx-keeper"),
];

/// The launcher is mapped into every instance, and the keeper cloned for each: smallest wins over
/// fastest.
const PROFILE: [(&str, &str); 6] = [
    ("CARGO_PROFILE_RELEASE_OPT_LEVEL", "s"),
    ("CARGO_PROFILE_RELEASE_PANIC", "abort"),
    ("CARGO_PROFILE_RELEASE_LTO", "fat"),
    ("CARGO_PROFILE_RELEASE_CODEGEN_UNITS", "1"),
    ("CARGO_PROFILE_RELEASE_STRIP", "symbols"),
    ("CARGO_PROFILE_RELEASE_DEBUG", "0"),
];

fn main() -> Result<()> {
    let manifest = PathBuf::from(variable("CARGO_MANIFEST_DIR")?);
    let out = PathBuf::from(variable("OUT_DIR")?);
    let target = variable("TARGET")?;
    let target = target
        .to_str()
        .ok_or_else(|| Error::other("TARGET is not text"))?;
    let mut stdout = std::io::stdout();
    writeln!(stdout, "cargo::rerun-if-changed=build.rs")?;
    for folder in ["launcher", "sandbox"] {
        writeln!(stdout, "cargo::rerun-if-changed={folder}/src")?;
        writeln!(stdout, "cargo::rerun-if-changed={folder}/Cargo.toml")?;
    }
    let target_dir = out.join("launcher-target");
    build(&manifest, &target_dir, target)?;
    for (_, program) in PROGRAMS {
        let built = target_dir.join(target).join("release").join(program);
        std::fs::copy(built, out.join(program))?;
    }
    Ok(())
}

fn build(manifest: &Path, target_dir: &Path, target: &str) -> Result<()> {
    let mut cargo = Command::new(variable("CARGO")?);
    cargo
        .current_dir(manifest)
        .args(["build", "--release", "--locked", "--target", target])
        .args(PROGRAMS.iter().flat_map(|(package, _)| ["-p", package]))
        .args(PROGRAMS.iter().flat_map(|(_, program)| ["--bin", program]))
        .arg("--target-dir")
        .arg(target_dir)
        .env("RUSTFLAGS", "-C target-feature=+crt-static")
        .envs(PROFILE);
    for name in NOT_INHERITED {
        cargo.env_remove(name);
    }
    let output = cargo.output()?;
    if output.status.success() {
        return Ok(());
    }
    let told = String::from_utf8_lossy(&output.stderr);
    Err(Error::other(format!(
        "launcher and keeper do not build:\n{told}"
    )))
}

fn variable(name: &str) -> Result<OsString> {
    std::env::var_os(name).ok_or_else(|| Error::other(format!("cargo did not set {name}")))
}
