//! Patterns of paths.

use crate::{Error, Result};

/// A pattern of dotted paths, such as `layer4.**|fc.weight`.
///
/// - `*` stands for any characters within one part (`layer*.bias`);
/// - `**` stands for any number of parts, also none (`**.bias`, `head.**`);
/// - `|` separates alternatives.
///
/// `head.**` also matches `head` itself, so that it names a module with all
/// that is inside.
///
/// ```
/// use tl_nn::Glob;
/// # fn main() -> tl_nn::Result<()> {
/// let biases = Glob::new("**.bias")?;
/// assert!(biases.matches("layer1.0.conv1.bias"));
/// assert!(!biases.matches("layer1.0.conv1.weight"));
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Glob {
    pattern: String,
    alternatives: Vec<Vec<String>>,
}

impl Glob {
    /// Reads a pattern.
    ///
    /// # Errors
    /// An empty alternative or part, or `**` beside other characters.
    pub fn new(pattern: &str) -> Result<Self> {
        let fail = |problem| Error::Pattern { pattern: pattern.to_owned(), problem };
        let mut alternatives = Vec::new();
        for alternative in pattern.split('|') {
            let parts: Vec<String> = alternative.trim().split('.').map(str::to_owned).collect();
            if parts.iter().any(String::is_empty) {
                return Err(fail("it has an empty part"));
            }
            if parts.iter().any(|p| p.contains("**") && p != "**") {
                return Err(fail("`**` must stand alone between dots"));
            }
            alternatives.push(parts);
        }
        Ok(Self { pattern: pattern.to_owned(), alternatives })
    }

    /// The pattern as it was written.
    pub fn as_str(&self) -> &str {
        &self.pattern
    }

    /// Whether a path matches.
    pub fn matches(&self, path: &str) -> bool {
        let parts: Vec<&str> = path.split('.').collect();
        self.alternatives.iter().any(|a| parts_match(a, &parts))
    }
}

fn parts_match(pattern: &[String], path: &[&str]) -> bool {
    match pattern.split_first() {
        None => path.is_empty(),
        Some((first, rest)) if first == "**" => {
            (0..=path.len()).any(|skip| parts_match(rest, &path[skip..]))
        }
        Some((first, rest)) => path.split_first().is_some_and(|(head, tail)| {
            part_matches(first.as_bytes(), head.as_bytes()) && parts_match(rest, tail)
        }),
    }
}

fn part_matches(pattern: &[u8], text: &[u8]) -> bool {
    match pattern.split_first() {
        None => text.is_empty(),
        Some((b'*', rest)) => (0..=text.len()).any(|skip| part_matches(rest, &text[skip..])),
        Some((c, rest)) => {
            text.split_first().is_some_and(|(t, tail)| t == c && part_matches(rest, tail))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stars_and_alternatives() {
        let yes = |p: &str, path: &str| Glob::new(p).unwrap().matches(path);
        assert!(yes("**", "a.b.c"));
        assert!(yes("a.**", "a") && yes("a.**", "a.b.c") && !yes("a.**", "ab.c"));
        assert!(
            yes("**.bias", "bias") && yes("**.bias", "x.y.bias") && !yes("**.bias", "x.biases")
        );
        assert!(yes("layer*.0.conv?", "layer1.0.conv?") && !yes("layer*.0", "layer1.1"));
        assert!(yes("a.*|b.**.w", "b.c.d.w") && !yes("a.*", "a.b.c"));
    }

    #[test]
    fn broken_patterns_are_refused() {
        for pattern in ["", "a..b", "a.**b", "a||b", ".a"] {
            assert!(Glob::new(pattern).is_err(), "{pattern}");
        }
    }
}
