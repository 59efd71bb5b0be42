//! Windows of images as columns, and back.

use super::Conv;
use crate::{
    Elem, Error, Op, Result, Tensor, Value, Vjp,
    kernel::im2col::{Windows, col2im, im2col},
};

struct Unfold(Windows);

impl<E: Elem> Op<E> for Unfold {
    fn name(&self) -> &'static str {
        "unfold"
    }

    fn vjp(&self, cx: &mut Vjp<'_, E>, g: Tensor<E>) -> Result<()> {
        cx.give(0, || Ok(fold(&g, self.0)))
    }
}

struct Fold(Windows);

impl<E: Elem> Op<E> for Fold {
    fn name(&self) -> &'static str {
        "fold"
    }

    fn vjp(&self, cx: &mut Vjp<'_, E>, g: Tensor<E>) -> Result<()> {
        cx.give(0, || Ok(unfold(&g, self.0)))
    }
}

fn unfold<E: Elem>(x: &Tensor<E>, w: Windows) -> Tensor<E> {
    let n = x.dims()[0];
    let data = x.value.contiguous();
    let size = w.channels * w.image[0] * w.image[1];
    let value = Value::build([n, w.rows(), w.columns()].into(), |out| {
        for (i, out) in out.chunks_exact_mut((w.rows() * w.columns()).max(1)).enumerate() {
            im2col(&w, &data.raw()[i * size..], out, w.columns(), 0);
        }
    });
    Tensor::from_op(value, &[x], || Unfold(w))
}

fn fold<E: Elem>(x: &Tensor<E>, w: Windows) -> Tensor<E> {
    let n = x.dims()[0];
    let data = x.value.contiguous();
    let size = w.rows() * w.columns();
    let value = Value::build_zeroed([n, w.channels, w.image[0], w.image[1]].into(), |out| {
        let images = out.chunks_exact_mut((w.channels * w.image[0] * w.image[1]).max(1));
        for (i, out) in images.enumerate() {
            let mut matrix = data.raw()[i * size..][..size].to_vec();
            col2im(&w, &mut matrix, out, w.columns(), 0);
        }
    });
    Tensor::from_op(value, &[x], || Fold(w))
}

impl Conv {
    /// The windows of images `[n, c, h, w]` as columns
    /// `[n, c · kh · kw, windows]`: PyTorch's `unfold`. The groups do not count.
    ///
    /// # Errors
    /// Shapes or options that do not fit.
    pub fn unfold<E: Elem>(&self, x: &Tensor<E>, kernel: [usize; 2]) -> Result<Tensor<E>> {
        if x.rank() != 4 {
            return Err(Error::shape("unfold", x.shape(), "images [n, c, h, w]"));
        }
        let windows = self.windows("unfold", x.dims()[1], [x.dims()[2], x.dims()[3]], kernel)?;
        Ok(unfold(x, windows))
    }

    /// The columns `[n, c · kh · kw, windows]` added at their places in images
    /// `[n, c, h, w]` of the given size: PyTorch's `fold`, the adjoint of
    /// [`unfold`](Self::unfold).
    ///
    /// # Errors
    /// Shapes or options that do not fit.
    pub fn fold<E: Elem>(
        &self,
        x: &Tensor<E>,
        kernel: [usize; 2],
        image: [usize; 2],
    ) -> Result<Tensor<E>> {
        let area = kernel[0] * kernel[1];
        let fits = x.rank() == 3 && area > 0 && x.dims()[1].is_multiple_of(area);
        let channels = if fits { x.dims()[1] / area } else { 0 };
        let windows = self.windows("fold", channels, image, kernel)?;
        if !fits || x.dims()[2] != windows.columns() {
            return Err(Error::shape(
                "fold",
                x.shape(),
                format!("[n, c · {area}, {}]", windows.columns()),
            ));
        }
        Ok(fold(x, windows))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{GradCheck, gradgradcheck};

    #[test]
    fn windows_become_columns_and_go_back() {
        let x = Tensor::arange(0.0, 9.0, 1.0).unwrap().reshape([1, 1, 3, 3]).unwrap();
        let columns = Conv::new().unfold(&x, [2, 2]).unwrap();
        assert_eq!(columns.dims(), [1, 4, 4]);
        assert_eq!(columns.to_vec()[..4], [0.0, 1.0, 3.0, 4.0]);
        let back = Conv::new().fold(&columns, [2, 2], [3, 3]).unwrap();
        assert_eq!(back.to_vec()[..5], [0.0, 2.0, 2.0, 6.0, 16.0]);
        let conv = Conv::new().stride(2).padding(1);
        let f = |t: &[Tensor<f64>]| {
            conv.fold(&conv.unfold(&t[0].square(), [2, 2])?.square(), [2, 2], [3, 3])
        };
        gradgradcheck(f, &[x.sin()], GradCheck::default()).unwrap();
    }
}
