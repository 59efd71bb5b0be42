//! Pooling: the largest or the mean of windows.

use crate::{Elem, Error, Op, Result, Shape, Tensor, Value, Vjp, kernel::parallel};
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

/// Elements at places of each plane: `y[p][i] = x[p][places[p][i]]`.
struct TakePlaces {
    places: Arc<[u32]>,
    image: [usize; 2],
}

impl<E: Elem> Op<E> for TakePlaces {
    fn name(&self) -> &'static str {
        "max_pool2d"
    }

    fn vjp(&self, cx: &mut Vjp<'_, E>, g: Tensor<E>) -> Result<()> {
        cx.give(0, || Ok(put_places(&g, &self.places, self.image)))
    }
}

/// The adjoint of [`TakePlaces`].
struct PutPlaces {
    places: Arc<[u32]>,
    image: [usize; 2],
    out: [usize; 2],
}

impl<E: Elem> Op<E> for PutPlaces {
    fn name(&self) -> &'static str {
        "max_unpool2d"
    }

    fn vjp(&self, cx: &mut Vjp<'_, E>, g: Tensor<E>) -> Result<()> {
        cx.give(0, || {
            let [height, width] = self.out;
            let per_plane = height * width;
            let shape = g.shape().with(2, height).with(3, width);
            let data = g.value.contiguous();
            let plane = self.image[0] * self.image[1];
            let value = Value::build(shape, |out| {
                for (i, o) in out.iter_mut().enumerate() {
                    *o = data.raw()[i / per_plane * plane + self.places[i] as usize];
                }
            });
            let (places, image) = (self.places.clone(), self.image);
            Ok(Tensor::from_op(value, &[&g], || TakePlaces { places, image }))
        })
    }
}

fn put_places<E: Elem>(g: &Tensor<E>, places: &Arc<[u32]>, image: [usize; 2]) -> Tensor<E> {
    let out = [g.dims()[2], g.dims()[3]];
    let per_plane = out[0] * out[1];
    let plane = image[0] * image[1];
    let shape = g.shape().with(2, image[0]).with(3, image[1]);
    let data = g.value.contiguous();
    let data = data.raw();
    let value = Value::build(shape, |x| {
        let work = x.len();
        parallel::chunks(x, plane, work, |p, x| {
            x.fill(E::ZERO);
            let at = p * per_plane..(p + 1) * per_plane;
            for (&place, &g) in places[at.clone()].iter().zip(&data[at]) {
                x[place as usize] += g;
            }
        });
    });
    Tensor::from_op(value, &[g], || PutPlaces { places: places.clone(), image, out })
}

/// Whether windows are pairs side by side: the usual pool that halves an image.
fn halving(windows: &[Window]) -> bool {
    windows.iter().enumerate().all(|(i, w)| w.start == 2 * i && w.count == 2 && w.step == 1)
}

/// The place of the largest of each four pixels, without branches.
#[inline(always)]
fn largest_of_four<E: Elem>(plane: &[E], width: usize, columns: usize, places: &mut [u32]) {
    let below = width as u32;
    for (row, places) in places.chunks_exact_mut(columns).enumerate() {
        let start = 2 * row * width;
        let top = plane[start..start + width].as_chunks::<2>().0;
        let bottom = plane[start + width..start + 2 * width].as_chunks::<2>().0;
        for ((column, place), (t, b)) in places.iter_mut().enumerate().zip(top.iter().zip(bottom)) {
            let first = (start + 2 * column) as u32;
            let (mut best, mut at) = (t[0], first);
            for (x, here) in [(t[1], first + 1), (b[0], first + below), (b[1], first + below + 1)] {
                let larger = (x > best) | (x.is_nan() & !best.is_nan());
                (best, at) = if larger { (x, here) } else { (best, at) };
            }
            *place = at;
        }
    }
}

/// The place of the largest pixel of one window.
#[inline(always)]
fn largest_of<E: Elem>(plane: &[E], width: usize, row: &Window, column: &Window) -> u32 {
    let mut best = row.start * width + column.start;
    for i in 0..row.count {
        let line = (row.start + i * row.step) * width + column.start;
        for j in 0..column.count {
            let place = line + j * column.step;
            let (x, old) = (plane[place], plane[best]);
            if x > old || (x.is_nan() && !old.is_nan()) {
                best = place;
            }
        }
    }
    best as u32
}

/// Windows that are looked at together.
const TOGETHER: usize = 16;

/// The place of the largest pixel of each of [`TOGETHER`] windows, the first of
/// which is `column` and each next one `STRIDE` further, without branches.
#[inline(always)]
fn largest_of_many<E: Elem, const STRIDE: usize>(
    plane: &[E],
    width: usize,
    row: &Window,
    column: &Window,
) -> [u32; TOGETHER] {
    let first = row.start * width + column.start;
    let (mut best, mut at) = ([E::ZERO; TOGETHER], [0; TOGETHER]);
    for l in 0..TOGETHER {
        best[l] = plane[first + l * STRIDE];
        at[l] = (first + l * STRIDE) as u32;
    }
    for i in 0..row.count {
        for j in 0..column.count {
            let from = (row.start + i * row.step) * width + column.start + j * column.step;
            let pixels = &plane[from..=from + (TOGETHER - 1) * STRIDE];
            for l in 0..TOGETHER {
                let x = pixels[l * STRIDE];
                let larger = (x > best[l]) | (x.is_nan() & !best[l].is_nan());
                best[l] = if larger { x } else { best[l] };
                at[l] = if larger { (from + l * STRIDE) as u32 } else { at[l] };
            }
        }
    }
    at
}

