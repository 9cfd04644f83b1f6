//! The flash-sale sample, pushed from source by its own manifest: buyers in a rush, through the router.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::curl::{self, Answer};
use crate::harness::{Platform, free_port, wait};

const SOURCE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../sample-apps/flash-sale");
pub const HOST: &str = "flash-sale";
const TOKEN: &str = "a-token-for-tests";
const PATIENCE: Duration = Duration::from_secs(60);
const BUYERS: u64 = 8;
/// Orders that each buyer tries in a rush.
const ORDERS: u64 = 15;
/// More than one rush sells, less than two do.
const STOCK: u64 = 180;

pub fn with_its_inventory(platform: &Platform) {
    let home = platform.space("sale");
    push(platform, &home, &[]);
    let left = sell_out(platform, &home);

    platform.ok_at(&home, &["restart-app-instance", "inventory", "0"]);
    let closed = wait(PATIENCE, || {
        let answer = reserve(platform, "after the kill", 1).ok()?;
        (answer.status == 409 && answer.body.contains("sale_closed")).then_some(())
    });
    assert!(closed.is_some(), "a new inventory knows no sale");
    open_sale(platform, left.max(1));
    assert_eq!(buy(platform, "first of the rest", 1).expect("sold").1, 1);
    assert_eq!(verdict_with(platform, 1)["ok"], json!(true));
    for app in [HOST, "inventory"] {
        platform.ok_at(&home, &["delete", app, "-f", "-r"]);
    }
}

pub fn with_redis() {
    let port = free_port();
    let platform = Platform::start_with(1, &["--gateway-ports", &port.to_string()]);
    let gateway = gateway(&platform);
    let redis = Redis::start(&platform, &gateway, port);
    let home = platform.space("redis");
    push(&platform, &home, &[HOST, "--no-start"]);
    // Any name under the apps domain is this machine, to an app.
    let uri = format!("redis://:secret@redis.{}:{port}/2", platform.domain);
    let credentials = json!({ "uri": uri }).to_string();
    platform.ok_at(&home, &["cups", "stock", "-p", &credentials, "-t", "redis"]);
    platform.ok_at(&home, &["bind-service", HOST, "stock"]);
    platform.ok_at(&home, &["start", HOST]);
    sell_out(&platform, &home);

    let service = platform.ok_at(&home, &["service", "stock", "--json"]);
    let service: Value = serde_json::from_str(&service).expect("JSON");
    assert_eq!(service["bindings"][0]["app"], HOST, "{service}");
    assert_eq!(service["tags"], json!(["redis"]), "{service}");
    drop(redis);
    let lost = wait(PATIENCE, || {
        reserve(&platform, "after the end", 1)
            .ok()
            .filter(|answer| answer.status == 503)
    });
    assert!(lost.is_some(), "it was this Redis that counted");
    platform.ok_at(&home, &["unbind-service", HOST, "stock"]);
    platform.ok_at(&home, &["delete-service", "stock", "-f"]);
    let services = platform.ok_at(&home, &["services", "--json"]);
    assert_eq!(services.trim(), "[]");
}

pub fn push(platform: &Platform, home: &str, more: &[&str]) {
    let manifest = format!("{SOURCE}/manifest.yml");
    let variables = format!("{SOURCE}/vars.yml");
    let (token, port) = (
        format!("sale-token={TOKEN}"),
        format!("router-port={}", platform.http),
    );
    let mut words = vec!["push", "-f", &manifest, "--vars-file", &variables];
    words.extend(["--var", &token, "--var", &port]);
    words.extend(more);
    platform.ok_at(home, &words);
}

/// Two rushes, the second at more instances; what is left of the stock.
fn sell_out(platform: &Platform, home: &str) -> u64 {
    wait_for_instances(platform, 2);
    open_sale(platform, STOCK);
    let mut sold = BTreeMap::new();
    rush(platform, "first", &mut sold);
    let units: u64 = sold.values().sum();
    assert!(units > 0 && units < STOCK, "the first rush sold {units}");
    check_verdict(platform, units);

    platform.ok_at(home, &["scale", HOST, "-i", "5"]);
    wait_for_instances(platform, 5);
    rush(platform, "second", &mut sold);
    let units: u64 = sold.values().sum();
    assert!(
        units * 10 > STOCK * 9,
        "the second rush left {}",
        STOCK - units
    );
    check_verdict(platform, units);
    STOCK - units
}

/// What customers were told is what the books say, and never more than there was.
fn check_verdict(platform: &Platform, sold: u64) {
    assert!(sold <= STOCK, "oversold: {sold} of {STOCK}");
    let verdict = verdict_with(platform, sold);
    for right in ["ok", "never_oversold", "books_balance", "one_order_per_key"] {
        assert_eq!(verdict[right], json!(true), "{right}: {verdict}");
    }
    assert_eq!(verdict["total"], json!(STOCK), "{verdict}");
}

/// Each instance keeps its answer for a second, so the first one may be older than the rush.
fn verdict_with(platform: &Platform, sold: u64) -> Value {
    let mut last = Value::Null;
    let seen = wait(PATIENCE, || {
        last = body(&platform.get(HOST, "/api/verdict").ok()?);
        (last["sold"] == json!(sold)).then(|| last.clone())
    });
    seen.unwrap_or_else(|| panic!("customers bought {sold}; the books say {last}"))
}

