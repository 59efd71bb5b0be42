//! What classes are like: a vector of numbers for every class.

use crate::{Error, Result};
use tl_data::read::csv::{Missing, Table};
use tl_nn::Tensor;

/// A signature for every class: attributes that it has, or an embedding of its
/// name or description. `[classes, a]`.
///
/// ```
/// use tl_zeroshot::Signatures;
/// use tl_nn::Tensor;
/// # fn main() -> tl_zeroshot::Result<()> {
/// let table = Tensor::from_vec(vec![1.0, 0.0, 1.0, 1.0, 0.0, 0.0], [3, 2])?;
/// let animals = Signatures::new(["cat", "tiger", "fish"], table)?
///     .with_attributes(["fur", "dangerous"])?;
/// assert_eq!(animals.position("tiger")?, 1);
/// assert_eq!(animals.select(&[2, 1])?.names(), ["fish", "tiger"]);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Signatures {
    names: Vec<String>,
    attributes: Vec<String>,
    table: Tensor,
}

impl Signatures {
    /// A row of `table` for each name. Attributes are called by their number.
    ///
    /// # Errors
    /// Another number of names than rows; a name twice; numbers that are not
    /// finite; no attribute.
    pub fn new<S: Into<String>>(names: impl IntoIterator<Item = S>, table: Tensor) -> Result<Self> {
        let names: Vec<String> = names.into_iter().map(Into::into).collect();
        if table.rank() != 2 || table.dims()[0] != names.len() || table.dims()[1] == 0 {
            let got = format!("{:?} for {} classes", table.dims(), names.len());
            let expected = "[classes, attributes], with at least one attribute";
            return Err(Error::argument("signatures", "table", got, expected));
        }
        if !table.is_finite() {
            let got = "NaN or infinite somewhere";
            return Err(Error::argument("signatures", "table", got, "finite numbers"));
        }
        if let Some((_, name)) =
            names.iter().enumerate().find(|(i, name)| names[..*i].contains(*name))
        {
            return Err(Error::Duplicate { name: name.clone() });
        }
        let attributes = (0..table.dims()[1]).map(|i| i.to_string()).collect();
        Ok(Self { names, attributes, table: table.detach() })
    }

    /// From a table read with [`Csv`](tl_data::read::csv::Csv): the classes' names in
    /// one column, an attribute in each of the others.
    ///
    /// # Errors
    /// No such column; cells that are missing; as [`new`](Self::new).
    pub fn from_table(table: &Table, name_column: &str) -> Result<Self> {
        let names = table.texts(name_column)?;
        let data = table.dataset(name_column, Missing::Error)?;
        Self::new(names, data.features().clone())?.with_attributes(data.feature_names().to_vec())
    }

    /// Names the attributes, for explanations.
    ///
    /// # Errors
    /// Not one name for each.
    pub fn with_attributes<S: Into<String>>(
        mut self,
        names: impl IntoIterator<Item = S>,
    ) -> Result<Self> {
        let names: Vec<String> = names.into_iter().map(Into::into).collect();
        if names.len() != self.attributes.len() {
            let expected = format!("{} names", self.attributes.len());
            return Err(Error::argument("signatures", "attributes", names.len(), expected));
        }
        self.attributes = names;
        Ok(self)
    }

    /// The classes.
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// The attributes.
    pub fn attributes(&self) -> &[String] {
        &self.attributes
    }

    /// The numbers, `[classes, a]`.
    pub fn table(&self) -> &Tensor {
        &self.table
    }

    /// The number of classes.
    pub fn len(&self) -> usize {
        self.names.len()
    }

    /// Whether there is no class.
    pub fn is_empty(&self) -> bool {
        self.names.is_empty()
    }

    /// The row of a class.
    ///
    /// # Errors
    /// There is none.
    pub fn position(&self, name: &str) -> Result<usize> {
        self.names.iter().position(|n| n == name).ok_or_else(|| Error::NoSignature {
            name: name.to_owned(),
            known: self.names.iter().take(8).cloned().collect::<Vec<_>>().join(", "),
        })
    }

    /// Some classes, in that order.
    ///
    /// # Errors
    /// A class that is not there, or twice.
    pub fn select(&self, classes: &[usize]) -> Result<Self> {
        let table = self.table.index_select(0, &classes.into())?;
        let names: Vec<String> = classes.iter().map(|&c| self.names[c].clone()).collect();
        Self::new(names, table)?.with_attributes(self.attributes.clone())
    }

