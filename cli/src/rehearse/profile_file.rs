//! Profiles from YAML files; what is wrong is told with file, line and column.

use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;
use std::path::Path;
use std::str::FromStr;

use cfx_process::config::{self, ConfigError};
use http::{HeaderName, HeaderValue, Method};
use serde::de::Visitor;
use serde::{Deserialize, Deserializer};

use super::profile::{Crowd, Phase, PhaseRate, Profile, SECONDS_MAX};
use crate::args::{share, time};
use crate::failure::{Failure, Outcome};
use crate::load::{Rate, Template, Threshold};

/// A file to begin with, and the one that tests read.
pub(crate) const EXAMPLE: &str = include_str!("example.yml");
/// Phases, and kinds of requests, of one profile.
const ENTRIES_MAX: usize = 200;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct RawProfile {
    phases: Vec<RawPhase>,
    #[serde(default)]
    requests: Vec<RawRequest>,
    /// From this phase on a sale is open; then the visitors are shoppers.
    #[serde(default)]
    sale_from: Option<String>,
    #[serde(default)]
    connections_new: Option<Text<Share>>,
    #[serde(default)]
    fail_if: Vec<Text<Threshold>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawPhase {
    name: String,
    #[serde(rename = "for")]
    length: Text<Time>,
    rate: Text<PhaseRate>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawRequest {
    #[serde(default)]
    method: Option<Text<Verb>>,
    path: Text<RequestPath>,
    #[serde(default)]
    headers: BTreeMap<Text<Header>, String>,
    #[serde(default)]
    body: String,
    #[serde(default)]
    weight: Option<f64>,
    #[serde(default)]
    expect: Vec<u16>,
}

/// A value that is read from its text, so that a wrong one is told where it stands.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Text<T>(T);

impl<'de, T> Deserialize<'de> for Text<T>
where
    T: FromStr<Err = String>,
{
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(Reader(PhantomData))
    }
}

/// Reads while the parser still knows where it is.
struct Reader<T>(PhantomData<T>);

impl<T: FromStr<Err = String>> Visitor<'_> for Reader<T> {
    type Value = Text<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a single value")
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Text<T>, E> {
        text.parse().map(Text).map_err(E::custom)
    }
}

macro_rules! from_text {
    ($($name:ident($inner:ty) by $read:expr;)*) => {$(
        #[derive(Debug, PartialEq)]
        struct $name($inner);

        impl FromStr for $name {
            type Err = String;

            fn from_str(text: &str) -> Result<Self, String> {
                let read: fn(&str) -> Result<$inner, String> = $read;
                read(text).map(Self)
            }
        }
    )*};
}

from_text! {
    Share(f64) by share;
    Time(f64) by |text| time(text).map(|time| time.as_secs_f64());
    Verb(Method) by |text| {
        text.to_ascii_uppercase().parse().map_err(|_| format!("`{text}` is no method"))
    };
    RequestPath(String) by |text| {
        // Braces stand for values without any character that a path may not have.
        let filled = text.replace(['{', '}'], "");
        match text.starts_with('/') && filled.parse::<http::Uri>().is_ok() {
            true => Ok(text.to_owned()),
            false => Err(format!("`{text}` is no path: write /api/item")),
        }
    };
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Header(String);

impl FromStr for Header {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.parse::<HeaderName>() {
            Ok(_) => Ok(Self(text.to_owned())),
            Err(_) => Err(format!("`{text}` is no name of a header")),
        }
    }
}

/// `20/s`, `20/s..500/s`, `500/s..50/s tau 5s`.
impl FromStr for PhaseRate {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (rates, tau) = match text.split_once(" tau ") {
            Some((rates, tau)) => (rates.trim(), Some(time(tau.trim())?.as_secs_f64())),
            None => (text.trim(), None),
        };
        let (from, to) = rates.split_once("..").unwrap_or((rates, rates));
        let (from, to) = (from.trim().parse::<Rate>()?.0, to.trim().parse::<Rate>()?.0);
        Ok(match tau {
            None => Self::Line { from, to },
            Some(tau) => Self::Decay { from, to, tau },
        })
    }
}

pub(crate) fn read(path: &Path) -> Outcome<Profile> {
    let raw: RawProfile = config::load(path).map_err(|error| invalid(&error))?;
    let name = path.file_stem().unwrap_or_default().to_string_lossy();
    profile(raw, &name).map_err(|why| {
        Failure::new(format!("{}: {why}", path.display()))
            .next("`cfx rehearse --example-profile` prints one that is right")
    })
}

fn invalid(error: &ConfigError) -> Failure {
    let step = match error {
        ConfigError::Unreadable { .. } => {
            "profiles are flash-sale, ramp, spike, or a file that can be read"
        }
        _ => "`cfx rehearse --example-profile` prints one that is right",
    };
    Failure::new(error.to_string()).next(step)
}

/// What no single line shows.
fn profile(raw: RawProfile, name: &str) -> Result<Profile, String> {
    if raw.phases.is_empty() {
        return Err("it has no phases".to_owned());
    }
    if raw.phases.len() > ENTRIES_MAX || raw.requests.len() > ENTRIES_MAX {
        return Err(format!(
            "it may have {ENTRIES_MAX} phases and {ENTRIES_MAX} requests"
        ));
    }
    let mut phases: Vec<Phase> = Vec::with_capacity(raw.phases.len());
    for phase in raw.phases {
        if phases.iter().any(|other| other.name == phase.name) {
            return Err(format!("two phases are named `{}`", phase.name));
        }
        phases.push(Phase {
            name: phase.name,
            seconds: phase.length.0.0,
            rate: phase.rate.0,
        });
    }
    let crowd = crowd(raw.requests, raw.sale_from, &phases)?;
    let profile = Profile {
        name: name.to_owned(),
        phases,
        crowd,
        connections_new: raw.connections_new.map(|share| share.0.0),
        fail_if: raw.fail_if.into_iter().map(|line| line.0).collect(),
    };
    match profile.seconds() <= SECONDS_MAX {
        true => Ok(profile),
        false => Err(format!("it is longer than {SECONDS_MAX} s")),
    }
}

