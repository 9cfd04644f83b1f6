//! What one may not see answers exactly like what does not exist.

use crate::harness::{PASSWORD, Platform, text};

pub fn foreign_resources_do_not_exist(platform: &Platform) {
    let admin = platform.space("private");
    let source = platform.path("private-src");
    std::fs::create_dir_all(&source).expect("a folder");
    std::fs::write(source.join("Procfile"), "web: sleep 1000\n").expect("written");
    platform.ok_at(
        &admin,
        &[
            "push",
            "secret",
            "-p",
            &source.display().to_string(),
            "-b",
            "procfile_buildpack",
            "--no-start",
            "--no-route",
            "-m",
            "64M",
        ],
    );
    let guid = platform
        .ok_at(&admin, &["app", "secret", "--guid"])
        .trim()
        .to_owned();

    // A user with no role anywhere, made through the API as an administrator would.
    let user = r#"{"userName":"stranger","password":"strange-password","emails":[{"value":"s@example.com","primary":true}],"name":{"familyName":"S","givenName":"S"}}"#;
    platform.ok_at(&admin, &["curl", "-X", "POST", "/uaa/Users", "-d", user]);
    let stranger = "home-stranger";
    platform.ok_at(
        stranger,
        &["api", &format!("http://127.0.0.1:{}", platform.api)],
    );
    platform.ok_at(
        stranger,
        &["login", "-u", "stranger", "-p", "strange-password"],
    );

    let look = |guid: &str| {
        let answer = platform.cfx_at(stranger, &["curl", &format!("/v3/apps/{guid}")]);
        text(&answer)
    };
    let hidden = look(&guid);
    let absent = look("6f1f33a4-5a04-4d9c-b9b2-b6a3a7c0a001");
    assert!(hidden.contains("App not found"), "{hidden}");
    assert_eq!(hidden, absent, "hidden and absent answer the same");
    let listed = platform.ok_at(stranger, &["curl", "/v3/apps"]);
    assert!(!listed.contains(&guid), "{listed}");
    let made = platform.cfx_at(stranger, &["create-org", "mine"]);
    assert!(
        !made.status.success(),
        "a user without a role makes no organisation: {}",
        text(&made)
    );
    let wrong = platform.cfx_at(
        "home-wrong",
        &["api", &format!("http://127.0.0.1:{}", platform.api)],
    );
    assert!(wrong.status.success());
    let refused = platform.cfx_at(
        "home-wrong",
        &["login", "-u", "admin", "-p", &format!("{PASSWORD}!")],
    );
    assert_eq!(refused.status.code(), Some(1), "{}", text(&refused));
}
