//! Random zeros.

use crate::{Elem, Error, Result, Shape, Tensor, Value};
use rand::Rng;

fn check(p: f64) -> Result<()> {
    if (0.0..=1.0).contains(&p) {
        return Ok(());
    }
    Err(Error::argument("dropout", "p", p.to_string(), "a probability from 0 to 1"))
}

/// 0 with probability `p`, else `1 / (1 - p)`.
fn mask<E: Elem, R: Rng + ?Sized>(shape: Shape, p: f64, rng: &mut R) -> Tensor<E> {
    let keep = if p < 1.0 { E::from_f64(1.0 / (1.0 - p)) } else { E::ZERO };
    // A draw of 32 bits decides; the threshold is exact to 2⁻³².
    let threshold = (p * 4_294_967_296.0) as u64;
    Tensor::constant(Value::build(shape, |out| {
        for o in out {
            *o = if u64::from(rng.next_u32()) < threshold { E::ZERO } else { keep };
        }
    }))
}

impl<E: Elem> Tensor<E> {
    /// Each element is 0 with probability `p`, else divided by `1 - p`, so that
    /// the expectation stays. Srivastava et al. 2014.
    ///
    /// # Errors
    /// `p` is not from 0 to 1.
    pub fn dropout<R: Rng + ?Sized>(&self, p: f64, rng: &mut R) -> Result<Self> {
        check(p)?;
        if p == 0.0 {
            return Ok(self.clone());
        }
        self.mul(&mask(*self.shape(), p, rng))
    }

    /// [`dropout`](Self::dropout) of whole channels of `[n, c, ..]`. Tompson et
    /// al. 2015. With `lead = 1` whole samples are dropped (stochastic depth,
    /// Huang et al. 2016), with `lead = 2` channels.
    ///
    /// # Errors
    /// `p` is not from 0 to 1, or fewer than `lead` axes.
    pub fn dropout_blocks<R: Rng + ?Sized>(
        &self,
        lead: usize,
        p: f64,
        rng: &mut R,
    ) -> Result<Self> {
        check(p)?;
        if self.rank() < lead {
            return Err(Error::shape("dropout", self.shape(), format!("at least {lead} axes")));
        }
        if p == 0.0 {
            return Ok(self.clone());
        }
        let shape = (lead..self.rank()).fold(*self.shape(), |s, axis| s.with(axis, 1));
        self.mul(&mask(shape, p, rng))
    }
}

#[cfg(test)]
mod tests {
    use crate::Tensor;
    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;

    #[test]
    fn the_expectation_stays_and_gradients_follow_the_mask() {
        let mut rng = ChaCha8Rng::seed_from_u64(3);
        let x = Tensor::<f64>::ones([100, 100]).requires_grad();
        let y = x.dropout(0.3, &mut rng).unwrap();
        let mean = y.mean_all().item().unwrap();
        assert!((mean - 1.0).abs() < 0.03, "{mean}");
        let g = y.sum_all().backward().unwrap();
        assert_eq!(g.get(&x).unwrap().to_vec(), y.to_vec());
        assert!(x.dropout(1.0, &mut rng).unwrap().to_vec().iter().all(|&x| x == 0.0));
        assert!(x.dropout(1.5, &mut rng).is_err());
    }

    #[test]
    fn blocks_fall_together() {
        let mut rng = ChaCha8Rng::seed_from_u64(3);
        let y = Tensor::<f32>::ones([8, 4, 5]).dropout_blocks(2, 0.5, &mut rng).unwrap();
        let mut seen = [false; 2];
        for block in y.to_vec().chunks(5) {
            assert!(block.iter().all(|&x| x == block[0]));
            seen[usize::from(block[0] > 0.0)] = true;
        }
        assert_eq!(seen, [true; 2]);
    }
}
