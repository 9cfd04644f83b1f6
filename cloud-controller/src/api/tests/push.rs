//! `cf push` and what follows it, request by request as the stock CLI sends them, with every
//! field checked that it reads. The cell is played by the test.

use std::io::{Cursor, Write};

use axum::body::Body;
use cfx_protocol::actual::StagedDroplet;
use cfx_protocol::id::{AppGuid, BuildGuid};
use cfx_protocol::telemetry::{LogEnvelope, Stream};
use http::{Method, Request};
use serde_json::{Value, json};
use sha1::Digest;
use zip::ZipWriter;
use zip::write::SimpleFileOptions;

use super::harness::{Harness, ORIGIN, Reply};
use crate::actions::build;
use crate::state::app::App;
use crate::state::build::Build;
use crate::state::droplet::Droplet;
use crate::state::package::{BlobFacts, Package};
use crate::state::process::Process;
use crate::state::route::Route;

const BOUNDARY: &str = "xxBOUNDARYxx";

/// A platform with a space to push to.
pub(super) struct Target {
    pub(super) harness: Harness,
    pub(super) token: String,
    pub(super) space: String,
    pub(super) organization: String,
}

impl Target {
    pub(super) async fn new() -> Self {
        let harness = Harness::new().await;
        let token = harness.admin_token().await;
        let organization = harness
            .post("/v3/organizations", &token, json!({"name": "dev"}))
            .await
            .guid();
        let new = json!({
            "name": "space",
            "relationships": {"organization": {"data": {"guid": organization}}},
        });
        let space = harness.post("/v3/spaces", &token, new).await.guid();
        Self {
            harness,
            token,
            space,
            organization,
        }
    }

    pub(super) async fn get(&self, path: &str) -> Value {
        let reply = self.harness.get(path, &self.token).await;
        assert_eq!(reply.status, 200, "{path}: {reply:?}");
        reply.json()
    }

    pub(super) async fn send(&self, method: Method, path: &str, body: Value) -> Reply {
        let body = if body.is_null() {
            String::new()
        } else {
            body.to_string()
        };
        self.harness
            .send(method, path, Some(&self.token), &body)
            .await
    }

    /// The job that an answer leads to is done.
    pub(super) async fn done(&self, reply: &Reply) {
        assert_eq!(reply.status, 202, "{reply:?}");
        let path = reply.headers["location"].trim_start_matches(ORIGIN);
        let job = self.get(path).await;
        assert_eq!(job["state"], "COMPLETE", "{job}");
        assert_eq!(job["errors"], json!([]));
        assert_eq!(job["warnings"], json!([]));
    }

    /// `POST .../apply_manifest`, as push begins.
    pub(super) async fn apply(&self, manifest: &str) -> Reply {
        let path = format!("/v3/spaces/{}/actions/apply_manifest", self.space);
        let request = Request::builder()
            .method(Method::POST)
            .uri(path)
            .header("host", "api.test:8880")
            .header("content-type", "application/x-yaml")
            .header("authorization", format!("bearer {}", self.token))
            .body(Body::from(manifest.to_owned()))
            .expect("a request");
        self.harness.request(request).await
    }

    pub(super) async fn app(&self, name: &str) -> Value {
        let path = format!("/v3/apps?names={name}&space_guids={}", self.space);
        self.get(&path).await["resources"][0].clone()
    }

    async fn new_package(&self, app: &str) -> String {
        let new = json!({"type": "bits", "relationships": {"app": {"data": {"guid": app}}}});
        let package = self.send(Method::POST, "/v3/packages", new).await;
        assert_eq!(package.status, 201, "{package:?}");
        assert_eq!(package.json()["state"], "AWAITING_UPLOAD");
        package.guid()
    }

