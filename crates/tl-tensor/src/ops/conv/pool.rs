//! Pooling: the largest or the mean of windows.

mod max;
mod mean;

use crate::{Elem, Error, Result, Shape, Tensor};
use max::max_pool;
use mean::mean_pool;
use std::sync::Arc;

/// Options of pooling: window, stride and padding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pool {
    kernel: [usize; 2],
    stride: [usize; 2],
    padding: [usize; 2],
    dilation: [usize; 2],
    count_padding: bool,
}

impl Pool {
    /// Square windows of this size side by side: the stride is the size.
    pub fn new(kernel: usize) -> Self {
        Self::sized([kernel; 2])
    }

    /// Windows of this height and width side by side.
    pub fn sized(kernel: [usize; 2]) -> Self {
        Self { kernel, stride: kernel, padding: [0; 2], dilation: [1; 2], count_padding: true }
    }

    /// The stride on both axes.
    #[must_use]
    pub fn stride(mut self, stride: usize) -> Self {
        self.stride = [stride; 2];
        self
    }

    /// The stride on each axis.
    #[must_use]
    pub fn strides(mut self, stride: [usize; 2]) -> Self {
        self.stride = stride;
        self
    }

    /// Places added before and after both axes, which never win and have the
    /// value 0 in a mean. At most half of the kernel.
    #[must_use]
    pub fn padding(mut self, padding: usize) -> Self {
        self.padding = [padding; 2];
        self
    }

    /// Places added before and after each axis.
    #[must_use]
    pub fn paddings(mut self, padding: [usize; 2]) -> Self {
        self.padding = padding;
        self
    }

    /// The distance between places of a window, for the maximum only.
    #[must_use]
    pub fn dilation(mut self, dilation: usize) -> Self {
        self.dilation = [dilation; 2];
        self
    }

    /// Whether a mean divides by the places of the padding too. Default true,
    /// as in PyTorch.
    #[must_use]
    pub fn count_padding(mut self, yes: bool) -> Self {
        self.count_padding = yes;
        self
    }

    /// Kernel, stride, padding and dilation on each axis: for those who pool
    /// themselves.
    pub fn parts(&self) -> [[usize; 2]; 4] {
        [self.kernel, self.stride, self.padding, self.dilation]
    }

    /// The windows along one axis.
    fn axis(&self, op: &'static str, a: usize, size: usize) -> Result<Vec<Window>> {
        let (kernel, stride, padding) = (self.kernel[a], self.stride[a], self.padding[a]);
        let dilation = self.dilation[a];
        if kernel == 0 || stride == 0 || dilation == 0 || 2 * padding > kernel {
            return Err(Error::argument(
                op,
                "options",
                format!("{self:?}"),
                "kernel, stride and dilation of at least 1, padding of at most half of the kernel",
            ));
        }
        let reach = dilation * (kernel - 1) + 1;
        let Some(room) = (size + 2 * padding).checked_sub(reach) else {
            return Err(Error::argument(
                op,
                "kernel",
                format!("{:?}", self.kernel),
                format!("at most the padded size {} of axis {}", size + 2 * padding, 2 + a),
            ));
        };
        Ok((0..=room / stride)
            .map(|i| {
                let places = (0..kernel).map(|k| i * stride + k * dilation);
                let inside: Vec<usize> = places
                    .filter(|&p| p >= padding && p < size + padding)
                    .map(|p| p - padding)
                    .collect();
                Window {
                    start: inside.first().copied().unwrap_or(0),
                    count: inside.len(),
                    step: dilation,
                    divisor: if self.count_padding { kernel } else { inside.len().max(1) },
                }
            })
            .collect())
    }
}

/// The places of a window along one axis that are inside of the image.
#[derive(Clone, Copy, Debug)]
struct Window {
    start: usize,
    count: usize,
    step: usize,
    /// What a mean divides by.
    divisor: usize,
}

/// PyTorch's adaptive windows: from `⌊i n / m⌋` to `⌈(i + 1) n / m⌉`.
fn adaptive(size: usize, out: usize) -> Vec<Window> {
    (0..out)
        .map(|i| {
            let start = i * size / out;
            let count = ((i + 1) * size).div_ceil(out) - start;
            Window { start, count, step: 1, divisor: count }
        })
        .collect()
}

/// Windows of a plane.
#[derive(Clone, Debug)]
struct Plan {
    image: [usize; 2],
    rows: Arc<[Window]>,
    columns: Arc<[Window]>,
}

impl Plan {
    fn input(&self) -> usize {
        self.image[0] * self.image[1]
    }

    fn output(&self) -> usize {
        self.rows.len() * self.columns.len()
    }

    fn shape(&self, x: &Shape) -> Shape {
        x.with(2, self.rows.len()).with(3, self.columns.len())
    }

    /// Calls `f(place in the output, row window, column window)`.
    #[inline]
    fn each(&self, mut f: impl FnMut(usize, &Window, &Window)) {
        let mut place = 0;
        for row in self.rows.iter() {
            for column in self.columns.iter() {
                f(place, row, column);
                place += 1;
            }
        }
    }
}

