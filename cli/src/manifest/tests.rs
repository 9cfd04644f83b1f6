//! Manifests as people write them, and what is sent for them.

use std::path::Path;

use super::*;

fn read(text: &str) -> Result<Manifest, ManifestError> {
    parse(Path::new("manifest.yml"), text, &Variables::default())
}

fn with(text: &str, assignments: &[(&str, &str)]) -> Result<Manifest, ManifestError> {
    let assignments: Vec<(String, String)> = assignments
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect();
    let variables = Variables::load(&[], &assignments)?;
    parse(Path::new("manifest.yml"), text, &variables)
}

fn message(text: &str) -> String {
    read(text).expect_err(text).to_string()
}

#[test]
fn anchors_merge_keys_and_types_arrive_as_the_platform_wants_them() {
    let text = "\
defaults: &defaults
  memory: 256M
  env: &env
    LEVEL: info
    RATE: 1.10
    ON: yes
    LIST: [1, two]
applications:
- name: shop
  <<: *defaults
  disk_quota: 1G
  instances: 2
  no-route: no
  routes:
  - route: shop.example.org/a
  - {route: tcp.example.org:2000, protocol: tcp}
  services: [db, {name: cache, parameters: {size: 3, big: true}}]
  timeout: 90
- name: worker
  <<: [*defaults]
  memory: 64M
  command: ~
  env:
    <<: *env
    LEVEL: debug
";
    let manifest = apply(read(text).expect("valid"), &Overrides::default()).expect("applies");
    let expected = "\
applications:
- name: shop
  instances: 2
  no-route: false
  routes:
  - route: shop.example.org/a
  - route: tcp.example.org:2000
    protocol: tcp
  services:
  - db
  - name: cache
    parameters:
      size: 3
      big: true
  timeout: 90
  memory: 256M
  env:
    LEVEL: info
    RATE: '1.10'
    ON: yes
    LIST: '[1,\"two\"]'
  disk-quota: 1G
  default-route: true
- name: worker
  memory: 64M
  command: null
  env:
    LEVEL: debug
    RATE: '1.10'
    ON: yes
    LIST: '[1,\"two\"]'
  default-route: true
";
    let sent = manifest.to_yaml();
    let same = |text: &str| serde_yaml::from_str::<Value>(text).expect("YAML");
    assert_eq!(
        same(&sent),
        same(&expected.replace("ON: yes", "ON: 'yes'")),
        "{sent}"
    );
}

#[test]
fn variables_keep_their_types_and_fit_into_text() {
    let text = "applications:\n- name: ((name))-((env))\n  instances: ((n))\n  env: ((all))\n";
    let given = [
        ("name", "shop"),
        ("env", "prod"),
        ("n", "3"),
        ("all", "{A: b}"),
    ];
    let manifest = with(text, &given).expect("valid");
    assert_eq!(manifest.apps[0].name, "shop-prod");
    let attributes = &manifest.apps[0].attributes;
    assert_eq!(attributes.get("instances"), Some(&Value::from(3)));
    assert_eq!(
        attributes.get("env").and_then(|env| env.get("A")),
        Some(&"b".into())
    );
}

#[test]
fn all_missing_variables_are_named_at_once() {
    let error = read("applications:\n- name: ((a))\n  memory: ((b))\n").expect_err("missing");
    assert_eq!(
        error,
        ManifestError::VariablesMissing {
            names: vec!["a".into(), "b".into()]
        }
    );
}

#[test]
fn a_variables_file_is_read_and_flags_win_over_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("vars.yml");
    std::fs::write(&file, "host: a\nmemory: 1G\n").expect("written");
    let variables = Variables::load(&[file], &[("host".into(), "b".into())]).expect("variables");
    let text = "applications:\n- name: ((host))\n  memory: ((memory))\n";
    let manifest = parse(Path::new("m.yml"), text, &variables).expect("valid");
    assert_eq!(manifest.apps[0].name, "b");
    assert_eq!(
        manifest.apps[0].attributes.get("memory"),
        Some(&"1G".into())
    );
}

