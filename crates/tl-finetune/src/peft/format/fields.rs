//! Fields of `adapter_config.json`.

use crate::{Error, Result};
use serde_json::{Map, Value};
use std::{collections::BTreeMap, path::Path};

/// Fields of the configuration, with errors that name them.
#[derive(Clone, Copy)]
pub(super) struct Fields<'a> {
    pub(super) fields: &'a Map<String, Value>,
    pub(super) path: &'a Path,
}

impl<'a> Fields<'a> {
    pub(super) fn fail(&self, problem: String) -> Error {
        Error::Nn(tl_nn::Error::Format { path: self.path.to_owned(), problem })
    }

    pub(super) fn get(&self, name: &str) -> Option<&'a Value> {
        self.fields.get(name).filter(|v| !v.is_null())
    }

    pub(super) fn wrong(&self, name: &str, expected: &str) -> Error {
        let got = self.fields.get(name).map_or("missing".to_owned(), Value::to_string);
        let got: String = got.chars().take(80).collect();
        self.fail(format!("`{name}` is {got}; expected {expected}"))
    }

    pub(super) fn text(&self, name: &str, default: &'a str) -> Result<&'a str> {
        match self.get(name) {
            None => Ok(default),
            Some(value) => value.as_str().ok_or_else(|| self.wrong(name, "a text")),
        }
    }

    pub(super) fn flag(&self, name: &str) -> Result<bool> {
        match self.get(name) {
            None => Ok(false),
            Some(value) => value.as_bool().ok_or_else(|| self.wrong(name, "true or false")),
        }
    }

    pub(super) fn number(&self, name: &str, default: f64) -> Result<f64> {
        match self.get(name) {
            None => Ok(default),
            Some(value) => value
                .as_f64()
                .filter(|x| x.abs() <= 1e9)
                .ok_or_else(|| self.wrong(name, "a number of a sensible size")),
        }
    }

    pub(super) fn rank(&self) -> Result<usize> {
        let rank = self.get("r").and_then(Value::as_u64).filter(|r| (1..=65_536).contains(r));
        Ok(rank.ok_or_else(|| self.wrong("r", "a rank of 1 to 65536"))? as usize)
    }

    /// Numbers for some modules, by names or their ends.
    pub(super) fn pattern(&self, name: &str) -> Result<BTreeMap<&'a str, f64>> {
        let Some(value) = self.get(name) else { return Ok(BTreeMap::new()) };
        let map = value.as_object().ok_or_else(|| self.wrong(name, "an object"))?;
        map.iter()
            .map(|(key, value)| {
                let plain = key.chars().all(|c| c.is_alphanumeric() || "._-".contains(c));
                let number = value.as_f64().filter(|x| plain && x.is_finite());
                let expected = "names of modules (no regular expressions) and numbers";
                Ok((key.as_str(), number.ok_or_else(|| self.wrong(name, expected))?))
            })
            .collect()
    }
}