/// The place of the largest pixel of each window.
#[inline(always)]
fn largest<E: Elem>(plan: &Plan, plane: &[E], places: &mut [u32]) {
    let (width, columns) = (plan.image[1], &plan.columns[..]);
    // Whole windows lie side by side, in equal steps; those at the edges are cut.
    let full = columns.iter().map(|w| w.count).max().unwrap_or(0);
    let whole = |w: &&Window| w.count == full;
    let left = columns.iter().take_while(|w| !whole(w)).count();
    let inner = columns[left..].iter().take_while(whole).count();
    let step = if inner > 1 { columns[left + 1].start - columns[left].start } else { 0 };
    let even = columns[left..left + inner].windows(2).all(|w| w[1].start - w[0].start == step);
    for (row, places) in plan.rows.iter().zip(places.chunks_exact_mut(columns.len().max(1))) {
        let mut column = 0;
        while column < columns.len() {
            let together =
                even && row.count > 0 && column >= left && column + TOGETHER <= left + inner;
            let into = &mut places[column..];
            match (together, step) {
                (true, 1) => {
                    let found = largest_of_many::<E, 1>(plane, width, row, &columns[column]);
                    into[..TOGETHER].copy_from_slice(&found);
                    column += TOGETHER;
                }
                (true, 2) => {
                    let found = largest_of_many::<E, 2>(plane, width, row, &columns[column]);
                    into[..TOGETHER].copy_from_slice(&found);
                    column += TOGETHER;
                }
                _ => {
                    into[0] = largest_of(plane, width, row, &columns[column]);
                    column += 1;
                }
            }
        }
    }
}

fn max_pool<E: Elem>(x: &Tensor<E>, plan: &Plan) -> Tensor<E> {
    let data = x.value.contiguous();
    let data = &data.raw()[..x.numel()];
    let (input, output) = (plan.input(), plan.output());
    let planes = x.dims()[0] * x.dims()[1];
    let mut places = vec![0u32; planes * output];
    let halves = halving(&plan.rows) && halving(&plan.columns);
    parallel::chunks(&mut places, output, data.len() * 2, |p, places| {
        let plane = &data[p * input..(p + 1) * input];
        if halves {
            let (width, columns) = (plan.image[1], plan.columns.len());
            parallel::simd(
                #[inline(always)]
                || largest_of_four(plane, width, columns, places),
            );
        } else {
            parallel::simd(
                #[inline(always)]
                || largest(plan, plane, places),
            );
        }
    });
    let value = Value::build(plan.shape(x.shape()), |out| {
        parallel::chunks(out, output, data.len(), |p, out| {
            let (plane, from) = (&data[p * input..(p + 1) * input], p * output);
            for (o, &place) in out.iter_mut().zip(&places[from..]) {
                *o = plane[place as usize];
            }
        });
    });
    let places: Arc<[u32]> = places.into();
    Tensor::from_op(value, &[x], || TakePlaces { places, image: plan.image })
}

/// The mean over windows.
struct MeanPool(Plan);

impl<E: Elem> Op<E> for MeanPool {
    fn name(&self) -> &'static str {
        "avg_pool2d"
    }

    fn vjp(&self, cx: &mut Vjp<'_, E>, g: Tensor<E>) -> Result<()> {
        cx.give(0, || Ok(spread(&g, &self.0)))
    }
}

/// The adjoint of [`MeanPool`].
struct Spread(Plan);

impl<E: Elem> Op<E> for Spread {
    fn name(&self) -> &'static str {
        "avg_unpool2d"
    }

    fn vjp(&self, cx: &mut Vjp<'_, E>, g: Tensor<E>) -> Result<()> {
        cx.give(0, || Ok(mean_pool(&g, &self.0)))
    }
}

fn mean_pool<E: Elem>(x: &Tensor<E>, plan: &Plan) -> Tensor<E> {
    let data = x.value.contiguous();
    let data = data.raw();
    let (input, width) = (plan.input(), plan.image[1]);
    let value = Value::build(plan.shape(x.shape()), |out| {
        parallel::chunks(out, plan.output(), x.numel() * 2, |p, out| {
            let plane = &data[p * input..(p + 1) * input];
            plan.each(|at, row, column| {
                let mut sum = E::ZERO;
                for i in 0..row.count {
                    let line = (row.start + i) * width + column.start;
                    sum += plane[line..line + column.count].iter().fold(E::ZERO, |s, &x| s + x);
                }
                out[at] = sum * scale(row, column);
            });
        });
    });
    Tensor::from_op(value, &[x], || MeanPool(plan.clone()))
}

fn spread<E: Elem>(g: &Tensor<E>, plan: &Plan) -> Tensor<E> {
    let data = g.value.contiguous();
    let data = data.raw();
    let width = plan.image[1];
    let shape = g.shape().with(2, plan.image[0]).with(3, width);
    let value = Value::build(shape, |x| {
        let work = x.len() * 2;
        parallel::chunks(x, plan.input(), work, |p, plane| {
            plane.fill(E::ZERO);
            let g = &data[p * plan.output()..];
            plan.each(|at, row, column| {
                let share = g[at] * scale(row, column);
                for i in 0..row.count {
                    let line = (row.start + i) * width + column.start;
                    plane[line..line + column.count].iter_mut().for_each(|x| *x += share);
                }
            });
        });
    });
    Tensor::from_op(value, &[g], || Spread(plan.clone()))
}

fn scale<E: Elem>(row: &Window, column: &Window) -> E {
    E::from_f64(1.0 / (row.divisor * column.divisor) as f64)
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