    async fn upload(&self, package: &str, resources: &str, bits: Option<&[u8]>) -> Reply {
        let request = Request::builder()
            .method(Method::POST)
            .uri(format!("/v3/packages/{package}/upload"))
            .header("host", "api.test:8880")
            .header(
                "content-type",
                format!("multipart/form-data; boundary={BOUNDARY}"),
            )
            .header("authorization", format!("bearer {}", self.token))
            .body(Body::from(multipart(resources, bits)))
            .expect("a request");
        self.harness.request(request).await
    }

    /// The cell has staged a build.
    async fn stage(&self, build: &str, types: &[(&str, &str)]) {
        let guid: BuildGuid = build.parse().expect("a guid");
        let kept = self.harness.context.blobs.keep_bytes(b"a droplet");
        let facts = kept.expect("keeps");
        let types = types.iter();
        let staged = StagedDroplet {
            sha256: facts.sha256.clone(),
            size_bytes: facts.size_bytes,
            detected_buildpack: "System".to_owned(),
            buildpacks: vec!["system_buildpack".to_owned()],
            process_types: types
                .map(|(name, it)| ((*name).to_owned(), (*it).to_owned()))
                .collect(),
            cache: None,
        };
        self.harness
            .write(|draft, act| {
                build::droplet_uploaded(draft, guid, facts);
                build::finish_staging(draft, act, guid, &Ok(staged));
            })
            .await;
    }

    /// From a manifest to an app that is started.
    pub(super) async fn push(&self, name: &str) -> String {
        let manifest = format!("applications: [{{name: {name}, default-route: true}}]");
        self.done(&self.apply(&manifest).await).await;
        let app = self.app(name).await["guid"]
            .as_str()
            .expect("guid")
            .to_owned();
        let package = self.new_package(&app).await;
        self.upload(&package, "[]", Some(&zip_of("app", b"x")))
            .await;
        let new = json!({"package": {"guid": package}});
        let build = self.send(Method::POST, "/v3/builds", new).await.guid();
        self.stage(&build, &[("web", "./serve"), ("worker", "./work")])
            .await;
        let staged = self.get(&format!("/v3/builds/{build}")).await;
        let droplet = json!({"data": staged["droplet"]});
        let path = format!("/v3/apps/{app}/relationships/current_droplet");
        assert_eq!(self.send(Method::PATCH, &path, droplet).await.status, 200);
        let path = format!("/v3/apps/{app}/actions/restart");
        assert_eq!(
            self.send(Method::POST, &path, Value::Null).await.status,
            200
        );
        app
    }
}

fn multipart(resources: &str, bits: Option<&[u8]>) -> Vec<u8> {
    let mut body = format!(
        "--{BOUNDARY}\r\nContent-Disposition: form-data; name=\"resources\"\r\n\r\n{resources}\r\n"
    )
    .into_bytes();
    if let Some(bits) = bits {
        let head = format!(
            "--{BOUNDARY}\r\nContent-Disposition: form-data; name=\"bits\"; \
             filename=\"package.zip\"\r\nContent-Type: application/octet-stream\r\n\r\n"
        );
        body.extend_from_slice(head.as_bytes());
        body.extend_from_slice(bits);
        body.extend_from_slice(b"\r\n");
    }
    body.extend_from_slice(format!("--{BOUNDARY}--\r\n").as_bytes());
    body
}

fn zip_of(name: &str, content: &[u8]) -> Vec<u8> {
    let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
    writer
        .start_file(name, SimpleFileOptions::default())
        .expect("starts");
    writer.write_all(content).expect("writes");
    writer.finish().expect("finishes").into_inner()
}

/// Each of these paths into a value is there and not null.
pub(super) fn assert_has(value: &Value, pointers: &[&str]) {
    for pointer in pointers {
        let found = value.pointer(pointer);
        assert!(
            found.is_some_and(|it| !it.is_null()),
            "{pointer} in {value}"
        );
    }
}

