//! An app's life, from source to the end.

use std::time::Duration;

use crate::harness::{Platform, free_port, probe_image, text, wait};

pub fn pushed_routed_logged_and_scaled(platform: &Platform) {
    let home = platform.space("life");
    let pushed = platform.push_probe(&home, "life", &[]);
    assert!(
        pushed.contains(&format!("life.{}:{}", platform.domain, platform.http)),
        "push ends with the URL:\n{pushed}"
    );
    let answer = platform.wait_for_app("life");
    assert!(answer.body.starts_with("instance 0"), "{}", answer.body);
    assert!(
        answer.header("x-vcap-request-id").is_some(),
        "{:?}",
        answer.headers
    );

    platform.ok_at(&home, &["scale", "life", "-i", "4"]);
    let seen = wait(Duration::from_secs(60), || {
        let bodies: std::collections::BTreeSet<_> = (0..40)
            .filter_map(|_| platform.get("life", "/").ok())
            .filter(|a| a.status == 200)
            .map(|a| a.body)
            .collect();
        (bodies.len() == 4).then_some(bodies)
    });
    assert!(
        seen.is_some(),
        "four instances answer:\n{}",
        platform.ok_at(&home, &["app", "life"])
    );

    platform.get("life", "/log").expect("answers");
    let logged = wait(Duration::from_secs(15), || {
        let logs = platform.ok_at(&home, &["logs", "life", "--recent"]);
        (logs.contains("asked to log on stdout")
            && logs.contains("asked to log on stderr")
            && logs.contains("RTR"))
        .then_some(())
    });
    assert!(
        logged.is_some(),
        "stdout, stderr and the access log are there:\n{}",
        platform.ok_at(&home, &["logs", "life", "--recent"])
    );

    let usage = wait(Duration::from_secs(15), || {
        let app = platform.ok_at(&home, &["app", "life"]);
        let line = app.lines().find(|line| line.starts_with("#0"))?.to_owned();
        (line.contains("running") && !line.contains(" 0B of ") && !line.contains(" 0 of "))
            .then_some(line)
    });
    assert!(
        usage.is_some(),
        "usage is above zero:\n{}",
        platform.ok_at(&home, &["app", "life"])
    );

    platform.ok_at(&home, &["delete", "life", "-f", "-r"]);
    let gone = wait(Duration::from_secs(30), || {
        platform.get("life", "/").ok().filter(|a| a.status == 404)
    });
    assert_eq!(
        gone.expect("unknown").header("x-cf-routererror"),
        Some("unknown_route")
    );
}

pub fn sees_its_environment(platform: &Platform) {
    let home = platform.space("envs");
    platform.push_probe(&home, "envs", &["--no-start"]);
    platform.ok_at(&home, &["set-env", "envs", "GREETING", "hello \"you\""]);
    platform.ok_at(&home, &["start", "envs"]);
    platform.wait_for_app("envs");
    let body = platform.get("envs", "/env").expect("answers").body;
    let env: serde_json::Value = serde_json::from_str(&body).expect("JSON");
    let value = |name: &str| {
        env[name]
            .as_str()
            .unwrap_or_else(|| panic!("{name} is missing in {body}"))
            .to_owned()
    };
    assert_eq!(value("GREETING"), "hello \"you\"");
    assert_eq!(value("PORT"), "8080");
    assert_eq!(value("HOME"), "/home/vcap/app");
    assert_eq!(value("USER"), "vcap");
    assert_eq!(value("CF_INSTANCE_INDEX"), "0");
    assert_eq!(value("MEMORY_LIMIT"), "64m");
    assert_eq!(value("VCAP_SERVICES"), "{}");
    let application: serde_json::Value =
        serde_json::from_str(&value("VCAP_APPLICATION")).expect("JSON");
    assert_eq!(application["application_name"], "envs");
    assert_eq!(application["space_name"], "work");
    assert_eq!(application["limits"]["mem"], 64);
    assert_eq!(
        application["instance_id"],
        value("CF_INSTANCE_GUID").as_str()
    );
    assert_eq!(application["port"], 8080);
    assert_eq!(
        platform.get("envs", "/write").expect("answers").body,
        "written"
    );
    let headers = platform
        .get("envs", "/headers")
        .expect("answers")
        .body
        .to_lowercase();
    for header in [
        "x-forwarded-for",
        "x-forwarded-proto",
        "x-vcap-request-id",
        "x-cf-applicationid",
        "x-request-start",
    ] {
        assert!(headers.contains(header), "{header} is missing in {headers}");
    }
}

pub fn stops_and_comes_back(platform: &Platform) {
    let home = platform.space("stop");
    platform.push_probe(&home, "stopper", &[]);
    platform.wait_for_app("stopper");
    platform.ok_at(&home, &["stop", "stopper"]);
    let gone = wait(Duration::from_secs(30), || {
        platform
            .get("stopper", "/")
            .ok()
            .filter(|a| a.status == 404)
    });
    assert_eq!(
        gone.expect("unknown").header("x-cf-routererror"),
        Some("unknown_route")
    );
    platform.ok_at(&home, &["start", "stopper"]);
    platform.wait_for_app("stopper");
    platform.ok_at(&home, &["restart", "stopper"]);
    platform.wait_for_app("stopper");
    platform.ok_at(&home, &["restage", "stopper"]);
    platform.wait_for_app("stopper");
}

