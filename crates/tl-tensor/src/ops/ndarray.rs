//! From and to `ndarray`.

use crate::{Elem, Error, Result, Shape, Tensor, Value};
use ndarray::{Array, ArrayBase, ArrayD, ArrayViewD, Data, Dimension, IxDyn, ShapeBuilder};

impl<E: Elem> Tensor<E> {
    /// The numbers of any `ndarray` array.
    ///
    /// # Errors
    /// More than [`MAX_RANK`](crate::MAX_RANK) dimensions.
    pub fn from_array<S: Data<Elem = E>, D: Dimension>(array: &ArrayBase<S, D>) -> Result<Self> {
        let shape = Shape::new(array.shape())?;
        Ok(Self::constant(match array.as_slice() {
            Some(data) => Value::from_slice(data, shape),
            None => Value::build(shape, |out| {
                for (o, x) in out.iter_mut().zip(array.iter()) {
                    *o = *x;
                }
            }),
        }))
    }

    /// The numbers as a new `ndarray` array.
    pub fn to_array(&self) -> ArrayD<E> {
        self.view()
            .map_or_else(|_| ArrayD::from_elem(IxDyn(self.dims()), E::ZERO), |v| v.to_owned())
    }

    /// The numbers as an `ndarray` view, without a copy.
    ///
    /// # Errors
    /// Not possible for a tensor of this crate; `ndarray` checks the bounds.
    pub fn view(&self) -> Result<ArrayViewD<'_, E>> {
        let shape = IxDyn(self.dims()).strides(IxDyn(&self.value.strides()));
        ArrayViewD::from_shape(shape, self.value.raw())
            .map_err(|e| Error::shape("view", self.shape(), e.to_string()))
    }
}

impl<E: Elem, D: Dimension> TryFrom<Array<E, D>> for Tensor<E> {
    type Error = Error;

    fn try_from(array: Array<E, D>) -> Result<Self> {
        Self::from_array(&array)
    }
}

#[cfg(test)]
mod tests {
    use crate::Tensor;
    use ndarray::array;

    #[test]
    fn strided_arrays_go_in_and_out() {
        let a = array![[1.0_f32, 2.0, 3.0], [4.0, 5.0, 6.0]];
        let t = Tensor::from_array(&a.t()).unwrap();
        assert_eq!(t.dims(), [3, 2]);
        assert_eq!(t.to_vec(), [1.0, 4.0, 2.0, 5.0, 3.0, 6.0]);
        let back = t.transpose(0, 1).unwrap();
        assert_eq!(back.view().unwrap(), a.view().into_dyn());
        assert_eq!(back.to_array(), a.into_dyn());
        assert_eq!(Tensor::<f64>::zeros([0, 2]).to_array().shape(), [0, 2]);
    }
}