#[tokio::test]
async fn a_push_of_bits_goes_as_the_cli_sends_it() {
    let target = Target::new().await;
    let manifest = "---\napplications:\n- name: shop\n  default-route: true\n  memory: 64M\n";
    target.done(&target.apply(manifest).await).await;
    let app = target.app("shop").await;
    assert_has(
        &app,
        &[
            "/guid",
            "/name",
            "/lifecycle/data/stack",
            "/relationships/space/data/guid",
        ],
    );
    assert_eq!(app["state"], "STOPPED");
    assert_eq!(app["lifecycle"]["type"], "buildpack");
    assert_eq!(app["relationships"]["current_droplet"]["data"], Value::Null);
    let guid = app["guid"].as_str().expect("a guid").to_owned();

    let matches = json!({"resources": [
        {"checksum": {"value": "0".repeat(40)}, "size_in_bytes": 99_999, "path": "x", "mode": "644"},
    ]});
    let matched = target
        .send(Method::POST, "/v3/resource_matches", matches)
        .await;
    assert_eq!(matched.json(), json!({"resources": []}));
    let package = target.new_package(&guid).await;
    let uploaded = target
        .upload(&package, "[]", Some(&zip_of("app", b"#!/bin/sh")))
        .await;
    assert_eq!(uploaded.status, 200, "{uploaded:?}");
    assert_eq!(uploaded.json()["state"], "READY");
    assert_eq!(uploaded.json()["guid"], json!(package));
    assert_has(
        &uploaded.json(),
        &["/links/upload/href", "/data/checksum/value"],
    );

    let new = json!({"package": {"guid": package}});
    let build = target.send(Method::POST, "/v3/builds", new.clone()).await;
    assert_eq!(build.status, 201, "{build:?}");
    assert_eq!(build.json()["state"], "STAGING");
    assert_eq!(build.json()["droplet"], Value::Null);
    let (status, _, detail) = target.send(Method::POST, "/v3/builds", new).await.error();
    assert_eq!(status, 422);
    assert!(detail.contains("Only one build"), "{detail}");
    let build = build.guid();
    target.stage(&build, &[("web", "./serve")]).await;
    let staged = target.get(&format!("/v3/builds/{build}")).await;
    assert_eq!(staged["state"], "STAGED");
    let droplet = staged["droplet"]["guid"].as_str().expect("a droplet");

    let shown = target.get(&format!("/v3/droplets/{droplet}")).await;
    assert_eq!(shown["state"], "STAGED");
    assert_has(&shown, &["/created_at", "/stack", "/buildpacks/0/name"]);
    assert_eq!(shown["buildpacks"][0]["buildpack_name"], "system_buildpack");
    assert_eq!(shown["buildpacks"][0]["detect_output"], "System");

    let path = format!("/v3/apps/{guid}/relationships/current_droplet");
    let current = target
        .send(Method::PATCH, &path, json!({"data": {"guid": droplet}}))
        .await;
    assert_eq!(current.json()["data"]["guid"], json!(droplet));
    let path = format!("/v3/apps/{guid}/actions/restart");
    let started = target.send(Method::POST, &path, Value::Null).await;
    assert_eq!(started.json()["state"], "STARTED");
    check_summary(&target, &guid).await;
}

