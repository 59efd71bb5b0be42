//! Contrastive representation distillation.

use crate::check::{c, positive, same_shape};
use rand::{Rng, RngCore};
use tl_nn::{Indices, Tensor};
use tl_tensor::{Elem, Error, Result};

/// Added to denominators, as in the authors' code.
const TINY: f64 = 1e-7;

/// `exp(v · w / T)` of embeddings `[n, d]` and candidates `[n, 1 + k, d]`.
fn critic<E: Elem>(v: &Tensor<E>, candidates: &Tensor<E>, temperature: f64) -> Result<Tensor<E>> {
    let dots = candidates.matmul(&v.unsqueeze(2)?)?.squeeze(2)?;
    Ok(dots.mul_scalar(c(1.0 / temperature)).exp())
}

/// One side of contrastive representation distillation (Tian, Krishnan and
/// Isola 2020, eq. 10 and 18, by noise-contrastive estimation):
///
/// `-(1/n) Σ [ln h_0 + Σ_k ln (1 - h_k)]`, `h = p / (p + K / N + 1e-7)`,
/// `p_k = exp(v · w_k / T) / Z`.
///
/// `embedding` `[n, d]` and `candidates` `[n, 1 + K, d]` (the true partner
/// first) are unit vectors; `N` is the number of samples of the data set, `Z`
/// the constant `normaliser`. This is the convention of the authors' code, which
/// sums over the negatives; their default weight is 0.8.
///
/// # Errors
/// The shapes do not fit; no negative; a setting that is not above 0.
pub fn contrast<E: Elem>(
    embedding: &Tensor<E>,
    candidates: &Tensor<E>,
    temperature: f64,
    normaliser: f64,
    samples: usize,
) -> Result<Tensor<E>> {
    const OP: &str = "contrast";
    positive(OP, "temperature", temperature)?;
    positive(OP, "normaliser", normaliser)?;
    positive(OP, "samples", samples as f64)?;
    let fits = match (embedding.dims(), candidates.dims()) {
        ([n, d], [m, k, e]) => n == m && d == e && *k >= 2 && *n > 0,
        _ => false,
    };
    if !fits {
        let expected = "embeddings [n, d] and candidates [n, 1 + k, d], k > 0";
        return Err(Error::shapes(OP, embedding.shape(), candidates.shape(), expected));
    }
    let [n, all] = [candidates.dims()[0], candidates.dims()[1]];
    let p = critic(embedding, &candidates.detach(), temperature)?.mul_scalar(c(1.0 / normaliser));
    let noise = (all - 1) as f64 / samples as f64;
    let total = p.add_scalar(c(noise + TINY));
    let right = p.narrow(1, 0, 1)?.div(&total.narrow(1, 0, 1)?)?.log().sum_all();
    let rest = total.narrow(1, 1, all - 1)?;
    let wrong = Tensor::scalar(c(noise)).div(&rest)?.log().sum_all();
    Ok(right.add(&wrong)?.mul_scalar(c(-1.0 / n as f64)))
}

/// The memory of contrastive representation distillation: an embedding of
/// every sample by student and by teacher, from which negatives are drawn.
///
/// A batch's loss is [`contrast`] of the student's embeddings with the teacher's
/// memory plus that of the teacher's embeddings with the student's. Afterwards
/// the batch's memories move towards its embeddings, `m ← momentum · m + (1 -
/// momentum) v`, and get length 1. Negatives are drawn evenly from all samples.
/// `Z` is set by the first batch, for each side, to `N` times the mean of its
/// `exp(v · w / T)`, and stays.
///
/// The paper's defaults: dimension 128, 16,384 negatives, `T` 0.07, momentum
/// 0.5. A batch of `n` reads `2 n (1 + k) d` numbers of memory, so on a CPU a
/// thousand negatives are a good start.
#[derive(Clone, Debug)]
pub struct Crd {
    /// Student's and teacher's memory, `[N, d]` each.
    banks: [Tensor; 2],
    normalisers: [Option<f64>; 2],
    negatives: usize,
    temperature: f64,
    momentum: f32,
}

impl Crd {
    /// A memory of random unit vectors for `samples` samples.
    ///
    /// # Errors
    /// No dimension or negative; fewer than two samples.
    pub fn new(
        samples: usize,
        dimension: usize,
        negatives: usize,
        rng: &mut dyn RngCore,
    ) -> Result<Self> {
        if samples < 2 || dimension == 0 || negatives == 0 {
            let got = format!("{samples} samples, {dimension} dimensions, {negatives} negatives");
            return Err(Error::argument("crd", "sizes", got, "2, 1 and 1 at least"));
        }
        let mut bank = || unit(&Tensor::randn([samples, dimension], rng));
        let banks = [bank()?, bank()?];
        Ok(Self { banks, normalisers: [None; 2], negatives, temperature: 0.07, momentum: 0.5 })
    }

