//! Labels and annotations: what they may be, and how a patch changes them.

use cfx_protocol::v3::resource::MetadataPatch;

use super::Refused;
use crate::state::meta::Meta;

/// Cloud Foundry's limits on one resource.
const LABELS_MAX: usize = 50;
const ANNOTATIONS_MAX: usize = 200;
const NAME_MAX: usize = 63;
const PREFIX_MAX: usize = 253;
const ANNOTATION_VALUE_MAX: usize = 5_000;
/// Only the platform itself may use this prefix.
const RESERVED_PREFIX: &str = "cloudfoundry.org";

/// Apply a patch; null takes a key away. Nothing is changed when anything is wrong.
pub fn apply(meta: &mut Meta, patch: Option<MetadataPatch>) -> Result<(), Refused> {
    let Some(patch) = patch else { return Ok(()) };
    let (mut labels, mut annotations) = (meta.labels.clone(), meta.annotations.clone());
    for (key, value) in patch.labels {
        check_key("label", &key)?;
        match value {
            None => drop(labels.remove(&key)),
            Some(value) => {
                check_label_value(&value)?;
                labels.insert(key, value);
            }
        }
    }
    for (key, value) in patch.annotations {
        check_key("annotation", &key)?;
        match value {
            None => drop(annotations.remove(&key)),
            Some(value) if value.chars().count() > ANNOTATION_VALUE_MAX => {
                return Err(refuse(
                    "annotation value",
                    &format!("is greater than {ANNOTATION_VALUE_MAX} characters"),
                ));
            }
            Some(value) => drop(annotations.insert(key, value)),
        }
    }
    check_count("label", labels.len(), LABELS_MAX)?;
    check_count("annotation", annotations.len(), ANNOTATIONS_MAX)?;
    meta.labels = labels;
    meta.annotations = annotations;
    Ok(())
}

fn check_count(what: &str, count: usize, max: usize) -> Result<(), Refused> {
    if count > max {
        return Err(refuse(what, &format!("there may be {max} of them")));
    }
    Ok(())
}

fn refuse(what: &str, why: &str) -> Refused {
    Refused::unprocessable(format!("Metadata {what} error: {why}"))
}

fn check_key(what: &str, key: &str) -> Result<(), Refused> {
    let what = format!("{what} key");
    let name = match key.split_once('/') {
        None => key,
        Some((prefix, name)) => {
            check_prefix(&what, prefix)?;
            name
        }
    };
    if name.is_empty() {
        return Err(refuse(&what, "key cannot be empty string"));
    }
    check_name(&what, name)
}

fn check_prefix(what: &str, prefix: &str) -> Result<(), Refused> {
    let label = |part: &str| {
        !part.is_empty() && part.chars().all(|c| c.is_ascii_alphanumeric() || c == '-')
    };
    if prefix.len() > PREFIX_MAX || !prefix.contains('.') || !prefix.split('.').all(label) {
        return Err(refuse(
            what,
            &format!("prefix '{prefix}' must be in valid dns format"),
        ));
    }
    let lower = prefix.to_ascii_lowercase();
    if lower == RESERVED_PREFIX || lower.ends_with(&format!(".{RESERVED_PREFIX}")) {
        return Err(refuse(what, "prefix 'cloudfoundry.org' is reserved"));
    }
    Ok(())
}

fn check_label_value(value: &str) -> Result<(), Refused> {
    if value.is_empty() {
        return Ok(());
    }
    check_name("label value", value)
}

fn check_name(what: &str, name: &str) -> Result<(), Refused> {
    if name.chars().count() > NAME_MAX {
        return Err(refuse(
            what,
            &format!("'{name}' is greater than {NAME_MAX} characters"),
        ));
    }
    let legal = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    if !name.chars().all(legal) {
        return Err(refuse(
            what,
            &format!("'{name}' contains invalid characters"),
        ));
    }
    let edge = |c: Option<char>| c.is_some_and(|c| c.is_ascii_alphanumeric());
    if !edge(name.chars().next()) || !edge(name.chars().last()) {
        let why = format!("'{name}' must start and end with alphanumeric characters");
        return Err(refuse(what, &why));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use jiff::Timestamp;

    use super::*;

    fn labels(pairs: &[(&str, Option<&str>)]) -> Option<MetadataPatch> {
        let owned = |(k, v): &(&str, Option<&str>)| ((*k).to_owned(), v.map(str::to_owned));
        Some(MetadataPatch {
            labels: pairs.iter().map(owned).collect(),
            annotations: BTreeMap::new(),
        })
    }

    #[test]
    fn null_takes_a_label_away_and_others_stay() {
        let mut meta = Meta::new(Timestamp::UNIX_EPOCH);
        apply(
            &mut meta,
            labels(&[("env", Some("prod")), ("cfx.io/tier", Some(""))]),
        )
        .expect("legal");
        apply(&mut meta, labels(&[("env", None)])).expect("legal");
        assert_eq!(meta.labels.keys().collect::<Vec<_>>(), ["cfx.io/tier"]);
    }

    #[test]
    fn a_wrong_label_changes_nothing() {
        let long = "x".repeat(64);
        for (key, value) in [
            ("", "x"),
            ("a b", "x"),
            ("-a", "x"),
            ("cloudfoundry.org/a", "x"),
            ("nodots/a", "x"),
            ("a.b/c/d", "x"),
            ("ok", "no spaces"),
            ("ok", long.as_str()),
            (long.as_str(), "x"),
        ] {
            let mut meta = Meta::new(Timestamp::UNIX_EPOCH);
            let patch = labels(&[("fine", Some("x")), (key, Some(value))]);
            assert!(apply(&mut meta, patch).is_err(), "{key}={value}");
            assert!(meta.labels.is_empty());
        }
    }
}
