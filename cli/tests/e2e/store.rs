//! A damaged store, and the way back that the refusal names.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::Command;

use crate::harness::{Platform, cfx_binary, text};

/// One byte in each so many is flipped, so that one hits a record and not only what is unused.
const FLIP_STEP: usize = 512;

pub fn damaged_and_restored() {
    let mut platform = Platform::start(1);
    let home = platform.space("vault");
    platform.push_probe(&home, "vault", &[]);
    platform.wait_for_app("vault");
    let apps = app_names(&platform, &home);
    let data = platform.path("data").display().to_string();
    let backup = platform.path("vault.backup").display().to_string();

    let running = platform.cfx(&["store", "backup", &backup, "--data", &data]);
    assert!(!running.status.success(), "the platform runs");
    assert!(text(&running).contains("in use"), "{}", text(&running));

    platform.stop();
    let made = platform.ok_at(
        "home",
        &["store", "backup", &backup, "--data", &data, "--json"],
    );
    let made: serde_json::Value = serde_json::from_str(&made).expect("JSON");
    assert!(made["keys"].as_u64() > Some(0), "{made}");

    flip(&platform.path("data/controller/store/data/db"));
    let refused = platform.cfx(&["up", "--data", &data]);
    assert!(!refused.status.success(), "a damaged store is not served");
    let said = text(&refused);
    let command = said
        .split('`')
        .find(|part| part.starts_with("cfx store restore FILE"))
        .unwrap_or_else(|| panic!("no command is named:\n{said}"));

    // As an operator would: typed as it stands, with the file's name for FILE.
    let typed = command
        .replace("FILE", &backup)
        .replacen("cfx", cfx_binary(), 1);
    let restored = Command::new("sh").args(["-c", &typed]).output();
    let restored = restored.expect("a shell");
    assert!(restored.status.success(), "{typed}: {}", text(&restored));
    assert!(
        platform.path("data/controller/store.replaced-1").exists(),
        "the damaged store is kept"
    );

    platform.up();
    assert_eq!(app_names(&platform, &home), apps);
    platform.wait_for_app("vault");
}

fn app_names(platform: &Platform, home: &str) -> Vec<String> {
    let apps = platform.ok_at(home, &["apps", "--no-stats", "--json"]);
    let apps: serde_json::Value = serde_json::from_str(&apps).expect("JSON");
    let apps = apps.as_array().expect("a list");
    let names = apps.iter().map(|app| app["name"].as_str().expect("a name"));
    let names: Vec<_> = names.map(str::to_owned).collect();
    assert!(!names.is_empty());
    names
}

fn flip(path: &Path) {
    let length = fs::metadata(path).expect("a store").len();
    let file = File::options().read(true).write(true).open(path);
    let file = file.expect("opened");
    for offset in (0..length).step_by(FLIP_STEP) {
        let mut byte = [0];
        file.read_exact_at(&mut byte, offset).expect("read");
        byte[0] ^= 0x10;
        file.write_all_at(&byte, offset).expect("written");
    }
}