    /// With other memories, `[N, d]` of unit vectors.
    ///
    /// # Errors
    /// Another shape.
    pub fn with_banks(mut self, student: &Tensor, teacher: &Tensor) -> Result<Self> {
        same_shape("crd", student, teacher)?;
        same_shape("crd", student, &self.banks[0])?;
        self.banks = [student.detach(), teacher.detach()];
        Ok(self)
    }

    /// Another temperature. Default 0.07.
    ///
    /// # Errors
    /// It is not above 0.
    pub fn temperature(mut self, temperature: f64) -> Result<Self> {
        positive("crd", "temperature", temperature)?;
        self.temperature = temperature;
        Ok(self)
    }

    /// The memories of student and teacher.
    pub fn banks(&self) -> &[Tensor; 2] {
        &self.banks
    }

    /// The loss of a batch of embeddings `[n, d]`, both made unit vectors, of
    /// the samples with these positions; then the memory moves.
    ///
    /// # Errors
    /// The shapes do not fit; a position that does not exist.
    pub fn loss(
        &mut self,
        student: &Tensor,
        teacher: &Tensor,
        samples: &[usize],
        rng: &mut dyn RngCore,
    ) -> Result<Tensor> {
        let all = self.banks[0].dims()[0];
        let draw = |own: &usize, rng: &mut dyn RngCore| -> Vec<usize> {
            let others = (0..self.negatives).map(|_| rng.random_range(0..all));
            std::iter::once(*own).chain(others).collect()
        };
        let candidates: Vec<usize> = samples.iter().flat_map(|own| draw(own, rng)).collect();
        self.loss_with(student, teacher, samples, &candidates)
    }

    /// As [`loss`](Self::loss), with the candidates given: `1 + k` positions
    /// for each sample, its own first.
    ///
    /// # Errors
    /// As [`loss`](Self::loss).
    pub fn loss_with(
        &mut self,
        student: &Tensor,
        teacher: &Tensor,
        samples: &[usize],
        candidates: &[usize],
    ) -> Result<Tensor> {
        same_shape("crd", student, teacher)?;
        let (all, d) = (self.banks[0].dims()[0], self.banks[0].dims()[1]);
        if student.dims() != [samples.len(), d]
            || !candidates.len().is_multiple_of(samples.len().max(1))
        {
            let expected = format!("[{}, {d}]", samples.len());
            return Err(Error::shape("crd", student.shape(), expected));
        }
        let each = candidates.len() / samples.len().max(1);
        let own = [unit(student)?, unit(teacher)?];
        let mut sum = Tensor::scalar(0.0);
        for (side, own) in own.iter().enumerate() {
            let bank = &self.banks[1 - side];
            let rows = bank.index_select(0, &Indices::from(candidates))?;
            let rows = rows.reshape([samples.len(), each, d])?;
            let normaliser = if let Some(z) = self.normalisers[side] {
                z
            } else {
                let mean = critic(&own.detach(), &rows, self.temperature)?.mean_all();
                let z = f64::from(mean.item()?) * all as f64;
                self.normalisers[side] = Some(z);
                z
            };
            let part = contrast(own, &rows, self.temperature, normaliser, all)?;
            sum = sum.add(&part)?;
        }
        for (bank, v) in self.banks.iter_mut().zip(&own) {
            remember(bank, &v.detach(), samples, self.momentum)?;
        }
        Ok(sum)
    }
}

fn unit(v: &Tensor) -> Result<Tensor> {
    v.div(&v.norm([1], true)?.maximum(&Tensor::scalar(1e-12))?)
}

fn remember(bank: &mut Tensor, v: &Tensor, samples: &[usize], momentum: f32) -> Result<()> {
    let old = bank.index_select(0, &Indices::from(samples))?;
    let new = unit(&old.mul_scalar(momentum).add(&v.mul_scalar(1.0 - momentum))?)?.to_vec();
    let d = bank.dims()[1];
    bank.update_in_place(|bank| {
        for (&at, row) in samples.iter().zip(new.chunks_exact(d)) {
            bank[at * d..(at + 1) * d].copy_from_slice(row);
        }
    });
    Ok(())
}
