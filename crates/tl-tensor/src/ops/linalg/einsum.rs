//! Sums of products, written with indices.

use crate::{Elem, Error, Result, Shape, Tensor};
use std::fmt;

/// The name of an axis: a letter, or a place in the ellipsis counted from its
/// right end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Label {
    Dots(usize),
    Letter(char),
}

impl fmt::Display for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Dots(_) => write!(f, "an axis of `...`"),
            Self::Letter(letter) => write!(f, "`{letter}`"),
        }
    }
}

const OP: &str = "einsum";

fn wrong(formula: &str, expected: impl Into<String>) -> Error {
    Error::argument(OP, "formula", format!("`{formula}`"), expected)
}

/// The labels of one operand of `rank` dimensions.
fn labels(formula: &str, text: &str, rank: usize) -> Result<Vec<Label>> {
    let (before, after) = text.split_once("...").unwrap_or((text, ""));
    let letters = before.chars().count() + after.chars().count();
    if !before.chars().chain(after.chars()).all(char::is_alphabetic) {
        return Err(wrong(formula, "letters and at most one `...` for each operand"));
    }
    let dotted = text.contains("...");
    if letters > rank || (!dotted && letters != rank) {
        return Err(wrong(formula, format!("a letter for each of the {rank} axes of `{text}`")));
    }
    let dots = (0..rank - letters).rev().map(Label::Dots);
    let letter = |c: char| Label::Letter(c);
    Ok(before.chars().map(letter).chain(dots).chain(after.chars().map(letter)).collect())
}

/// A tensor whose axes have names, each once.
struct Named<E: Elem> {
    tensor: Tensor<E>,
    labels: Vec<Label>,
}

impl<E: Elem> Named<E> {
    /// Takes the diagonal of axes of the same name.
    fn new(mut tensor: Tensor<E>, mut labels: Vec<Label>) -> Result<Self> {
        while let Some((a, b)) = repeated(&labels) {
            if tensor.dims()[a] != tensor.dims()[b] {
                return Err(Error::shape(OP, tensor.shape(), "equal sizes of axes of one letter"));
            }
            tensor = tensor.diagonal(0, a as isize, b as isize)?;
            let name = labels.remove(b);
            labels.remove(a);
            labels.push(name);
        }
        Ok(Self { tensor, labels })
    }

    fn size(&self, label: Label) -> Option<usize> {
        self.labels.iter().position(|&l| l == label).map(|at| self.tensor.dims()[at])
    }

    /// Sums over the axes that are not kept.
    fn sum_out(&mut self, keep: impl Fn(Label) -> bool) -> Result<()> {
        let axes: Vec<isize> =
            (0..self.labels.len()).filter(|&i| !keep(self.labels[i])).map(|i| i as isize).collect();
        if !axes.is_empty() {
            self.tensor = self.tensor.sum(axes.as_slice(), false)?;
            self.labels.retain(|&l| keep(l));
        }
        Ok(())
    }

    /// The axes in this order.
    fn ordered(&self, order: &[Label]) -> Result<Tensor<E>> {
        let place = |l: &Label| self.labels.iter().position(|own| own == l).map(|i| i as isize);
        self.tensor.permute(&order.iter().filter_map(place).collect::<Vec<_>>())
    }

    /// Gives the axes in the ellipsis their common sizes.
    fn spread(&mut self, size: impl Fn(Label) -> usize) -> Result<()> {
        let dims: Vec<usize> = self.labels.iter().map(|&l| size(l)).collect();
        if dims != self.tensor.dims() {
            self.tensor = self.tensor.broadcast_to(Shape::new(&dims)?)?;
        }
        Ok(())
    }

    /// The product with another one, summed over what is not kept: a batched
    /// matrix product.
    fn product(mut self, mut other: Self, keep: impl Fn(Label) -> bool) -> Result<Self> {
        self.sum_out(|l| keep(l) || other.labels.contains(&l))?;
        other.sum_out(|l| keep(l) || self.labels.contains(&l))?;
        let in_other = |l: &&Label| other.labels.contains(l);
        let (shared, left): (Vec<Label>, Vec<Label>) = self.labels.iter().partition(in_other);
        let (batch, inner): (Vec<Label>, Vec<Label>) = shared.iter().partition(|l| keep(**l));
        let right: Vec<Label> =
            other.labels.iter().copied().filter(|l| !self.labels.contains(l)).collect();
        let size = |list: &[Label]| -> usize {
            list.iter().filter_map(|&l| self.size(l).or(other.size(l))).product()
        };
        let (b, m, k, n) = (size(&batch), size(&left), size(&inner), size(&right));
        let x = self.ordered(&[&batch[..], &left, &inner].concat())?.reshape([b, m, k])?;
        let y = other.ordered(&[&batch[..], &inner, &right].concat())?.reshape([b, k, n])?;
        let labels = [&batch[..], &left, &right].concat();
        let dims: Vec<usize> =
            labels.iter().filter_map(|&l| self.size(l).or(other.size(l))).collect();
        Ok(Self { tensor: x.matmul(&y)?.reshape(Shape::new(&dims)?)?, labels })
    }
}

