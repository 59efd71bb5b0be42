//! Random inputs.

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use tl_tensor::{Indices, Result, Shape, Tensor};

pub type T = Tensor<f64>;
pub type Function = Box<dyn Fn(&[T]) -> Result<T>>;

/// A use of an operation: its inputs, and the function of them.
pub struct Case {
    pub inputs: Vec<T>,
    pub f: Function,
}

pub fn case(inputs: impl IntoIterator<Item = T>, f: impl Fn(&[T]) -> Result<T> + 'static) -> Case {
    Case { inputs: inputs.into_iter().collect(), f: Box::new(f) }
}

/// Draws shapes and numbers.
pub struct Generator {
    rng: ChaCha8Rng,
    dims: Vec<usize>,
}

impl Generator {
    pub fn new(seed: u64, dims: Vec<usize>) -> Self {
        Self { rng: ChaCha8Rng::seed_from_u64(seed), dims }
    }

    pub fn below(&mut self, n: usize) -> usize {
        self.rng.random_range(0..n)
    }

    pub fn size(&mut self) -> usize {
        self.rng.random_range(1..4)
    }

    /// The shape that was drawn: one to three dimensions.
    pub fn dims(&self) -> Vec<usize> {
        self.dims.clone()
    }

    pub fn rank(&self) -> usize {
        self.dims.len()
    }

    /// Normal numbers of the shape that was drawn.
    pub fn any(&mut self) -> T {
        self.normal(&self.dims())
    }

    pub fn normal(&mut self, dims: &[usize]) -> T {
        T::randn(Shape::new(dims).unwrap(), &mut self.rng)
    }

    /// Numbers from 0.5 to 2.
    pub fn positive(&mut self) -> T {
        self.uniform(&self.dims(), 0.5, 2.0)
    }

    pub fn uniform(&mut self, dims: &[usize], low: f64, high: f64) -> T {
        T::uniform(Shape::new(dims).unwrap(), low, high, &mut self.rng)
    }

    /// Numbers away from each other and from the kinks of functions, in random
    /// order.
    pub fn apart(&mut self, dims: &[usize]) -> T {
        let n: usize = dims.iter().product();
        let order = Indices::permutation(n, &mut self.rng);
        // The shift keeps all of them away from whole numbers, halves and 0.
        let spread = |&i: &usize| 0.3 * (i as f64 - n as f64 / 2.0) + 0.1317;
        let data: Vec<f64> = order.as_slice().iter().map(spread).collect();
        T::from_vec(data, Shape::new(dims).unwrap()).unwrap()
    }

    /// A shape that broadcasts with the one that was drawn: some axes of size
    /// 1, some leading ones missing.
    pub fn broadcastable(&mut self) -> Vec<usize> {
        let skip = self.below(self.rank() + 1);
        let dims = self.dims()[skip..].to_vec();
        dims.into_iter().map(|d| if self.rng.random_bool(0.4) { 1 } else { d }).collect()
    }

    /// An axis of the shape that was drawn, counted from either end.
    pub fn axis(&mut self) -> isize {
        let axis = self.below(self.rank()) as isize;
        if self.rng.random_bool(0.5) { axis } else { axis - self.rank() as isize }
    }

    pub fn indices(&mut self, dims: &[usize], below: usize) -> Indices {
        let n: usize = dims.iter().product();
        let data: Vec<usize> = (0..n).map(|_| self.rng.random_range(0..below)).collect();
        Indices::from_vec(data, Shape::new(dims).unwrap()).unwrap()
    }

    /// 0 and 1.
    pub fn mask(&mut self, dims: &[usize]) -> T {
        self.uniform(dims, 0.0, 1.0).ge_scalar(0.4)
    }

    pub fn rng(&mut self) -> &mut ChaCha8Rng {
        &mut self.rng
    }

    /// The same numbers, laid out in another way: turned, reversed, or with
    /// gaps.
    pub fn scrambled(&mut self, x: T) -> T {
        let rank = x.rank() as isize;
        if rank == 0 || x.numel() == 0 {
            return x;
        }
        let packed = |t: T| T::from_vec(t.to_vec(), *t.shape()).unwrap();
        let scrambled = match self.below(4) {
            0 => packed(x.transpose(0, -1).unwrap()).transpose(0, -1).unwrap(),
            1 => {
                let junk = T::full(*x.shape(), f64::NAN);
                let wide = T::stack(&[&x, &junk], -1).unwrap();
                packed(wide).select(-1, 0).unwrap()
            }
            2 => {
                let junk = T::full(*x.shape(), f64::NAN);
                let all = T::cat(&[&junk, &x, &junk], 0).unwrap();
                let n = x.dims()[0];
                packed(all).narrow(0, n, n).unwrap()
            }
            _ => x.clone(),
        };
        assert_eq!(scrambled.to_vec(), x.to_vec());
        scrambled
    }
}
