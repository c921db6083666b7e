//! The query string as it was given, taken apart by name.
//!
//! Invariant: a parameter that nobody asked for is an error, because a filter that is ignored gives wrong numbers.

use std::collections::BTreeMap;

use crate::error::ApiError;

/// Parameters not taken yet, and the names that were asked for (for the error message).
#[derive(Debug, Default)]
pub struct Parameters {
    given: BTreeMap<String, Vec<String>>,
    asked: Vec<&'static str>,
}

impl Parameters {
    pub fn new(pairs: impl IntoIterator<Item = (String, String)>) -> Self {
        let mut given: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for (name, value) in pairs {
            given.entry(name).or_default().push(value);
        }
        Self {
            given,
            asked: Vec::new(),
        }
    }

    /// A value that is still to be taken.
    pub fn peek(&self, name: &str) -> Option<String> {
        self.given.get(name)?.first().cloned()
    }

    /// A single value; empty counts as not given.
    pub fn text(&mut self, name: &'static str) -> Result<Option<String>, ApiError> {
        self.asked.push(name);
        let mut values = self.given.remove(name).unwrap_or_default();
        if values.len() > 1 {
            return Err(ApiError::bad(name, "given more than once"));
        }
        Ok(values
            .pop()
            .map(|value| value.trim().to_owned())
            .filter(|value| !value.is_empty()))
    }

    /// One of a closed set, by its name.
    pub fn choice<T: Copy>(
        &mut self,
        name: &'static str,
        choices: &[(&str, T)],
    ) -> Result<Option<T>, ApiError> {
        let Some(value) = self.text(name)? else {
            return Ok(None);
        };
        let found = choices.iter().find(|(known, _)| *known == value);
        found.map(|(_, choice)| Some(*choice)).ok_or_else(|| {
            let known: Vec<&str> = choices.iter().map(|(known, _)| *known).collect();
            ApiError::bad(name, format!("{value:?} is none of {}", known.join(", ")))
        })
    }

    /// A number within `range`.
    pub fn number(
        &mut self,
        name: &'static str,
        range: std::ops::RangeInclusive<i64>,
    ) -> Result<Option<i64>, ApiError> {
        let Some(value) = self.text(name)? else {
            return Ok(None);
        };
        match value.parse() {
            Ok(number) if range.contains(&number) => Ok(Some(number)),
            _ => Err(ApiError::bad(
                name,
                format!("{value:?} is no number from {} to {}", range.start(), range.end()),
            )),
        }
    }

    /// A list, comma separated or repeated.
    pub fn list(&mut self, name: &'static str) -> Option<String> {
        self.asked.push(name);
        self.given.remove(name).map(|values| values.join(","))
    }

    /// Refuses what is known and not offered, and says why.
    pub fn refuse(&mut self, names: &[(&'static str, &'static str)]) -> Result<(), ApiError> {
        for (name, reason) in names {
            let asked = self.given.remove(*name).unwrap_or_default();
            if asked.iter().any(|value| !value.trim().is_empty()) {
                return Err(ApiError::Unprocessable(format!("{name}: {reason}")));
            }
        }
        Ok(())
    }

    /// Refuses what is left.
    pub fn finish(mut self) -> Result<(), ApiError> {
        let Some((name, _)) = self.given.pop_first() else {
            return Ok(());
        };
        self.asked.sort_unstable();
        Err(ApiError::bad(
            &name,
            format!(
                "not a parameter of this operation; those are {}",
                self.asked.join(", ")
            ),
        ))
    }
}

/// Whether a list is of what is not wanted (`-a,b`), and the list.
pub fn negated(text: &str) -> (bool, &str) {
    match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn given(pairs: &[(&str, &str)]) -> Parameters {
        Parameters::new(pairs.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())))
    }

    #[test]
    fn what_is_not_asked_for_is_refused_by_name() {
        let mut parameters = given(&[("mode", "test"), ("contry", "US")]);
        assert_eq!(parameters.text("mode").unwrap().as_deref(), Some("test"));
        let message = parameters.finish().unwrap_err().to_string();
        assert!(
            message.starts_with("contry:") && message.contains("mode"),
            "{message}"
        );
    }

    #[test]
    fn values_are_checked_by_name() {
        assert!(given(&[("page", "0")]).number("page", 1..=9).is_err());
        assert!(given(&[("page", "x")]).number("page", 1..=9).is_err());
        assert_eq!(given(&[("page", "9")]).number("page", 1..=9).unwrap(), Some(9));
        assert!(given(&[("a", "1"), ("a", "2")]).text("a").is_err());
        assert_eq!(given(&[("a", "1"), ("a", "2")]).list("a").as_deref(), Some("1,2"));
        assert_eq!(given(&[("a", " ")]).text("a").unwrap(), None);
        assert!(given(&[("a", "z")]).choice("a", &[("x", 1)]).is_err());
    }
}