pub fn docker_image_runs(platform: &Platform) {
    let image = probe_image(&platform.path("image"));
    let home = platform.space("image");
    platform.ok_at(
        &home,
        &[
            "push",
            "imaged",
            "--docker-image",
            image,
            "-m",
            "32M",
            "-k",
            "64M",
        ],
    );
    assert_eq!(
        platform.wait_for_app("imaged").body.trim(),
        "from-the-image"
    );
    platform.ok_at(&home, &["delete", "imaged", "-f", "-r"]);
}

pub fn one_instance_is_restarted_alone(platform: &Platform) {
    let home = platform.space("single");
    platform.push_probe(&home, "single", &["-i", "2"]);
    let guids = || {
        let bodies: std::collections::BTreeMap<String, String> = (0..20)
            .filter_map(|_| platform.get("single", "/").ok())
            .filter(|a| a.status == 200)
            .filter_map(|a| {
                a.body
                    .strip_prefix("instance ")
                    .and_then(|b| b.split_once(" guid "))
                    .map(|(i, g)| (i.to_owned(), g.to_owned()))
            })
            .collect();
        (bodies.len() == 2).then_some(bodies)
    };
    let before = wait(Duration::from_secs(60), guids).expect("two instances answer");
    platform.ok_at(&home, &["restart-app-instance", "single", "1"]);
    let after = wait(Duration::from_secs(60), || {
        guids().filter(|now| now["1"] != before["1"])
    })
    .expect("instance 1 is new");
    assert_eq!(after["0"], before["0"], "instance 0 was left alone");
}

pub fn apps_reach_each_other(platform: &Platform) {
    let home = platform.space("talk");
    platform.push_probe(&home, "callee", &[]);
    platform.ok_at(
        &home,
        &[
            "map-route",
            "callee",
            "apps.internal",
            "--hostname",
            "callee",
        ],
    );
    let caller = platform.path("caller-src");
    std::fs::create_dir_all(&caller).expect("a folder");
    let code = format!(
        "import os, urllib.request\nfrom http.server import BaseHTTPRequestHandler, HTTPServer\n\
         class H(BaseHTTPRequestHandler):\n    def do_GET(self):\n        host = self.path.strip('/') or 'callee.apps.internal'\n        \
         try:\n            body = b'ok' if self.path == '/' else urllib.request.urlopen('http://%s:{}/' % host, timeout=5).read()\n        \
         except Exception as error:\n            body = repr(error).encode()\n        \
         self.send_response(200); self.send_header('Content-Length', str(len(body))); self.end_headers(); self.wfile.write(body)\n\
         HTTPServer(('0.0.0.0', int(os.environ['PORT'])), H).serve_forever()\n",
        platform.http
    );
    std::fs::write(caller.join("caller.py"), code).expect("written");
    std::fs::write(caller.join("Procfile"), "web: python3 caller.py\n").expect("written");
    platform.ok_at(
        &home,
        &[
            "push",
            "caller",
            "-p",
            &caller.display().to_string(),
            "-b",
            "procfile_buildpack",
            "-m",
            "64M",
            "-k",
            "128M",
        ],
    );
    platform.wait_for_app("caller");
    let public = format!("/callee.{}", platform.domain);
    for path in ["/callee.apps.internal", public.as_str()] {
        let mut last = String::new();
        let reached = wait(Duration::from_secs(15), || {
            last = platform.get("caller", path).ok()?.body;
            last.starts_with("instance 0").then_some(())
        });
        assert!(reached.is_some(), "{path} answered {last}");
    }
    let outside =
        crate::curl::get(platform.http, "callee.apps.internal", "/", &[]).expect("answers");
    assert_eq!(outside.status, 404, "an internal route is unknown outside");
}

pub fn why_explains(platform: &Platform) {
    let home = platform.space("why");
    platform.push_probe(&home, "giant", &[]);
    platform.wait_for_app("giant");
    let here = platform.ok_at(&home, &["why", "giant/0"]);
    assert!(here.contains("cell"), "{here}");
    platform.cfx_at(&home, &["scale", "giant", "-m", "900000M", "-f"]);
    let mut last = String::new();
    let told = wait(Duration::from_secs(30), || {
        last = platform.ok_at(&home, &["app", "giant"]);
        (last.contains("insufficient resources: memory") && last.contains("0/1")).then_some(())
    });
    assert!(told.is_some(), "{last}");
    let nowhere = platform.ok_at(&home, &["why", "giant/0"]);
    assert!(nowhere.contains("memory"), "{nowhere}");
    platform.ok_at(&home, &["delete", "giant", "-f", "-r"]);
}

pub fn second_start_in_use() {
    let platform = Platform::start(1);
    let data = platform.path("data").display().to_string();
    let ports = [(); 3].map(|()| free_port().to_string());
    let arguments = [
        "up",
        "--data",
        &data,
        "--api-port",
        &ports[0],
        "--http-port",
        &ports[1],
        "--https-port",
        &ports[2],
    ];
    let second = platform.cfx(&arguments);
    assert!(!second.status.success(), "it must refuse");
    assert!(text(&second).contains("in use"), "{}", text(&second));
}

pub fn clean_stop_and_return() {
    let mut platform = Platform::start(2);
    let home = platform.space("back");
    platform.push_probe(&home, "back", &["-i", "3"]);
    platform.wait_for_app("back");
    platform.stop();
    assert_eq!(
        platform.containers(),
        Vec::<String>::new(),
        "containers were left"
    );
    platform.up();
    platform.wait_for_app("back");
    let all = wait(Duration::from_secs(60), || {
        let app = platform.ok_at(&home, &["app", "back"]);
        (app.matches(" running ").count() >= 3).then_some(())
    });
    assert!(all.is_some(), "{}", platform.ok_at(&home, &["app", "back"]));
}