    /// With signatures of length 1, as most methods expect; a signature of zeros
    /// stays.
    ///
    /// # Errors
    /// None that a valid table can cause.
    pub fn unit(&self) -> Result<Self> {
        Ok(Self { table: unit_rows(&self.table)?, ..self.clone() })
    }

    /// Every attribute with mean 0 and deviation 1 over these classes; an
    /// attribute that is the same for all becomes 0.
    ///
    /// # Errors
    /// None that a valid table can cause.
    pub fn standardised(&self) -> Result<Self> {
        let centred = self.table.sub(&self.table.mean(0, true)?)?;
        let deviation = centred.square().mean(0, true)?.sqrt();
        let factor = deviation.map_constant(|s| if s > 1e-12 { 1.0 / s } else { 0.0 });
        Ok(Self { table: centred.mul(&factor)?, ..self.clone() })
    }

    /// A mixture: these attributes times `1 - part` and others of the same
    /// classes times `part`, side by side. Bring both to length 1 first.
    ///
    /// # Errors
    /// Other classes, or in another order; `part` not in 0 to 1.
    pub fn mixed(&self, others: &Self, part: f32) -> Result<Self> {
        if self.names != others.names {
            let expected = "the same classes in the same order";
            return Err(Error::argument(
                "mixed",
                "others",
                format!("{:?}", others.names),
                expected,
            ));
        }
        if !(0.0..=1.0).contains(&part) {
            return Err(Error::argument("mixed", "part", part, "a part, 0 to 1"));
        }
        let (a, b) = (self.table.mul_scalar(1.0 - part), others.table.mul_scalar(part));
        let attributes: Vec<String> =
            self.attributes.iter().chain(&others.attributes).cloned().collect();
        Self::new(self.names.clone(), Tensor::cat(&[&a, &b], 1)?)?.with_attributes(attributes)
    }

    pub(crate) fn push(&mut self, name: &str, signature: &[f32]) -> Result<()> {
        if self.names.iter().any(|n| n == name) {
            return Err(Error::Duplicate { name: name.to_owned() });
        }
        let row = Tensor::from_slice(signature, [1, self.check_width(signature)?])?;
        self.table = Tensor::cat(&[&self.table, &row], 0)?;
        self.names.push(name.to_owned());
        Ok(())
    }

    fn check_width(&self, signature: &[f32]) -> Result<usize> {
        let width = self.attributes.len();
        if signature.len() != width || signature.iter().any(|x| !x.is_finite()) {
            let got = format!("{} numbers", signature.len());
            let expected = format!("{width} finite numbers");
            return Err(Error::argument("add class", "signature", got, expected));
        }
        Ok(width)
    }

    pub(crate) fn remove(&mut self, at: usize) -> Result<()> {
        let left: Vec<usize> = (0..self.len()).filter(|&i| i != at).collect();
        self.table = self.table.index_select(0, &left.into())?;
        self.names.remove(at);
        Ok(())
    }

    pub(crate) fn rename(&mut self, at: usize, name: &str) -> Result<()> {
        if self.names.iter().any(|n| n == name) {
            return Err(Error::Duplicate { name: name.to_owned() });
        }
        name.clone_into(&mut self.names[at]);
        Ok(())
    }
}

/// Rows of length 1; a row of zeros stays.
pub(crate) fn unit_rows(x: &Tensor) -> tl_nn::Result<Tensor> {
    Ok(x.mul(&x.square().sum(-1, true)?.add_scalar(1e-24).rsqrt())?)
}

/// One vector for each class from its vectors under several templates, such as
/// "a photo of a {}" and "a drawing of a {}": the mean of unit vectors, brought
/// to length 1 again (Radford et al. 2021, section 3.1.4). `embeddings`
/// `[templates, classes, a]`.
///
/// # Errors
/// Another rank.
pub fn template_ensemble(embeddings: &Tensor) -> Result<Tensor> {
    if embeddings.rank() != 3 {
        let got = format!("{:?}", embeddings.dims());
        return Err(Error::argument("templates", "embeddings", got, "[templates, classes, a]"));
    }
    Ok(unit_rows(&unit_rows(embeddings)?.mean(0, false)?)?)
}

/// The texts of all classes under all templates, template by template; `{}`
/// stands for the name.
///
/// ```
/// let texts = tl_zeroshot::fill_templates(&["a {}", "many {}s"], &["cat", "dog"]);
/// assert_eq!(texts, ["a cat", "a dog", "many cats", "many dogs"]);
/// ```
pub fn fill_templates(templates: &[&str], names: &[&str]) -> Vec<String> {
    templates.iter().flat_map(|t| names.iter().map(move |name| t.replace("{}", name))).collect()
}
