//! Reads fields of JSON objects, and collects what is wrong with each under its path.

use std::ops::RangeInclusive;

use serde_json::{Map, Value};

use super::{FieldError, ImportError};

/// Most errors of one answer: whoever has more made the same one often.
const ERRORS_MAX: usize = 50;

#[derive(Debug, Default)]
pub(super) struct Reader {
    pub(super) errors: Vec<FieldError>,
}

impl Reader {
    pub(super) fn error(&mut self, path: String, problem: &str) {
        if self.errors.len() < ERRORS_MAX {
            let problem = problem.to_owned();
            self.errors.push(FieldError { path, problem });
        }
    }

    /// The only error.
    pub(super) fn one(&mut self, path: &str, problem: &str) -> ImportError {
        self.error(path.to_owned(), problem);
        ImportError {
            fields: std::mem::take(&mut self.errors),
        }
    }
}

/// One object and where it is.
#[derive(Debug)]
pub(super) struct Fields<'a> {
    map: &'a Map<String, Value>,
    path: String,
}

impl<'a> Fields<'a> {
    pub(super) fn of(value: &'a Value, path: &str) -> Option<Self> {
        let map = value.as_object()?;
        let path = path.to_owned();
        Some(Self { map, path })
    }

    pub(super) fn path(&self, name: &str) -> String {
        if self.path.is_empty() {
            name.to_owned()
        } else {
            format!("{}.{name}", self.path)
        }
    }

    pub(super) fn get(&self, name: &str) -> Option<&'a Value> {
        self.map.get(name)
    }

    /// Paths of the fields that are none of these.
    pub(super) fn unknown(&self, known: &[&str]) -> Vec<String> {
        let names = self
            .map
            .keys()
            .filter(|name| !known.contains(&name.as_str()));
        names.map(|name| self.path(name)).collect()
    }

    pub(super) fn object(&self, name: &str, reader: &mut Reader) -> Option<Fields<'a>> {
        let value = self.get(name).filter(|value| !value.is_null())?;
        let fields = Fields::of(value, &self.path(name));
        if fields.is_none() {
            reader.error(self.path(name), "must be an object");
        }
        fields
    }

    /// The objects of a list; nothing when the field is missing.
    pub(super) fn objects(&self, name: &str, reader: &mut Reader) -> Vec<Fields<'a>> {
        let path = self.path(name);
        let Some(value) = self.get(name).filter(|value| !value.is_null()) else {
            return Vec::new();
        };
        let Some(list) = value.as_array() else {
            reader.error(path, "must be a list");
            return Vec::new();
        };
        let mut objects = Vec::new();
        for (at, one) in list.iter().enumerate() {
            let path = format!("{path}[{at}]");
            match Fields::of(one, &path) {
                Some(fields) => objects.push(fields),
                None => reader.error(path, "must be an object"),
            }
        }
        objects
    }

    /// A whole number that must be there.
    pub(super) fn integer(
        &self,
        name: &str,
        range: RangeInclusive<i64>,
        reader: &mut Reader,
    ) -> Option<i64> {
        if self.get(name).is_none() {
            reader.error(self.path(name), "is missing");
            return None;
        }
        self.integer_if_any(name, range, reader)
    }

    /// A whole number that may be missing.
    pub(super) fn integer_if_any(
        &self,
        name: &str,
        range: RangeInclusive<i64>,
        reader: &mut Reader,
    ) -> Option<i64> {
        let number = self
            .get(name)?
            .as_i64()
            .filter(|number| range.contains(number));
        if number.is_none() {
            let (least, most) = (range.start(), range.end());
            let problem = format!("must be a whole number from {least} to {most}");
            reader.error(self.path(name), &problem);
        }
        number
    }

    /// A number of instances that must be there.
    pub(super) fn count(
        &self,
        name: &str,
        range: RangeInclusive<i64>,
        reader: &mut Reader,
    ) -> Option<u32> {
        u32::try_from(self.integer(name, range, reader)?).ok()
    }

    /// Text; an empty one counts as missing.
    pub(super) fn text(&self, name: &str, reader: &mut Reader) -> Option<String> {
        let value = self.get(name).filter(|value| !value.is_null())?;
        if value.as_str().is_none() {
            reader.error(self.path(name), "must be a text");
        }
        value
            .as_str()
            .filter(|text| !text.is_empty())
            .map(str::to_owned)
    }

    pub(super) fn required_text(&self, name: &str, reader: &mut Reader) -> Option<String> {
        let before = reader.errors.len();
        let text = self.text(name, reader);
        if text.is_none() && reader.errors.len() == before {
            reader.error(self.path(name), "is missing");
        }
        text
    }

    pub(super) fn choice(&self, name: &str, of: &[&str], reader: &mut Reader) -> Option<String> {
        let text = self.text(name, reader)?;
        if of.contains(&text.as_str()) {
            return Some(text);
        }
        reader.error(
            self.path(name),
            &format!("must be one of {}", of.join(", ")),
        );
        None
    }

    /// Text that `parse` understands; `what` says which form it has.
    pub(super) fn parsed<T>(
        &self,
        name: &str,
        what: &str,
        parse: impl Fn(&str) -> Option<T>,
        reader: &mut Reader,
    ) -> Option<T> {
        let text = self.text(name, reader)?;
        let value = parse(&text);
        if value.is_none() {
            reader.error(self.path(name), &format!("must be {what}"));
        }
        value
    }
}
