//! What a tree of concepts says about classes.

use crate::{Error, Result, Signatures};
use std::collections::BTreeMap;
use tl_nn::Tensor;

/// Concepts and their more general ones, such as WordNet's hypernyms: a directed
/// graph without cycles, in which a concept may have several parents.
///
/// ```
/// use tl_zeroshot::Hierarchy;
/// # fn main() -> tl_zeroshot::Result<()> {
/// let tree = Hierarchy::new([
///     ("cat", "feline"), ("tiger", "feline"), ("feline", "animal"), ("trout", "animal"),
/// ])?;
/// // Steps over the nearest common concept.
/// assert_eq!(tree.distance("cat", "tiger")?, Some(2));
/// assert_eq!(tree.distance("cat", "trout")?, Some(3));
/// let classes = tree.signatures(&["cat", "tiger", "trout"])?;
/// assert_eq!(classes.attributes(), ["animal", "cat", "feline", "tiger", "trout"]);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, Default)]
pub struct Hierarchy {
    parents: BTreeMap<String, Vec<String>>,
}

impl Hierarchy {
    /// From pairs of a concept and a more general one.
    ///
    /// # Errors
    /// A concept that is, over any number of steps, more general than itself.
    pub fn new<S: Into<String>>(pairs: impl IntoIterator<Item = (S, S)>) -> Result<Self> {
        let mut parents: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for (concept, general) in pairs {
            let (concept, general) = (concept.into(), general.into());
            parents.entry(general.clone()).or_default();
            parents.entry(concept).or_default().push(general);
        }
        let this = Self { parents };
        match this.cycle() {
            None => Ok(this),
            Some(name) => {
                let expected = "concepts that are not more general than themselves";
                Err(Error::argument("hierarchy", "pairs", format!("a cycle at `{name}`"), expected))
            }
        }
    }

    /// A concept on a cycle: what is left when concepts whose parents are all gone
    /// are taken away, again and again.
    fn cycle(&self) -> Option<&str> {
        let mut waiting: BTreeMap<&str, usize> =
            self.parents.iter().map(|(c, p)| (c.as_str(), p.len())).collect();
        let mut children: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for (concept, parents) in &self.parents {
            for parent in parents {
                children.entry(parent).or_default().push(concept);
            }
        }
        let mut free: Vec<&str> =
            waiting.iter().filter(|(_, n)| **n == 0).map(|(c, _)| *c).collect();
        while let Some(concept) = free.pop() {
            waiting.remove(concept);
            for child in children.get(concept).into_iter().flatten() {
                if let Some(left) = waiting.get_mut(child) {
                    *left -= 1;
                    if *left == 0 {
                        free.push(child);
                    }
                }
            }
        }
        waiting.keys().next().copied()
    }

    /// The concept itself and all more general ones, with the steps to them.
    ///
    /// # Errors
    /// No such concept.
    pub fn ancestors(&self, concept: &str) -> Result<BTreeMap<&str, usize>> {
        let Some((start, _)) = self.parents.get_key_value(concept) else {
            let known: Vec<&str> = self.parents.keys().take(10).map(String::as_str).collect();
            let expected = format!("one of those that are there, such as {known:?}");
            return Err(Error::argument("hierarchy", "concept", concept, expected));
        };
        let mut steps = BTreeMap::from([(start.as_str(), 0)]);
        let mut level = vec![start.as_str()];
        let mut depth = 0;
        while !level.is_empty() {
            depth += 1;
            let mut above = Vec::new();
            for parent in level.iter().flat_map(|c| &self.parents[*c]) {
                if !steps.contains_key(parent.as_str()) {
                    steps.insert(parent, depth);
                    above.push(parent.as_str());
                }
            }
            level = above;
        }
        Ok(steps)
    }

    /// The fewest steps from one concept to the other over one that is more general
    /// than both, or `None` if there is none (Rada et al. 1989).
    ///
    /// # Errors
    /// A concept that is not there.
    pub fn distance(&self, a: &str, b: &str) -> Result<Option<usize>> {
        let (a, b) = (self.ancestors(a)?, self.ancestors(b)?);
        Ok(a.iter().filter_map(|(c, up)| Some(up + b.get(c)?)).min())
    }

    /// A signature for each class: 1 for the class and each concept above it, 0
    /// elsewhere, over all concepts above any of them; alphabetical (the
    /// hierarchical embedding of Akata et al. 2015, section 4).
    ///
    /// # Errors
    /// A class that is not there, or twice.
    pub fn signatures(&self, classes: &[&str]) -> Result<Signatures> {
        let above: Vec<_> =
            classes.iter().map(|class| self.ancestors(class)).collect::<Result<_>>()?;
        let mut concepts: Vec<&str> = above.iter().flat_map(BTreeMap::keys).copied().collect();
        concepts.sort_unstable();
        concepts.dedup();
        let row = |own: &BTreeMap<&str, usize>| -> Vec<f32> {
            concepts.iter().map(|c| f32::from(u8::from(own.contains_key(c)))).collect()
        };
        let table: Vec<f32> = above.iter().flat_map(row).collect();
        let table = Tensor::from_vec(table, [classes.len(), concepts.len()])?;
        Signatures::new(classes.iter().copied(), table)?.with_attributes(concepts)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn several_parents_no_common_one_and_cycles() {
        let pairs = [("pet", "animal"), ("dog", "pet"), ("dog", "canine"), ("canine", "animal")];
        let graph = Hierarchy::new(pairs.into_iter().chain([("car", "thing")])).unwrap();
        assert_eq!(graph.ancestors("dog").unwrap().len(), 4);
        assert_eq!(graph.distance("dog", "animal").unwrap(), Some(2));
        assert_eq!(graph.distance("dog", "car").unwrap(), None);
        assert!(graph.distance("dog", "cat").is_err());
        let e = Hierarchy::new([("a", "b"), ("b", "c"), ("c", "a"), ("d", "a")]).unwrap_err();
        assert!(e.to_string().contains("cycle"), "{e}");
    }

    #[test]
    fn signatures_share_what_classes_share() {
        let tree =
            Hierarchy::new([("cat", "animal"), ("dog", "animal"), ("car", "thing")]).unwrap();
        let s = tree.signatures(&["cat", "dog", "car"]).unwrap();
        let gram = s.table().matmul(&s.table().t().unwrap()).unwrap().to_vec();
        assert_eq!(gram, [2.0, 1.0, 0.0, 1.0, 2.0, 0.0, 0.0, 0.0, 2.0]);
        assert!(tree.signatures(&["cat", "cat"]).is_err());
    }
}
