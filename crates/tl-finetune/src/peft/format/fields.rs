//! Fields of `adapter_config.json`.

use crate::{Error, Result};
use serde_json::{Map, Value};
use std::path::Path;

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
        self.fits_rank("r", self.get("r").and_then(Value::as_f64).unwrap_or(0.0))
    }

    /// The number of a pattern for a module, if it has one. PEFT's keys are ends of
    /// modules, or whole ones after a `^`. Of several that fit it takes the first in
    /// the file; here they have to agree.
    pub(super) fn of_module(&self, name: &str, module: &str) -> Result<Option<f64>> {
        let Some(value) = self.get(name) else { return Ok(None) };
        let map = value.as_object().ok_or_else(|| self.wrong(name, "an object"))?;
        let mut found: Option<f64> = None;
        for (key, value) in map {
            let (whole, key) = match key.strip_prefix('^') {
                Some(rest) => (true, rest.strip_suffix('$').unwrap_or(rest)),
                None => (false, key.as_str()),
            };
            let plain = key.chars().all(|c| c.is_alphanumeric() || "._-".contains(c));
            let number = value.as_f64().filter(|x| plain && x.abs() <= 1e9);
            let expected = "names of modules (no regular expressions) and numbers";
            let number = number.ok_or_else(|| self.wrong(name, expected))?;
            let end = module.strip_suffix(key).is_some_and(|rest| rest.ends_with('.'));
            if module != key && (whole || !end) {
                continue;
            }
            if found.is_some_and(|before| before != number) {
                return Err(self.wrong(name, &format!("one number for `{module}`")));
            }
            found = Some(number);
        }
        Ok(found)
    }

    /// A rank that is no surprise.
    pub(super) fn fits_rank(&self, name: &str, rank: f64) -> Result<usize> {
        if rank.fract() == 0.0 && (1.0..=65_536.0).contains(&rank) {
            return Ok(rank as usize);
        }
        Err(self.wrong(name, "ranks of 1 to 65536"))
    }
}