impl<E: Elem> Tensor<E> {
    fn plan(
        &self,
        op: &'static str,
        windows: impl Fn(usize, usize) -> Result<Vec<Window>>,
    ) -> Result<Plan> {
        if self.rank() != 4 {
            return Err(Error::shape(op, self.shape(), "images [n, c, h, w]"));
        }
        let image = [self.dims()[2], self.dims()[3]];
        Ok(Plan {
            image,
            rows: windows(0, image[0])?.into(),
            columns: windows(1, image[1])?.into(),
        })
    }

    fn adaptive_plan(&self, op: &'static str, out: [usize; 2]) -> Result<Plan> {
        self.plan(op, |a, size| {
            if size == 0 || out[a] == 0 {
                return Err(Error::argument(
                    op,
                    "output size",
                    format!("{out:?}"),
                    "sizes of at least 1, of an image that is not empty",
                ));
            }
            Ok(adaptive(size, out[a]))
        })
    }

    /// The largest of each window of images `[n, c, h, w]`. Of equal ones the
    /// first gets the gradient; NaN wins.
    ///
    /// # Errors
    /// Not four axes; options that do not fit.
    pub fn max_pool2d(&self, pool: Pool) -> Result<Self> {
        Ok(max_pool(self, &self.plan("max_pool2d", |a, n| pool.axis("max_pool2d", a, n))?))
    }

    /// The mean of each window of images `[n, c, h, w]`.
    ///
    /// # Errors
    /// Not four axes; options that do not fit.
    pub fn avg_pool2d(&self, mut pool: Pool) -> Result<Self> {
        pool.dilation = [1; 2];
        Ok(mean_pool(self, &self.plan("avg_pool2d", |a, n| pool.axis("avg_pool2d", a, n))?))
    }

    /// The means of `out[0] × out[1]` windows that cover images `[n, c, h, w]`
    /// evenly, PyTorch's `adaptive_avg_pool2d`.
    ///
    /// # Errors
    /// Not four axes; a size of 0.
    pub fn adaptive_avg_pool2d(&self, out: [usize; 2]) -> Result<Self> {
        Ok(mean_pool(self, &self.adaptive_plan("adaptive_avg_pool2d", out)?))
    }

    /// The largest of `out[0] × out[1]` windows that cover images
    /// `[n, c, h, w]` evenly, PyTorch's `adaptive_max_pool2d`.
    ///
    /// # Errors
    /// Not four axes; a size of 0.
    pub fn adaptive_max_pool2d(&self, out: [usize; 2]) -> Result<Self> {
        Ok(max_pool(self, &self.adaptive_plan("adaptive_max_pool2d", out)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{GradCheck, gradcheck, gradgradcheck};

    fn images() -> Tensor<f64> {
        Tensor::linspace(0.0, 40.0, 60).sin().reshape([2, 1, 5, 6]).unwrap()
    }

    #[test]
    fn known_values() {
        let x = Tensor::arange(0.0_f32, 16.0, 1.0).unwrap().reshape([1, 1, 4, 4]).unwrap();
        assert_eq!(x.max_pool2d(Pool::new(2)).unwrap().to_vec(), [5.0, 7.0, 13.0, 15.0]);
        assert_eq!(x.avg_pool2d(Pool::new(2)).unwrap().to_vec(), [2.5, 4.5, 10.5, 12.5]);
        assert_eq!(x.adaptive_avg_pool2d([1, 1]).unwrap().to_vec(), [7.5]);
        let padded = Pool::new(3).stride(2).padding(1);
        assert_eq!(x.max_pool2d(padded).unwrap().to_vec(), [5.0, 7.0, 13.0, 15.0]);
        assert_eq!(x.avg_pool2d(padded).unwrap().to_vec()[0], 10.0 / 9.0);
        assert_eq!(x.avg_pool2d(padded.count_padding(false)).unwrap().to_vec()[0], 2.5);
        assert!(x.max_pool2d(Pool::new(2).padding(2)).is_err());
        assert!(x.max_pool2d(Pool::new(5)).is_err());
    }

    #[test]
    fn derivatives_of_both_orders() {
        let pool = Pool::new(3).stride(2).padding(1);
        type Function = fn(&Tensor<f64>, Pool) -> Result<Tensor<f64>>;
        let functions: [Function; 4] = [
            |x, p| x.square().max_pool2d(p)?.square().mul(&x.sum_all()),
            |x, p| x.square().avg_pool2d(p.count_padding(false))?.square().mul(&x.sum_all()),
            |x, _| x.square().adaptive_avg_pool2d([2, 4]),
            |x, _| x.square().adaptive_max_pool2d([2, 4]),
        ];
        for f in functions {
            let f = |t: &[Tensor<f64>]| f(&t[0], pool);
            gradcheck(f, &[images()], GradCheck::default()).unwrap();
            gradgradcheck(f, &[images()], GradCheck::default()).unwrap();
        }
    }
}