/// What push prints at its end, and `cf app`.
async fn check_summary(target: &Target, app: &str) {
    let processes = target.get(&format!("/v3/apps/{app}/processes")).await;
    let web = &processes["resources"][0];
    assert_eq!(web["guid"], json!(app), "ssh clients count on it");
    assert_eq!(web["type"], "web");
    assert_eq!(web["memory_in_mb"], 64);
    assert_eq!(web["log_rate_limit_in_bytes_per_second"], -1);
    assert_has(
        web,
        &[
            "/instances",
            "/disk_in_mb",
            "/health_check/type",
            "/readiness_health_check/type",
            "/relationships/app/data/guid",
        ],
    );
    let whole = target.get(&format!("/v3/processes/{app}")).await;
    assert_eq!(whole["command"], "./serve");
    let sidecars = target.get(&format!("/v3/processes/{app}/sidecars")).await;
    assert_eq!(sidecars["resources"], json!([]));
    let stats = target.get(&format!("/v3/processes/{app}/stats")).await;
    let first = &stats["resources"][0];
    assert_eq!(
        (&first["state"], &first["index"]),
        (&json!("DOWN"), &json!(0))
    );
    assert_eq!(first["mem_quota"], 64 * 1024 * 1024);
    assert_eq!(first["log_rate_limit"], -1);
    let routes = target.get(&format!("/v3/apps/{app}/routes")).await;
    let route = &routes["resources"][0];
    assert_eq!(route["url"], "shop.apps.test");
    assert_eq!(route["options"], json!({}));
    assert_eq!(route["destinations"][0]["app"]["process"]["type"], "web");
    assert_eq!(route["destinations"][0]["port"], 8080);
    let current = target
        .get(&format!("/v3/apps/{app}/droplets/current"))
        .await;
    assert_eq!(current["state"], "STAGED");
    let path = format!("/v3/deployments?app_guids={app}&status_values=ACTIVE&per_page=1&page=1");
    assert_eq!(target.get(&path).await["resources"], json!([]));
    // What restart asks besides.
    let path = format!("/v3/packages?app_guids={app}&order_by=-created_at&per_page=1&page=1");
    let package = target.get(&path).await["resources"][0]["guid"].clone();
    let package = package.as_str().expect("a package");
    let path = format!("/v3/packages/{package}/droplets?states=STAGED&per_page=1&page=1");
    assert_eq!(target.get(&path).await["pagination"]["total_results"], 1);
}

#[tokio::test]
async fn a_docker_image_needs_no_upload_and_no_cell_to_be_staged() {
    let target = Target::new().await;
    let manifest = "applications: [{name: web, docker: {image: 'r.test/a:1', username: me}}]";
    target.done(&target.apply(manifest).await).await;
    let app = target.app("web").await;
    assert_eq!(app["lifecycle"], json!({"type": "docker", "data": {}}));
    let new = json!({
        "type": "docker",
        "data": {"image": "r.test/a:1", "username": "me", "password": "s3cret"},
        "relationships": {"app": {"data": {"guid": app["guid"]}}},
    });
    let package = target.send(Method::POST, "/v3/packages", new).await;
    assert_eq!(package.json()["state"], "READY");
    assert!(!package.text.contains("s3cret"), "{package:?}");
    let new = json!({"package": {"guid": package.guid()}});
    let build = target.send(Method::POST, "/v3/builds", new).await;
    assert_eq!(build.json()["state"], "STAGED");
    let droplet = build.json()["droplet"]["guid"].clone();
    let droplet = droplet.as_str().expect("a droplet");
    let shown = target.get(&format!("/v3/droplets/{droplet}")).await;
    assert_eq!(shown["image"], "r.test/a:1");
    assert_eq!(shown["lifecycle"]["type"], "docker");
    let path = format!("/v3/apps/{}/relationships/current_droplet", app["guid"]).replace('"', "");
    let assigned = json!({"data": {"guid": droplet}});
    target.send(Method::PATCH, &path, assigned).await;
    let path = format!("/v3/apps/{}/actions/start", app["guid"]).replace('"', "");
    let started = target.send(Method::POST, &path, Value::Null).await;
    assert_eq!(started.status, 200, "{started:?}");
}

