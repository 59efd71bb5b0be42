//! Vectors for tokens.

use crate::{Param, Result, module};
use rand::RngCore;
use tl_tensor::{Indices, Tensor};

/// A table of vectors: indices of any shape become `shape ++ [d]`.
///
/// The weight `[n, d]` begins with standard normal numbers, PyTorch's default.
#[derive(Clone, Debug)]
pub struct Embedding {
    /// `[n, d]`.
    pub weight: Param,
    /// The index whose vector gets no gradient.
    pub padding: Option<usize>,
}
module!(Embedding { weight; skip padding });

impl Embedding {
    /// A table of `count` vectors of `size` numbers.
    pub fn new(count: usize, size: usize, rng: &mut dyn RngCore) -> Self {
        Self { weight: Param::new(Tensor::randn([count, size], rng)), padding: None }
    }

    /// Makes an index padding: its vector is 0 and gets no gradient.
    #[must_use]
    pub fn padding(mut self, index: usize) -> Self {
        let size = self.weight.dims()[1];
        self.weight.update(|w| {
            if let Some(row) = w.chunks_exact_mut(size.max(1)).nth(index) {
                row.fill(0.0);
            }
        });
        self.padding = Some(index);
        self
    }

    /// The vectors of `indices`.
    ///
    /// # Errors
    /// An index is not below the number of vectors.
    pub fn forward(&self, indices: &Indices) -> Result<Tensor> {
        let vectors = self.weight.adapted()?.embedding(indices)?;
        let Some(padding) = self.padding else { return Ok(vectors) };
        let mask: Vec<f32> =
            indices.as_slice().iter().map(|&i| f32::from(u8::from(i == padding))).collect();
        let mask = Tensor::from_vec(mask, *indices.shape())?.unsqueeze(-1)?;
        Ok(Tensor::where_cond(&mask, &vectors.detach(), &vectors)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;

    #[test]
    fn padding_gets_no_gradient() {
        let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(0);
        let table = Embedding::new(4, 2, &mut rng).padding(1);
        let y = table.forward(&Indices::from([0, 1, 1, 3])).unwrap();
        assert_eq!(y.to_vec()[2..6], [0.0; 4]);
        let g = y.sum_all().backward().unwrap();
        let g = g.get(table.weight.tensor()).unwrap().to_vec();
        assert_eq!(g, [1.0, 1.0, 0.0, 0.0, 0.0, 0.0, 1.0, 1.0]);
    }
}
