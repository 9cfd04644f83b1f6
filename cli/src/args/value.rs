//! Values of flags that are more than text.

use cfx_protocol::quantity;

use super::autoscale::Moment;

/// `256M`, kept as it was typed.
pub(super) fn amount(text: &str) -> Result<String, String> {
    match quantity::parse_mebibytes(text) {
        Ok(_) => Ok(text.to_owned()),
        Err(error) => Err(error.to_string()),
    }
}

/// An amount of bytes, or -1 for no limit.
pub(super) fn rate(text: &str) -> Result<String, String> {
    if matches!(text, "-1" | "0") {
        return Ok(text.to_owned());
    }
    match quantity::parse_bytes(text) {
        Ok(_) => Ok(text.to_owned()),
        Err(error) => Err(format!("{error}, or -1 for no limit")),
    }
}

/// An app or a part of it: `shop`, `shop/3`.
pub(super) fn app_and_index(text: &str) -> Result<AppAndIndex, String> {
    let (name, index) = match text.rsplit_once('/') {
        None => (text, None),
        Some((name, digits)) => {
            let index = digits
                .parse()
                .map_err(|_| format!("`{digits}` is not an instance index: write APP/0"))?;
            (name, Some(index))
        }
    };
    if name.is_empty() {
        return Err("the app has no name".to_owned());
    }
    Ok(AppAndIndex {
        app: name.to_owned(),
        index,
    })
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct AppAndIndex {
    pub(crate) app: String,
    pub(crate) index: Option<u32>,
}

/// Seconds of `90s`, `30m`, `2h`, `1h30m`.
pub(super) fn duration(text: &str) -> Result<u32, String> {
    cfx_rules::units::duration_from_text(text)
        .ok_or_else(|| format!("`{text}` is no length of time: write 90s, 30m, 2h or 1h30m"))
}

/// A time such as 2026-11-27T20:00:00Z, or how long ago.
pub(super) fn moment(text: &str) -> Result<Moment, String> {
    if let Ok(seconds) = duration(text) {
        return Ok(Moment::Ago(seconds));
    }
    let at = text.parse::<jiff::Timestamp>();
    at.map(Moment::At).map_err(|_| {
        format!("`{text}` is no time: write 2026-11-27T20:00:00Z, or 10m for ten minutes ago")
    })
}

/// A route's path with its leading slash.
pub(super) fn route_path(text: &str) -> Result<String, String> {
    if text.contains('?') {
        return Err("a route's path has no query".to_owned());
    }
    let trimmed = text.trim_matches('/');
    Ok(if trimmed.is_empty() {
        String::new()
    } else {
        format!("/{trimmed}")
    })
}
