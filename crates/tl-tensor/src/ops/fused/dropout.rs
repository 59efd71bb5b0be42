//! Random zeros.

use crate::{
    Elem, Error, Op, Result, Shape, Tensor, Value, Vjp,
    kernel::{
        parallel::{CHUNK, chunks, simd},
        philox::{BLOCK, Philox},
    },
};
use rand::Rng;

/// Which numbers are dropped: drawn once, and known from their place ever after. So no
/// pass keeps a mask, and threads that share one out agree on it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Mask<E> {
    numbers: Philox,
    /// A number below it drops, of all that 32 bits have.
    threshold: u32,
    keep: E,
}

impl<E: Elem> Mask<E> {
    /// A new mask that drops with probability `p`.
    ///
    /// # Errors
    /// `p` is not from 0 to 1.
    pub(super) fn draw<R: Rng + ?Sized>(p: f64, rng: &mut R) -> Result<Self> {
        if !(0.0..=1.0).contains(&p) {
            let expected = "a probability from 0 to 1";
            return Err(Error::argument("dropout", "p", p.to_string(), expected));
        }
        let keep = if p < 1.0 { E::from_f64(1.0 / (1.0 - p)) } else { E::ZERO };
        let threshold = (p * 4_294_967_296.0) as u32;
        Ok(Self { numbers: Philox::new(rng.next_u64()), threshold, keep })
    }

    /// `numbers`, which are part `part` of all, with zeros where they are dropped, else
    /// divided by `1 - p`.
    #[inline(always)]
    pub(super) fn apply(&self, part: usize, numbers: &mut [E]) {
        for (i, block) in numbers.chunks_mut(BLOCK).enumerate() {
            let words = self.numbers.block(part as u64, i as u64);
            let words = words.as_flattened();
            if let Ok(block) = <&mut [E; BLOCK]>::try_from(&mut *block) {
                for i in 0..BLOCK {
                    block[i] = self.one(words[i], block[i]);
                }
            } else {
                for (x, &word) in block.iter_mut().zip(words) {
                    *x = self.one(word, *x);
                }
            }
        }
    }

    #[inline(always)]
    fn one(&self, word: u32, x: E) -> E {
        if word < self.threshold { E::ZERO } else { x * self.keep }
    }

    /// `x` as consecutive parts of `length` numbers, each with zeros where it is dropped.
    pub(super) fn of(&self, x: &Value<E>, length: usize) -> Value<E> {
        let x = x.contiguous();
        let data = &x.raw()[..x.numel()];
        Value::build(*x.shape(), |out| {
            chunks(out, length, 4 * data.len(), |i, out| {
                out.copy_from_slice(&data[i * length..][..out.len()]);
                simd(
                    #[inline(always)]
                    || self.apply(i, out),
                );
            });
        })
    }

    /// As [`of`](Self::of), of a tensor.
    pub(super) fn tensor(self, x: &Tensor<E>, length: usize) -> Tensor<E> {
        let length = length.max(1);
        let dropped = Dropped { mask: self, length };
        Tensor::from_op(self.of(&x.value, length), &[x], || dropped)
    }
}

/// Numbers that a mask has dropped.
struct Dropped<E: Elem> {
    mask: Mask<E>,
    length: usize,
}

impl<E: Elem> Op<E> for Dropped<E> {
    fn name(&self) -> &'static str {
        "dropout"
    }

    fn vjp(&self, cx: &mut Vjp<'_, E>, g: Tensor<E>) -> Result<()> {
        cx.give(0, || Ok(self.mask.tensor(&g, self.length)))
    }
}

impl<E: Elem> Tensor<E> {
    /// Each element is 0 with probability `p`, else divided by `1 - p`, so that
    /// the expectation stays. Srivastava et al. 2014.
    ///
    /// One number of `rng` decides which.
    ///
    /// # Errors
    /// `p` is not from 0 to 1.
    pub fn dropout<R: Rng + ?Sized>(&self, p: f64, rng: &mut R) -> Result<Self> {
        if p == 0.0 {
            return Ok(self.clone());
        }
        Ok(Mask::draw(p, rng)?.tensor(self, CHUNK))
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
        if self.rank() < lead {
            return Err(Error::shape("dropout", self.shape(), format!("at least {lead} axes")));
        }
        if p == 0.0 {
            return Ok(self.clone());
        }
        let shape: Shape = (lead..self.rank()).fold(*self.shape(), |s, axis| s.with(axis, 1));
        self.mul(&Mask::draw(p, rng)?.tensor(&Self::ones(shape), CHUNK))
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
        let x = Tensor::<f64>::ones([101, 301]).requires_grad();
        for p in [0.1, 0.3, 0.5] {
            let y = x.dropout(p, &mut rng).unwrap();
            let mean = y.mean_all().item().unwrap();
            assert!((mean - 1.0).abs() < 0.02, "{mean}");
            let g = y.sum_all().backward().unwrap();
            assert_eq!(g.get(&x).unwrap().to_vec(), y.to_vec());
            // A row says nothing about the next one, nor a number about the next.
            let zeros: Vec<bool> = y.to_vec().iter().map(|&y| y == 0.0).collect();
            for apart in [1, 16, 64, 301] {
                let pairs = zeros.iter().zip(&zeros[apart..]);
                let both = pairs.filter(|(a, b)| **a && **b).count() as f64;
                let part = both / (zeros.len() - apart) as f64;
                assert!((part - p * p).abs() < 0.01, "{p} {apart}: {part}");
            }
        }
        assert!(x.dropout(1.0, &mut rng).unwrap().to_vec().iter().all(|&x| x == 0.0));
        assert!(x.dropout(1.5, &mut rng).is_err() && x.dropout(f64::NAN, &mut rng).is_err());
    }

    #[test]
    fn equal_generators_drop_equally_and_each_draw_drops_others() {
        let x = Tensor::<f32>::ones([70_001]);
        let rng = || ChaCha8Rng::seed_from_u64(5);
        let (mut a, mut b) = (rng(), rng());
        let draw = |rng: &mut ChaCha8Rng| x.dropout(0.5, rng).unwrap().to_vec();
        let first = draw(&mut a);
        assert_eq!(first, draw(&mut b));
        let second = draw(&mut a);
        let same = first.iter().zip(&second).filter(|(a, b)| a == b).count();
        assert!((same as f64 / 70_001.0 - 0.5).abs() < 0.01, "{same}");
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
