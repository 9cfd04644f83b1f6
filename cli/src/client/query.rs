//! Query strings as the v3 API reads them.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

/// What a query value or a path segment may hold as it is.
const KEEP: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'_')
    .remove(b'.')
    .remove(b'~');

/// One value of a filter. A comma separates values there, so one inside a value is encoded twice.
fn value(text: &str) -> String {
    encode(&text.replace(',', "%2C"))
}

/// Percent-encode for a path segment or a query value.
pub(crate) fn encode(text: &str) -> String {
    utf8_percent_encode(text, KEEP).to_string()
}

/// `path?key=value&...`; each value is one value of its filter.
pub(crate) fn with(path: &str, pairs: &[(&str, &str)]) -> String {
    let query: Vec<String> = pairs
        .iter()
        .map(|(key, text)| format!("{key}={}", value(text)))
        .collect();
    format!("{path}?{}", query.join("&"))
}

/// A filter of many values: `a,b,c`.
pub(crate) fn any_of<'a>(values: impl IntoIterator<Item = &'a str>) -> String {
    let values: Vec<String> = values.into_iter().map(value).collect();
    values.join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_comma_inside_a_value_is_encoded_twice() {
        assert_eq!(
            with("/v3/apps", &[("names", "a,b c"), ("per_page", "1")]),
            "/v3/apps?names=a%252Cb%20c&per_page=1"
        );
        assert_eq!(any_of(["x", "y/z"]), "x,y%2Fz");
    }

    #[test]
    fn an_empty_value_stays_a_filter() {
        assert_eq!(with("/v3/routes", &[("hosts", "")]), "/v3/routes?hosts=");
    }

    #[test]
    fn a_percent_sign_alone_is_encoded_once() {
        assert_eq!(
            with("/v3/apps", &[("names", "50%")]),
            "/v3/apps?names=50%25"
        );
    }
}
