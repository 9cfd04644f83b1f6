//! The command line as users type it.

use clap::{CommandFactory, Parser};

use super::*;

fn parse(line: &str) -> Result<Args, clap::Error> {
    let words = std::iter::once("cfx").chain(line.split_whitespace());
    Args::try_parse_from(normalise(words.map(Into::into).collect()))
}

#[test]
fn the_definition_is_sound() {
    Args::command().debug_assert();
}

#[test]
fn every_verb_and_its_alias_is_understood() {
    for line in [
        "up --gateway-ports 6379,5432 --warm 20",
        "up --cells 3 --runtime docker --listen 127.0.0.1 --api-port 1 --http-port 2 --https-port 3",
        "serve cell --config cell.yml",
        "status --json",
        "api",
        "api http://127.0.0.1:8880 --skip-ssl-validation",
        "api --unset",
        "login -a http://h -u admin -p x -o o -s s --origin uaa",
        "l",
        "logout",
        "lo",
        "target -o o -s s",
        "t",
        "orgs --labels env=prod",
        "o",
        "create-org o",
        "co o",
        "spaces",
        "create-space s -o o",
        "csp s",
        "push",
        "p shop",
        "apps",
        "a",
        "app shop --guid",
        "scale shop -i 0",
        "scale shop -m 512M -k 1G -l -1 -f --process worker",
        "start shop",
        "st shop",
        "stop shop",
        "sp shop",
        "restart shop --strategy rolling --max-in-flight 2 --no-wait",
        "rs shop",
        "restage shop",
        "rg shop",
        "delete shop -r -f",
        "d shop",
        "restart-app-instance shop 3 --process worker",
        "logs shop --recent",
        "events shop",
        "env shop",
        "e shop",
        "set-env shop NAME -value",
        "se shop NAME value",
        "unset-env shop NAME",
        "ue shop NAME",
        "routes --org-level",
        "r",
        "create-route d.example -n h --path p",
        "delete-route d.example --hostname h -f",
        "map-route shop d.example --hostname h --app-port 8080 --app-protocol http2",
        "unmap-route shop d.example --hostname h",
        "domains",
        "services --no-apps --json",
        "s",
        "service stock --guid",
        "create-user-provided-service stock -p {} -t a,b -l syslog://h -r https://h",
        "cups stock",
        "update-user-provided-service stock -p {}",
        "uups stock -t a",
        "bind-service shop stock --binding-name db",
        "bs shop stock",
        "unbind-service shop stock",
        "us shop stock",
        "delete-service stock -f",
        "ds stock",
        "store backup a.backup --data d --json",
        "store restore a.backup --data d --replace --json",
        "cells",
        "cells join-token --role router --ttl 5",
        "why shop/2",
        "curl /v3/apps -X POST -d {} -H a:b -i --fail",
        "load shop.apps.localhost:8080",
        "load http://127.0.0.1:1/ --rate 200/s --duration 30s --connections-new 50% --threads 2 --json",
        "load http://h/ -X POST -H a:b -d {} --profile ramp:1/s..9/s --fail-if errors>1% --expect 200,409",
        "rehearse flash-sale --scale 0.5 --stock 10 --phase storm=5s --want-instances 200",
        "rehearse shop --profile spike --base 10/s --factor 30 --fail-if p99>1s --report r.html",
        "rehearse --example-profile",
        "completion bash",
        "bench push --rounds 5 --json",
        "bench idle",
        "bench load --rate 500 --delay 5 --seconds 2 --rounds 1 --json",
        "bench router --seconds 1 --connections 4",
    ] {
        if let Err(error) = parse(line) {
            panic!("cfx {line}: {error}");
        }
    }
}

#[test]
fn what_makes_no_sense_is_refused() {
    for line in [
        "",
        "frobnicate",
        "push shop -m 256",
        "push shop -m lots",
        "push shop -i -1",
        "push shop -t 0",
        "push shop --no-route --random-route",
        "push shop --no-manifest -f manifest.yml",
        "push shop --no-manifest --var a=b",
        "push shop -o img -p dir",
        "push shop -o img -b python",
        "push shop -o img -s host",
        "push shop --docker-username me",
        "push shop --droplet d.tgz -p dir",
        "push shop -u http",
        "push shop -u carrier-pigeon",
        "push shop --max-in-flight 2",
        "push shop --strategy rolling --no-start",
        "push shop --task --strategy rolling",
        "scale shop -m 0M",
        "why shop/x",
        "store",
        "store backup",
        "store restore a.backup",
        "bind-service shop",
        "why /3",
        "cells join-token --ttl 0",
        "up --runtime chroot",
        "up --api-port 70000",
        "set-env shop NAME",
        "completion tcsh",
        "load",
        "load http://h/ --rate fast",
        "load http://h/ --duration 5",
        "load http://h/ --fail-if slow",
        "load http://h/ --threads 0",
        "load http://h/ -H nothing",
        "rehearse",
        "rehearse shop --phase storm",
        "rehearse shop --stock 0",
    ] {
        let error = parse(line).expect_err(line);
        assert!(error.use_stderr() || line.is_empty(), "cfx {line}");
    }
}

#[test]
fn help_is_there_for_every_verb_with_its_old_word_too() {
    for line in [
        "help",
        "h",
        "help push",
        "h push",
        "push --help",
        "--version",
        "version",
    ] {
        let error = parse(line).expect_err(line);
        assert!(!error.use_stderr(), "cfx {line}");
    }
    for command in Args::command().get_subcommands() {
        let about = command.get_about().map(ToString::to_string);
        assert!(
            about.is_some_and(|text| !text.is_empty()),
            "{}",
            command.get_name()
        );
    }
}

#[test]
fn push_flags_become_overrides() {
    let line = "push shop -i 3 -m 256M -k 1G -b python -b go -c null -u http --endpoint /up -t 90";
    let Command::Push(args) = parse(line).expect("a push").command else {
        panic!("not a push");
    };
    let overrides = args.overrides();
    assert_eq!(overrides.instances, Some(3));
    assert_eq!(
        overrides.buildpacks,
        Some(vec!["python".into(), "go".into()])
    );
    assert_eq!(overrides.command, Some(None));
    assert_eq!(overrides.timeout, Some(90));
    let Command::Push(args) = parse("push shop -b default").expect("a push").command else {
        panic!("not a push");
    };
    assert_eq!(args.overrides().buildpacks, Some(Vec::new()));
}