#[test]
fn what_is_wrong_is_told_with_its_line() {
    for (text, expected) in [
        ("", "manifest.yml:1: the manifest is empty"),
        ("- a", "manifest.yml:1: a manifest is a map, not a list"),
        (
            "applications: 3",
            "manifest.yml:1: `applications` is a list, not a single value",
        ),
        (
            "applications: []",
            "manifest.yml:1: a manifest has 1 to 200 applications, not 0",
        ),
        (
            "applications:\n- shop",
            "manifest.yml:2: an application is a map, not a single value",
        ),
        ("version: 1", "manifest.yml:1: it has no `applications`"),
        (
            "applications:\n- name: a\n  memmory: 1G",
            "manifest.yml:3: an application has no `memmory`; did you mean `memory`?",
        ),
        (
            "aplications:\n- name: a",
            "manifest.yml:1: a manifest has no `aplications`; did you mean `applications`?",
        ),
        (
            "applications:\n- name: a\n  host: b",
            "manifest.yml:3: `host` is not supported any more",
        ),
        (
            "applications:\n- name: a\n  processes:\n  - type: web\n    paht: x",
            "manifest.yml:5: an entry of `processes` has no `paht`",
        ),
        (
            "applications:\n- name: a\n  memory: 256",
            "manifest.yml:3: `memory`: `256` is not an amount: write a whole number with a unit, such as 256M or 1G",
        ),
        (
            "applications:\n- name: a\n  instances: 1.5",
            "manifest.yml:3: `instances`: it is not a whole number of at least 0",
        ),
        (
            "applications:\n- name: a\n  instances: 99999999999",
            "manifest.yml:3: `instances`: it is not a whole number of at least 0",
        ),
        (
            "applications:\n- name: a\n  no-route: perhaps",
            "manifest.yml:3: `no-route`: it is neither true nor false",
        ),
        (
            "applications:\n- name: a\n  health-check-type: htpp",
            "manifest.yml:3: `health-check-type`: `htpp` is none of port, http, process, none",
        ),
        (
            "applications:\n- name: a\n  name: b",
            "manifest.yml:3: `name` is given twice",
        ),
        (
            "applications:\n- name: a\n  env: [x]",
            "manifest.yml:3: `env` is a map, not a list",
        ),
        (
            "applications:\n- name: a\n  <<: b",
            "manifest.yml:3: `<<` merges a map or a list of maps, not a single value",
        ),
        (
            "a: &a 1\n---\nb: 2",
            "manifest.yml:2: there is more than one document",
        ),
    ] {
        assert_eq!(message(text), expected, "{text}");
    }
    assert!(message("applications:\n- name: [a").starts_with("manifest.yml:"));
    assert!(message("applications: *unknown").starts_with("manifest.yml:1: not YAML"));
}

#[test]
fn every_error_names_a_next_step() {
    for text in [
        "",
        "applications:\n- name: a\n  env: [x]",
        "applications:\n- {nam: a}",
    ] {
        let failure = crate::failure::Failure::from(read(text).expect_err(text));
        assert!(failure.next_step().is_some(), "{text}");
    }
}

#[test]
fn an_alias_bomb_is_refused_before_it_grows() {
    let mut text = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
    for level in 1..12 {
        let below = format!("*a{}", level - 1);
        let ten = vec![below; 10].join(", ");
        text.push_str(&format!("a{level}: &a{level} [{ten}]\n"));
    }
    assert!(
        message(&text).contains("beyond its budget"),
        "{}",
        message(&text)
    );
}

#[test]
fn a_bomb_of_merges_or_variables_is_refused_too() {
    let mut text = String::from("m0: &m0 {a: b, c: d}\n");
    for level in 1..20 {
        let below = format!("*m{}", level - 1);
        text.push_str(&format!("m{level}: &m{level} {{l: {below}, r: {below}}}\n"));
    }
    assert!(message(&text).contains("beyond its budget"));
    let many = vec!["((big))"; 30_000].join(" ");
    let big = "x".repeat(1_000);
    let error = with(
        &format!("applications:\n- name: {many}\n"),
        &[("big", &big)],
    );
    assert!(
        error
            .expect_err("a bomb")
            .to_string()
            .contains("beyond its budget")
    );
}

