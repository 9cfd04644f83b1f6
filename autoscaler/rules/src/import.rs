//! Policies of Cloud Foundry's app-autoscaler, in and out: schema 0.1 and the legacy form.
//!
//! An imported rule keeps its meaning: average of the instances, half up with a change of at least
//! one, one cool-down for both directions. Where app-autoscaler's behaviour is a known defect, ours
//! differs on purpose: holes in the data are noticed instead of skipped, all rules are looked at
//! instead of the first that fires, evidence begins anew after an act instead of counting twice,
//! scaling in needs all in-rules and the projection test, and a specific date outranks whatever
//! runs instead of being skipped. New instances count after a warm-up of 30 s. `responsetime`,
//! which averages the slowest requests of each instance, becomes the 90th percentile.

mod export;
mod field;
mod rules;
mod schedules;
#[cfg(test)]
mod tests;

use serde_json::Value;

use crate::ast::{Document, Range};
use crate::check::{self, INSTANCES_MAX};
use crate::grammar::TEXT_BYTES_MAX;
use crate::policy::Policy;
use crate::units::Second;

pub use export::{Exported, export};
use field::{Fields, Reader};

/// Longest JSON of a policy, in bytes: app-autoscaler's form is wordier than ours.
const JSON_BYTES_MAX: usize = 8 * TEXT_BYTES_MAX;

/// What a policy of app-autoscaler says.
#[derive(Debug, Clone, PartialEq)]
pub struct Imported {
    pub policy: Policy,
    pub extras: Extras,
    /// Where our behaviour differs, and what was ignored.
    pub notes: Vec<String>,
}

/// Fields that rules do not need, kept for the way back.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Extras {
    /// Whether it said `"schema-version": "0.1"`.
    pub versioned: bool,
    pub credential_type: Option<String>,
    /// `bound_app` or `same_app`: who may send custom metrics.
    pub allow_from: Option<String>,
    pub app_guid: Option<String>,
}

/// The JSON is no policy: every field that is wrong.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}", .fields.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))]
pub struct ImportError {
    pub fields: Vec<FieldError>,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{path}: {problem}")]
pub struct FieldError {
    /// Such as `scaling_rules[2].threshold`; `policy` for the whole.
    pub path: String,
    pub problem: String,
}

/// Read a policy. With `now`, dates that have passed are refused, as app-autoscaler does when a
/// policy is attached; without, they are taken.
pub fn import(json: &str, now: Option<Second>) -> Result<Imported, ImportError> {
    let mut reader = Reader::default();
    let value = match serde_json::from_str::<Value>(json) {
        _ if json.len() > JSON_BYTES_MAX => {
            let most = format!("a policy has {JSON_BYTES_MAX} bytes at most");
            return Err(reader.one("policy", &most));
        }
        Ok(value) => value,
        Err(error) => return Err(reader.one("policy", &format!("no JSON: {error}"))),
    };
    let Some(fields) = Fields::of(&value, "") else {
        return Err(reader.one("policy", "must be an object"));
    };
    let imported = policy(&fields, now, &mut reader);
    match (imported, reader.errors.is_empty()) {
        (Some(imported), true) => Ok(imported),
        _ => Err(ImportError {
            fields: reader.errors,
        }),
    }
}

const TOP: &[&str] = &[
    "schema-version",
    "credential-type",
    "instance_min_count",
    "instance_max_count",
    "scaling_rules",
    "schedules",
    "configuration",
];

fn policy(fields: &Fields<'_>, now: Option<Second>, reader: &mut Reader) -> Option<Imported> {
    let mut notes = Vec::new();
    let extras = extras(fields, &mut notes, reader);
    let counts = 1..=i64::from(INSTANCES_MAX);
    let min = fields.count("instance_min_count", counts.clone(), reader);
    let max = fields.count("instance_max_count", counts, reader);
    if let (Some(min), Some(max)) = (min, max)
        && min > max
    {
        reader.error(
            fields.path("instance_min_count"),
            "must not exceed instance_max_count",
        );
    }
    if fields.get("scaling_rules").is_none() && fields.get("schedules").is_none() {
        reader.error("policy".to_owned(), "needs scaling_rules or schedules");
    }
    let rules = rules::read(fields, &mut notes, reader);
    let schedules = schedules::read(fields, now, &mut notes, reader);
    let document = Document {
        limits: Some(Range {
            min: min?,
            max: max?,
        }),
        shared_cool_down: !rules.is_empty(),
        rules,
        schedules,
    };
    if !reader.errors.is_empty() {
        return None;
    }
    match check::check(document) {
        Ok(policy) => Some(Imported {
            policy,
            extras,
            notes,
        }),
        Err(error) => {
            reader.error("policy".to_owned(), &error.to_string());
            None
        }
    }
}

fn extras(fields: &Fields<'_>, notes: &mut Vec<String>, reader: &mut Reader) -> Extras {
    let version = fields
        .get("schema-version")
        .filter(|value| !value.is_null());
    if version.is_some_and(|version| version != "0.1") {
        reader.error(
            fields.path("schema-version"),
            "must be \"0.1\", or be left out",
        );
    }
    for unknown in fields.unknown(TOP) {
        if version.is_some() {
            reader.error(unknown, "is no field of a policy");
        } else {
            notes.push(format!("{unknown} is ignored"));
        }
    }
    let mut extras = Extras {
        versioned: version.is_some(),
        credential_type: fields.choice("credential-type", &["x509", "binding-secret"], reader),
        ..Extras::default()
    };
    let Some(configuration) = fields.object("configuration", reader) else {
        return extras;
    };
    extras.app_guid = configuration.text("app_guid", reader);
    let strategy = configuration
        .object("custom_metrics", reader)
        .and_then(|metrics| metrics.object("metric_submission_strategy", reader));
    if let Some(strategy) = strategy {
        extras.allow_from = strategy.choice("allow_from", &["bound_app", "same_app"], reader);
    }
    extras
}