/// Every third order is placed under a key that another buyer uses as well.
fn rush(platform: &Platform, name: &str, sold: &mut BTreeMap<String, u64>) {
    let buyer = |number: u64| {
        let attempts = (0..ORDERS).map(|attempt| {
            let key = if attempt % 3 == 0 {
                format!("{name}-shared-{}-{attempt}", number / 2)
            } else {
                format!("{name}-{number}-{attempt}")
            };
            let order = buy(platform, &key, 1 + attempt % 2);
            (key, order)
        });
        attempts.collect::<Vec<_>>()
    };
    let orders: Vec<_> = thread::scope(|scope| {
        let buyers: Vec<_> = (0..BUYERS)
            .map(|number| scope.spawn(move || buyer(number)))
            .collect();
        let ended = buyers.into_iter().map(|one| one.join().expect("a buyer"));
        ended.flatten().collect()
    });
    let mut ids: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for (key, order) in orders {
        let Some((id, quantity)) = order else {
            continue;
        };
        ids.entry(key).or_default().insert(id.clone());
        sold.insert(id, quantity);
    }
    assert!(
        ids.values().all(|ids| ids.len() == 1),
        "one order per key: {ids:?}"
    );
}

/// Reserve and pay; the order and how much, or none when everything is sold.
fn buy(platform: &Platform, key: &str, quantity: u64) -> Option<(String, u64)> {
    let reserved = insist(|| reserve(platform, key, quantity));
    if reserved.status == 409 {
        assert!(reserved.body.contains("sold_out"), "{}", reserved.body);
        return None;
    }
    assert!(matches!(reserved.status, 200 | 201), "{reserved:?}");
    let id = body(&reserved)["id"].as_str().expect("an id").to_owned();
    let path = format!("/api/reservations/{id}/pay");
    let paid = insist(|| post(platform, &path, &[], ""));
    assert_eq!(paid.status, 200, "{}", paid.body);
    let quantity = body(&paid)["quantity"].as_u64().expect("a quantity");
    Some((id, quantity))
}

/// The same request with the same key is safe: ask until the shop says yes or no.
fn insist(ask: impl Fn() -> io::Result<Answer>) -> Answer {
    let mut last = String::new();
    let answer = wait(PATIENCE, || match ask() {
        Ok(answer) if answer.status < 500 => Some(answer),
        other => {
            last = format!("{other:?}");
            None
        }
    });
    answer.unwrap_or_else(|| panic!("neither yes nor no: {last}"))
}

fn reserve(platform: &Platform, key: &str, quantity: u64) -> io::Result<Answer> {
    let key = key.replace(' ', "-");
    let body = json!({ "quantity": quantity }).to_string();
    post(
        platform,
        "/api/reservations",
        &[("Idempotency-Key", &key)],
        &body,
    )
}

fn open_sale(platform: &Platform, stock: u64) {
    let token = format!("Bearer {TOKEN}");
    let body = json!({ "stock": stock }).to_string();
    let opened = insist(|| post(platform, "/api/sale", &[("Authorization", &token)], &body));
    assert_eq!(opened.status, 200, "{}", opened.body);
}

fn post(
    platform: &Platform,
    path: &str,
    headers: &[(&str, &str)],
    body: &str,
) -> io::Result<Answer> {
    let host = format!("{HOST}.{}", platform.domain);
    let body = if body.is_empty() { "{}" } else { body };
    curl::request(platform.http, "POST", &host, path, headers, body.as_bytes())
}

pub fn wait_for_instances(platform: &Platform, count: usize) {
    let mut seen = BTreeSet::new();
    let all = wait(PATIENCE, || {
        let answer = platform.get(HOST, "/api/item").ok()?;
        seen.insert(body(&answer)["instance"].as_str()?.to_owned());
        (seen.len() == count).then_some(())
    });
    assert!(all.is_some(), "{count} instances answer, not {seen:?}");
}

fn body(answer: &Answer) -> Value {
    serde_json::from_str(&answer.body).unwrap_or_else(|_| panic!("no JSON: {answer:?}"))
}

/// Where the platform said that its apps find this machine.
fn gateway(platform: &Platform) -> String {
    let said = wait(PATIENCE, || {
        let log = platform.log();
        let line = log.lines().find(|line| line.starts_with("open to apps:"))?;
        let address = line.split(" at ").nth(1)?.split(';').next()?;
        Some(address.to_owned())
    });
    said.unwrap_or_else(|| panic!("no gateway is named:\n{}", platform.log()))
}

/// A Redis that only this machine and its instances reach.
struct Redis(Child);

impl Redis {
    fn start(platform: &Platform, address: &str, port: u16) -> Self {
        let folder = platform.path("redis");
        std::fs::create_dir(&folder).expect("a folder");
        let child = Command::new("redis-server")
            .args(["--bind", address, "--port", &port.to_string()])
            .args([
                "--save",
                "",
                "--appendonly",
                "no",
                "--requirepass",
                "secret",
            ])
            .args([Path::new("--dir"), &folder])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("redis-server starts");
        let mut redis = Self(child);
        let until = Instant::now() + PATIENCE;
        while TcpStream::connect((address, port)).is_err() {
            let ended = redis.0.try_wait().expect("a child");
            assert!(
                ended.is_none() && Instant::now() < until,
                "no Redis: {ended:?}"
            );
            thread::sleep(Duration::from_millis(20));
        }
        redis
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        self.0.kill().expect("killed");
        self.0.wait().expect("reaped");
    }
}
