//! Input that nobody should send: the right 4xx, a message that says what to do, nothing left.

use crate::curl::{self, exchange};
use crate::harness::{PASSWORD, Platform, probe_app, text};

pub fn manifests(platform: &Platform) {
    let home = platform.space("bad");
    let source = probe_app(&platform.path("bad-src"), "bad", "well");
    let mut bomb = String::from("a0: &a0 [x,x,x,x,x,x,x,x,x]\n");
    for level in 1..12 {
        let alias = vec![format!("*a{}", level - 1); 9].join(",");
        bomb.push_str(&format!("a{level}: &a{level} [{alias}]\n"));
    }
    bomb.push_str("applications:\n- name: bad\n");
    let cases = [
        (
            "not yaml",
            "applications:\n- name: [unclosed\n".to_owned(),
            "not yaml",
        ),
        ("an alias bomb", bomb, "alias"),
        (
            "an unknown key",
            "applications:\n- name: bad\n  memry: 64M\n".to_owned(),
            "memry",
        ),
        (
            "an absurd number",
            "applications:\n- name: bad\n  instances: 99999999999999999999\n".to_owned(),
            "instances",
        ),
        (
            "a wrong amount",
            "applications:\n- name: bad\n  memory: lots\n".to_owned(),
            "memory",
        ),
        ("no applications", "apps: []\n".to_owned(), "applications"),
    ];
    for (what, manifest, says) in cases {
        let file = platform.path("bad.yml");
        std::fs::write(&file, manifest).expect("written");
        let pushed = platform.cfx_at(
            &home,
            &["push", "-f", &file.display().to_string(), "-p", &source],
        );
        let said = text(&pushed);
        assert_eq!(pushed.status.code(), Some(1), "{what}: {said}");
        assert!(
            said.to_lowercase().contains(says),
            "{what} must name {says}: {said}"
        );
        assert!(!said.contains("panicked"), "{what}: {said}");
    }
    let apps = platform.ok_at(&home, &["apps", "--json"]);
    assert!(!apps.contains("\"bad\""), "no trace is left: {apps}");
}

fn token(platform: &Platform) -> String {
    let form = format!("grant_type=password&username=admin&password={PASSWORD}");
    let headers = [
        ("Content-Type", "application/x-www-form-urlencoded"),
        ("Authorization", "Basic Y2Y6"),
        ("Accept", "application/json"),
    ];
    let answer = curl::request(
        platform.api,
        "POST",
        "localhost",
        "/uaa/oauth/token",
        &headers,
        form.as_bytes(),
    )
    .expect("answers");
    let body: serde_json::Value = serde_json::from_str(&answer.body).expect("JSON");
    body["access_token"]
        .as_str()
        .unwrap_or_else(|| panic!("no token in {}", answer.body))
        .to_owned()
}

pub fn api(platform: &Platform) {
    let bearer = format!("bearer {}", token(platform));
    let send = |method: &str, path: &str, kind: &str, body: &[u8]| {
        let headers = [("Authorization", bearer.as_str()), ("Content-Type", kind)];
        curl::request(platform.api, method, "localhost", path, &headers, body).expect("answers")
    };
    let json = "application/json";
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    let cases: Vec<(&str, u16, curl::Answer)> = vec![
        (
            "broken JSON",
            400,
            send("POST", "/v3/organizations", json, b"{\"name\":"),
        ),
        (
            "a wrong type",
            422,
            send("POST", "/v3/organizations", json, b"{\"name\": 7}"),
        ),
        (
            "deep JSON",
            422,
            send("POST", "/v3/organizations", json, deep.as_bytes()),
        ),
        (
            "an unknown path",
            404,
            send("GET", "/v3/nothing", json, b""),
        ),
        (
            "a foreign guid",
            404,
            send(
                "GET",
                "/v3/apps/6f1f33a4-5a04-4d9c-b9b2-b6a3a7c0a001",
                json,
                b"",
            ),
        ),
        (
            "no guid",
            404,
            send("GET", "/v3/apps/..%2F..%2Fetc%2Fpasswd", json, b""),
        ),
        (
            "an absurd page",
            400,
            send("GET", "/v3/apps?per_page=99999999999999999999", json, b""),
        ),
        (
            "a negative page",
            400,
            send("GET", "/v3/apps?page=-1", json, b""),
        ),
    ];
    for (what, status, answer) in cases {
        assert_eq!(answer.status, status, "{what}: {}", answer.body);
        let errors: serde_json::Value = serde_json::from_str(&answer.body)
            .unwrap_or_else(|_| panic!("{what}: {}", answer.body));
        assert!(
            errors["errors"][0]["detail"]
                .as_str()
                .is_some_and(|d| d.len() > 5),
            "{what}: {}",
            answer.body
        );
    }
    let stranger = curl::get(platform.api, "localhost", "/v3/apps", &[]).expect("answers");
    assert_eq!(stranger.status, 401, "{}", stranger.body);
    let forged = curl::get(
        platform.api,
        "localhost",
        "/v3/apps",
        &[("Authorization", "bearer eyJhbGciOiJub25lIn0.e30.")],
    )
    .expect("answers");
    assert_eq!(forged.status, 401, "{}", forged.body);
    assert!(!platform.log().contains("panicked"), "nothing panicked");
}

pub fn router(platform: &Platform) {
    let status = |bytes: &[u8]| {
        let answer = exchange(platform.http, bytes).unwrap_or_default();
        let line = String::from_utf8_lossy(&answer)
            .lines()
            .next()
            .unwrap_or_default()
            .to_owned();
        line.split(' ').nth(1).unwrap_or("closed").to_owned()
    };
    let mut huge = b"GET / HTTP/1.1\r\nHost: x.apps.localhost\r\nX-Huge: ".to_vec();
    huge.extend(std::iter::repeat_n(b'a', 10 * 1024 * 1024));
    huge.extend_from_slice(b"\r\n\r\n");
    let refused = status(&huge);
    assert!(
        refused == "431" || refused == "closed",
        "a 10 MB header: {refused}"
    );
    assert_eq!(status(b"GET / HTTP/1.1\r\n\r\n"), "400", "no Host");
    assert_eq!(
        status(b"GET / HTTP/1.1\r\nHost: a.apps.localhost\r\nHost: b.apps.localhost\r\n\r\n"),
        "400",
        "two Hosts"
    );
    assert_eq!(
        status(b"\x16\x03\x01\x02\x00\x01\x00"),
        "400",
        "TLS on the plain port"
    );
    let unknown = curl::get(platform.http, "nobody.apps.localhost", "/", &[]).expect("answers");
    assert_eq!(
        (unknown.status, unknown.header("x-cf-routererror")),
        (404, Some("unknown_route"))
    );
    assert!(
        unknown
            .body
            .contains("Requested route ('nobody.apps.localhost') does not exist."),
        "{}",
        unknown.body
    );
}