#[test]
fn nesting_is_bounded() {
    let text = format!("applications: {}{}", "[".repeat(60), "]".repeat(60));
    assert!(message(&text).contains("nested deeper"));
    let absurd = "[".repeat(100_000);
    assert!(message(&absurd).starts_with("manifest.yml:1:"));
}

#[test]
fn flags_win_on_the_web_process_where_there_is_one() {
    let text =
        "applications:\n- name: a\n  memory: 1G\n  processes:\n  - {type: web, memory: 2G}\n";
    let overrides = Overrides {
        memory: Some("64M".into()),
        instances: Some(4),
        ..Overrides::default()
    };
    let manifest = apply(read(text).expect("valid"), &overrides).expect("applies");
    let attributes = &manifest.apps[0].attributes;
    assert_eq!(attributes.get("memory"), Some(&"1G".into()));
    let web = attributes
        .get("processes")
        .and_then(|list| list.get(0))
        .expect("web");
    assert_eq!(web.get("memory"), Some(&"64M".into()));
    assert_eq!(web.get("instances"), Some(&4.into()));
}

#[test]
fn a_name_picks_its_app_and_renames_a_single_one() {
    let two = "applications:\n- name: a\n- name: b\n";
    let named = |name: &str| Overrides {
        name: Some(name.into()),
        ..Overrides::default()
    };
    let picked = apply(read(two).expect("valid"), &named("b")).expect("applies");
    assert_eq!(picked.names(), "b");
    let error = apply(read(two).expect("valid"), &named("c")).expect_err("no such app");
    assert_eq!(error.to_string(), "the manifest has no app `c`");
    let one = "applications:\n- name: a\n";
    let renamed = apply(read(one).expect("valid"), &named("z")).expect("applies");
    assert_eq!(renamed.names(), "z");
}

#[test]
fn flags_for_one_app_are_refused_for_several() {
    let two = "applications:\n- name: a\n- name: b\n";
    let overrides = Overrides {
        memory: Some("64M".into()),
        ..Overrides::default()
    };
    let error = apply(read(two).expect("valid"), &overrides).expect_err("several apps");
    assert!(error.to_string().contains("several apps"));
}

#[test]
fn flags_that_contradict_the_manifest_are_refused() {
    let image = "applications:\n- name: a\n  docker: {image: x}\n";
    for overrides in [
        Overrides {
            path: Some("x".into()),
            ..Overrides::default()
        },
        Overrides {
            buildpacks: Some(vec!["go".into()]),
            ..Overrides::default()
        },
        Overrides {
            droplet: true,
            ..Overrides::default()
        },
    ] {
        assert!(
            apply(read(image).expect("valid"), &overrides).is_err(),
            "{overrides:?}"
        );
    }
}

#[test]
fn paths_are_relative_to_the_manifest() {
    let text = "applications:\n- {name: a, path: web}\n- {name: b, path: /abs}\n";
    let manifest = parse(Path::new("/deep/manifest.yml"), text, &Variables::default());
    let manifest = apply(manifest.expect("valid"), &Overrides::default()).expect("applies");
    let paths: Vec<_> = manifest.apps.iter().map(|app| app.path.clone()).collect();
    assert_eq!(paths, vec![Some("/deep/web".into()), Some("/abs".into())]);
    assert!(
        !manifest.to_yaml().contains("/deep"),
        "local paths stay local"
    );
}

#[test]
fn a_default_route_is_asked_for_unless_another_wish_is_there() {
    for (line, wanted) in [
        ("memory: 1G", true),
        ("no-route: true", false),
        ("random-route: true", false),
        ("routes: [{route: a.b}]", true),
    ] {
        let text = format!("applications:\n- name: a\n  {line}\n");
        let manifest = apply(read(&text).expect("valid"), &Overrides::default()).expect("applies");
        assert_eq!(manifest.apps[0].flag("default-route"), wanted, "{line}");
    }
}