#[tokio::test]
async fn a_manifest_of_three_apps_is_one_answer() {
    let target = Target::new().await;
    let manifest = "applications: [{name: a, default-route: true}, {name: b, no-route: true}, \
                    {name: c, random-route: true, instances: 2}]";
    target.done(&target.apply(manifest).await).await;
    let path = format!("/v3/apps?names=a,b,c&space_guids={}", target.space);
    let apps = target.get(&path).await;
    assert_eq!(apps["pagination"]["total_results"], 3);
    let diff = target
        .harness
        .send(
            Method::POST,
            &format!("/v3/spaces/{}/manifest_diff", target.space),
            Some(&target.token),
            manifest,
        )
        .await;
    assert_eq!(diff.status, 201, "{diff:?}");
    assert_eq!(diff.json(), json!({"diff": []}));
}

#[tokio::test]
async fn a_manifest_larger_than_a_commit_is_applied_too() {
    let target = Target::new().await;
    let apps: Vec<String> = (0..60)
        .map(|at| format!("{{name: app-{at}, default-route: true, env: {{N: {at}}}}}"))
        .collect();
    let manifest = format!("applications: [{}]", apps.join(", "));
    target.done(&target.apply(&manifest).await).await;
    let apps = target.get("/v3/apps?per_page=5000").await;
    assert_eq!(apps["pagination"]["total_results"], 60);
    let state = target.harness.context.state.read();
    assert_eq!(state.all::<Route>().count(), 60);
}

#[tokio::test]
async fn a_manifest_that_is_wrong_anywhere_changes_nothing() {
    let target = Target::new().await;
    for (manifest, status) in [
        (
            "applications: [{name: a}, {name: b, services: [none]}]",
            422,
        ),
        ("applications: [{name: a, memroy: 1G}]", 422),
        ("applications: [", 400),
        ("\u{0}", 400),
    ] {
        let reply = target.apply(manifest).await;
        assert_eq!(reply.status, status, "{manifest}: {reply:?}");
        assert!(!reply.error().2.is_empty());
    }
    let state = target.harness.context.state.read();
    assert_eq!(state.all::<App>().count(), 0);
}

#[tokio::test]
async fn a_bad_package_is_refused_with_its_reason_and_leaves_no_trace() {
    let target = Target::new().await;
    let manifest = "applications: [{name: shop}]";
    target.done(&target.apply(manifest).await).await;
    let app = target.app("shop").await["guid"]
        .as_str()
        .expect("guid")
        .to_owned();
    let package = target.new_package(&app).await;
    for (bits, words) in [
        (zip_of("../../etc/passwd", b"x"), "outside"),
        (zip_of("zeros", &vec![0; 70 * 1024 * 1024]), "fill disks"),
        (b"no zip".to_vec(), "not a zip archive"),
    ] {
        let (status, code, detail) = target.upload(&package, "[]", Some(&bits)).await.error();
        assert_eq!((status, code), (422, 10_008), "{detail}");
        assert!(detail.contains(words), "{detail}");
    }
    let nothing = target.upload(&package, "[]", None).await;
    assert_eq!(nothing.status, 422, "{nothing:?}");
    let shown = target.get(&format!("/v3/packages/{package}")).await;
    assert_eq!(shown["state"], "AWAITING_UPLOAD");
    let good = target
        .upload(&package, "[]", Some(&zip_of("app", b"x")))
        .await;
    assert_eq!(good.status, 200, "{good:?}");
    let (_, _, detail) = target
        .upload(&package, "[]", Some(&zip_of("app", b"x")))
        .await
        .error();
    assert!(detail.contains("only once"), "{detail}");
    let new = json!({"package": {"guid": target.new_package(&app).await}});
    let (status, _, detail) = target.send(Method::POST, "/v3/builds", new).await.error();
    assert_eq!(status, 400);
    assert_eq!(
        detail,
        "Bad request: Cannot stage package whose state is not ready."
    );
}