/// Shoppers when there is a sale, else visitors with what they ask for.
fn crowd(
    requests: Vec<RawRequest>,
    sale_from: Option<String>,
    phases: &[Phase],
) -> Result<Crowd, String> {
    if let Some(name) = sale_from {
        if !requests.is_empty() {
            return Err("it has requests and sale-from: shoppers bring their own".to_owned());
        }
        let sale_from = phases.iter().position(|phase| phase.name == name);
        let sale_from =
            sale_from.ok_or_else(|| format!("sale-from: no phase is named `{name}`"))?;
        return Ok(Crowd::Shoppers { sale_from });
    }
    let templates: Result<Vec<Template>, String> = requests.into_iter().map(template).collect();
    let mut templates = templates?;
    if templates.is_empty() {
        templates.push(Template::get("/"));
    }
    Ok(Crowd::Visitors(templates))
}

fn template(request: RawRequest) -> Result<Template, String> {
    let weight = request.weight.unwrap_or(1.0);
    if !weight.is_finite() || weight <= 0.0 {
        return Err(format!("the weight of {} is not above 0", request.path.0.0));
    }
    let mut headers = Vec::with_capacity(request.headers.len());
    for (Text(Header(name)), value) in request.headers {
        HeaderValue::try_from(&value).map_err(|_| format!("the value of {name} is no header's"))?;
        let name = name
            .parse()
            .map_err(|_| format!("`{name}` is no name of a header"))?;
        headers.push((name, value));
    }
    Ok(Template {
        method: request.method.map_or(Method::GET, |verb| verb.0.0),
        path: request.path.0.0,
        headers,
        body: request.body,
        weight,
        expect: request.expect,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_text(text: &str) -> Outcome<Profile> {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("friday.yml");
        std::fs::write(&path, text).expect("written");
        read(&path)
    }

    #[test]
    fn the_example_is_right() {
        let profile = read_text(EXAMPLE).expect("the example");
        assert_eq!(profile.name, "friday");
        assert_eq!(profile.names(), ["quiet", "rush", "fading"]);
        assert!((profile.seconds() - 41.0).abs() < 1e-9);
        assert_eq!(profile.connections_new, Some(0.5));
        assert_eq!(profile.fail_if.len(), 2);
        let Crowd::Visitors(templates) = profile.crowd else {
            panic!("visitors");
        };
        assert_eq!(templates.len(), 2);
        assert_eq!(templates[1].expect, [201, 409]);
    }

    #[test]
    fn the_profile_of_the_sample_app_brings_shoppers() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let path = root.join("../sample-apps/flash-sale/rehearsal.yml");
        let profile = read(&path).expect("the sample's profile");
        assert_eq!(profile.crowd, Crowd::Shoppers { sale_from: 2 });
        let jump = profile.curve().peak() / profile.curve().rate(1.0);
        assert!((30.0..=100.0).contains(&jump), "{jump}");
    }

    #[test]
    fn what_is_wrong_is_told_with_file_and_line() {
        let phase = "phases:\n- name: a\n  for: 10s\n  rate: 5/s\n";
        for (text, line, word) in [
            (
                "phases:\n- name: a\n  for: soon\n  rate: 5/s\n".to_owned(),
                3,
                "soon",
            ),
            (
                "phases:\n- name: a\n  for: 10s\n  rate: fast\n".to_owned(),
                4,
                "fast",
            ),
            (
                "phases:\n- name: a\n  fro: 10s\n  rate: 5/s\n".to_owned(),
                3,
                "fro",
            ),
            (format!("{phase}fail-if:\n- p99 > 1\n"), 6, "200ms"),
            (format!("{phase}requests:\n- path: item\n"), 6, "item"),
            (
                format!("{phase}requests:\n- path: /\n  method: \"G T\"\n"),
                7,
                "method",
            ),
            (format!("{phase}colour: red\n"), 5, "colour"),
        ] {
            let failure = read_text(&text).expect_err(&text);
            let place = format!("friday.yml:{line}:");
            assert!(
                failure.message().contains(&place),
                "{text}: {}",
                failure.message()
            );
            assert!(
                failure.message().contains(word),
                "{text}: {}",
                failure.message()
            );
            assert!(failure.next_step().is_some());
        }
    }

    #[test]
    fn what_no_line_shows_is_told_too() {
        let twice = "phases:\n- {name: a, for: 1s, rate: 5/s}\n- {name: a, for: 1s, rate: 5/s}\n";
        let sale = "sale-from: doors\nphases: [{name: a, for: 1s, rate: 5/s}]\n";
        for (text, word) in [
            ("phases: []\n", "no phases"),
            (sale, "doors"),
            (twice, "two phases"),
            ("phases: [{name: a, for: 10h, rate: 1/s}]\n", "longer"),
            (
                "phases: [{name: a, for: 1s, rate: 1/s}]\nrequests: [{path: /, weight: 0}]\n",
                "weight",
            ),
        ] {
            let failure = read_text(text).expect_err(text);
            assert!(
                failure.message().contains(word),
                "{text}: {}",
                failure.message()
            );
        }
    }
}