/// Two axes of the same name.
fn repeated(labels: &[Label]) -> Option<(usize, usize)> {
    (0..labels.len())
        .find_map(|a| (a + 1..labels.len()).find(|&b| labels[b] == labels[a]).map(|b| (a, b)))
}

impl<E: Elem> Tensor<E> {
    /// Sums of products in index notation, as in NumPy and PyTorch:
    /// `"bik,bkj->bij"` is a batched matrix product. A letter that is not after
    /// the arrow is summed over; one that occurs twice in an operand takes its
    /// diagonal; `...` stands for axes that broadcast. Without an arrow the
    /// result has the axes of `...`, then the letters that occur once, in
    /// alphabetical order.
    ///
    /// Operands are multiplied from left to right, each time as one batched
    /// matrix product.
    ///
    /// ```
    /// # use tl_tensor::Tensor;
    /// # fn main() -> tl_tensor::Result<()> {
    /// let a = Tensor::from_slice(&[1.0_f32, 2.0, 3.0, 4.0], [2, 2])?;
    /// assert_eq!(Tensor::einsum("ij,kj->ik", &[&a, &a])?.to_vec(), [5.0, 11.0, 11.0, 25.0]);
    /// assert_eq!(Tensor::einsum("ii", &[&a])?.item()?, 5.0);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// A formula that cannot be read or does not fit the operands; a letter of
    /// different sizes; a result letter that no operand has.
    pub fn einsum(formula: &str, operands: &[&Self]) -> Result<Self> {
        let text: String = formula.chars().filter(|c| !c.is_whitespace()).collect();
        let (inputs, output) = match text.split_once("->") {
            Some((inputs, output)) => (inputs, Some(output)),
            None => (text.as_str(), None),
        };
        let parts: Vec<&str> = inputs.split(',').collect();
        if parts.len() != operands.len() || operands.is_empty() {
            let expected = format!("an operand for each of {} parts", operands.len());
            return Err(wrong(formula, expected));
        }
        let mut named = Vec::new();
        for (part, operand) in parts.iter().zip(operands) {
            named.push(Named::new((*operand).clone(), labels(formula, part, operand.rank())?)?);
        }
        let sizes = sizes(formula, &named)?;
        let size = |l: Label| sizes.iter().find(|s| s.0 == l).map_or(1, |s| s.1);
        for operand in &mut named {
            operand.spread(size)?;
        }
        let output = match output {
            Some(text) => {
                let dots = sizes.iter().filter(|s| matches!(s.0, Label::Dots(_))).count();
                let letters = text.replace("...", "").chars().count();
                let dots = if text.contains("...") { dots } else { 0 };
                labels(formula, text, letters + dots)?
            }
            None => implicit(inputs, &sizes),
        };
        if let Some(l) = output.iter().find(|l| !sizes.iter().any(|s| s.0 == **l)) {
            return Err(wrong(formula, format!("a result of known axes; {l} is not one")));
        }
        if repeated(&output).is_some() {
            return Err(wrong(formula, "each letter once in the result"));
        }
        let mut rest = named.into_iter();
        let Some(mut result) = rest.next() else { return Err(wrong(formula, "an operand")) };
        let mut rest: Vec<Named<E>> = rest.collect();
        while !rest.is_empty() {
            let next = rest.remove(0);
            let later = |l: Label| rest.iter().any(|o| o.labels.contains(&l));
            result = result.product(next, |l| output.contains(&l) || later(l))?;
        }
        result.sum_out(|l| output.contains(&l))?;
        result.ordered(&output)
    }
}

/// The size of every axis; those of the ellipsis broadcast.
fn sizes<E: Elem>(formula: &str, operands: &[Named<E>]) -> Result<Vec<(Label, usize)>> {
    let mut sizes: Vec<(Label, usize)> = Vec::new();
    for operand in operands {
        for (&label, &size) in operand.labels.iter().zip(operand.tensor.dims()) {
            match sizes.iter_mut().find(|s| s.0 == label) {
                None => sizes.push((label, size)),
                Some(known) if known.1 == size => {}
                Some(known) if matches!(label, Label::Dots(_)) && known.1 == 1 => known.1 = size,
                Some(_) if matches!(label, Label::Dots(_)) && size == 1 => {}
                Some(known) => {
                    let expected = format!("one size for {label}, not {} and {size}", known.1);
                    return Err(wrong(formula, expected));
                }
            }
        }
    }
    Ok(sizes)
}

/// The result's axes if the formula has no arrow.
fn implicit(inputs: &str, sizes: &[(Label, usize)]) -> Vec<Label> {
    let mut dots: Vec<Label> =
        sizes.iter().map(|s| s.0).filter(|l| matches!(l, Label::Dots(_))).collect();
    dots.sort_by(|a, b| b.cmp(a));
    let once = |c: &char| inputs.matches(*c).count() == 1;
    let mut letters: Vec<char> =
        inputs.chars().filter(|c| c.is_alphabetic()).filter(once).collect();
    letters.sort_unstable();
    dots.into_iter().chain(letters.into_iter().map(Label::Letter)).collect()
}