#[tokio::test]
async fn the_stock_cli_sees_a_build_end_only_when_its_last_line_is_old_enough() {
    let target = Target::new().await;
    let manifest = "applications: [{name: shop}]";
    target.done(&target.apply(manifest).await).await;
    let app = target.app("shop").await["guid"]
        .as_str()
        .expect("guid")
        .to_owned();
    let package = target.new_package(&app).await;
    target
        .upload(&package, "[]", Some(&zip_of("app", b"x")))
        .await;
    let new = json!({"package": {"guid": package}});
    let build = target.send(Method::POST, "/v3/builds", new).await.guid();
    target.stage(&build, &[("web", "./serve")]).await;
    let context = &target.harness.context;
    context.log_cache.append(vec![LogEnvelope {
        timestamp_ns: context.clock.now_ns(),
        app: app.parse::<AppGuid>().expect("a guid"),
        stream: Stream::Out,
        source_type: "STG".to_owned(),
        instance_index: 0,
        process: None,
        instance: None,
        payload: b"Uploading complete".to_vec(),
    }]);
    let state_for = async |agent: &str| {
        let request = Request::builder()
            .uri(format!("/v3/builds/{build}"))
            .header("user-agent", agent)
            .header("authorization", format!("bearer {}", target.token))
            .body(Body::empty())
            .expect("a request");
        let shown = target.harness.request(request).await.json();
        (shown["state"].clone(), shown["droplet"].is_null())
    };
    let cf = "cf/8.18.4 (go1.25; amd64 linux)";
    assert_eq!(state_for(cf).await, (json!("STAGING"), true));
    assert_eq!(state_for("cfx/0.1").await, (json!("STAGED"), false));
    target.harness.advance(3);
    assert_eq!(state_for(cf).await, (json!("STAGED"), false));
}

#[tokio::test]
async fn deleting_an_app_leaves_nothing_of_it() {
    let target = Target::new().await;
    let app = target.push("shop").await;
    let deleted = target
        .send(Method::DELETE, &format!("/v3/apps/{app}"), Value::Null)
        .await;
    target.done(&deleted).await;
    let state = target.harness.context.state.read();
    assert_eq!(state.all::<App>().count(), 0);
    assert_eq!(state.all::<Process>().count(), 0);
    assert_eq!(state.all::<Package>().count(), 0);
    assert_eq!(state.all::<Build>().count(), 0);
    assert_eq!(state.all::<Droplet>().count(), 0);
    let route = state.all::<Route>().next().expect("routes stay");
    assert!(route.destinations.is_empty());
    let (status, code, detail) = target
        .harness
        .get(&format!("/v3/apps/{app}"), &target.token)
        .await
        .error();
    assert_eq!(
        (status, code, detail.as_str()),
        (404, 10_010, "App not found")
    );
}

#[tokio::test]
async fn a_droplet_can_be_uploaded_and_run() {
    let target = Target::new().await;
    let manifest = "applications: [{name: shop}]";
    target.done(&target.apply(manifest).await).await;
    let app = target.app("shop").await["guid"]
        .as_str()
        .expect("guid")
        .to_owned();
    let new = json!({"relationships": {"app": {"data": {"guid": app}}}});
    let droplet = target.send(Method::POST, "/v3/droplets", new).await;
    assert_eq!(droplet.status, 201, "{droplet:?}");
    let droplet = droplet.guid();
    let send = async |bits: &[u8]| {
        let request = Request::builder()
            .method(Method::POST)
            .uri(format!("/v3/droplets/{droplet}/upload"))
            .header("host", "api.test:8880")
            .header(
                "content-type",
                format!("multipart/form-data; boundary={BOUNDARY}"),
            )
            .header("authorization", format!("bearer {}", target.token))
            .body(Body::from(multipart("[]", Some(bits))))
            .expect("a request");
        target.harness.request(request).await
    };
    assert_eq!(send(b"no tarball").await.status, 422);
    assert_eq!(send(&tarball(&[("x/../../y", b"")])).await.status, 422);
    let info = b"process_types:\n  web: ./serve\n  worker: ./work\n";
    let good = tarball(&[("./app/serve", b"x"), ("./staging_info.yml", info)]);
    target.done(&send(&good).await).await;
    let shown = target.get(&format!("/v3/droplets/{droplet}")).await;
    assert_eq!(shown["state"], "STAGED");
    assert_eq!(shown["process_types"]["worker"], "./work");
    let path = format!("/v3/droplets/{droplet}/download");
    let downloaded = target.harness.get(&path, &target.token).await;
    assert_eq!(downloaded.status, 200);
    assert_eq!(downloaded.headers["content-length"], good.len().to_string());
}

fn tarball(files: &[(&str, &[u8])]) -> Vec<u8> {
    let gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    let mut builder = tar::Builder::new(gzip);
    for (name, content) in files {
        let mut header = tar::Header::new_gnu();
        // Written past the checks of the library, which would refuse such a path.
        let field = &mut header.as_old_mut().name;
        field[..name.len()].copy_from_slice(name.as_bytes());
        header.set_size(content.len() as u64);
        header.set_mode(0o644);
        header.set_cksum();
        builder.append(&header, *content).expect("appends");
    }
    let gzip = builder.into_inner().expect("ends");
    gzip.finish().expect("finishes")
}

#[tokio::test]
async fn a_package_of_many_megabytes_is_taken_in_and_matched_the_next_time() {
    let target = Target::new().await;
    target
        .done(&target.apply("applications: [{name: shop}]").await)
        .await;
    let app = target.app("shop").await["guid"]
        .as_str()
        .expect("guid")
        .to_owned();
    // Noise does not pack.
    let mut seed = 1_u64;
    let noise: Vec<u8> = std::iter::repeat_with(|| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        seed.to_be_bytes()[0]
    })
    .take(5 * 1024 * 1024)
    .collect();
    let package = target.new_package(&app).await;
    let bits = zip_of("noise", &noise);
    assert!(bits.len() > 4 * 1024 * 1024);
    let uploaded = target.upload(&package, "[]", Some(&bits)).await;
    assert_eq!(uploaded.status, 200, "{uploaded:?}");
    let digest = hex::encode(sha1::Sha1::digest(&noise));
    let resources = json!([{
        "checksum": {"value": digest}, "size_in_bytes": noise.len(), "path": "n", "mode": "644",
    }]);
    let asked = json!({"resources": resources});
    let matched = target
        .send(Method::POST, "/v3/resource_matches", asked.clone())
        .await;
    assert_eq!(matched.json(), asked);
    let package = target.new_package(&app).await;
    let uploaded = target.upload(&package, &resources.to_string(), None).await;
    assert_eq!(uploaded.json()["state"], "READY", "{uploaded:?}");
}

#[tokio::test]
async fn a_package_can_be_downloaded_as_it_was_kept() {
    let target = Target::new().await;
    let app = target.push("shop").await;
    let packages = target.get(&format!("/v3/apps/{app}/packages")).await;
    let package = packages["resources"][0]["guid"].as_str().expect("a guid");
    let facts: BlobFacts = BlobFacts {
        sha256: packages["resources"][0]["data"]["checksum"]["value"]
            .as_str()
            .expect("a digest")
            .to_owned(),
        size_bytes: zip_of("app", b"x").len() as u64,
    };
    assert!(target.harness.context.blobs.contains(&facts));
    let path = format!("/v3/packages/{package}/download");
    let downloaded = target.harness.get(&path, &target.token).await;
    assert_eq!(downloaded.headers["content-type"], "application/zip");
    let path = format!("/v3/packages?source_guid={package}");
    let other = "applications: [{name: other}]";
    target.done(&target.apply(other).await).await;
    let other = target.app("other").await["guid"].clone();
    let new = json!({"relationships": {"app": {"data": {"guid": other}}}});
    let copy = target.send(Method::POST, &path, new).await;
    assert_eq!(copy.json()["state"], "READY", "{copy:?}");
    assert_eq!(target.organization.len(), 36);
}
