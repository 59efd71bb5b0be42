//! The elements that a mask chooses.

use crate::{Elem, Indices, Result, Tensor};

impl<E: Elem> Tensor<E> {
    /// The elements where `mask` is not 0, in row-major order, as a vector.
    ///
    /// # Errors
    /// The mask does not broadcast to this tensor's shape.
    pub fn masked_select(&self, mask: &Self) -> Result<Self> {
        let mask = mask.value.broadcast_to("masked_select", *self.shape())?.to_vec();
        let places: Vec<usize> = (0..mask.len()).filter(|&i| mask[i] != E::ZERO).collect();
        self.reshape(self.numel())?.index_select(0, &Indices::from(places))
    }

    /// The row-major positions of the elements that are not 0.
    pub fn nonzero(&self) -> Indices {
        let numbers = self.to_vec();
        let places: Vec<usize> = (0..numbers.len()).filter(|&i| numbers[i] != E::ZERO).collect();
        Indices::from(places)
    }
}

#[cfg(test)]
mod tests {
    use crate::Tensor;

    #[test]
    fn chosen_elements_keep_their_gradient() {
        let x = Tensor::from_slice(&[1.0_f64, -2.0, 3.0, -4.0], [2, 2]).unwrap().requires_grad();
        let y = x.masked_select(&x.gt_scalar(0.0)).unwrap();
        assert_eq!(y.to_vec(), [1.0, 3.0]);
        let g = y.square().sum_all().backward().unwrap();
        assert_eq!(g.get(&x).unwrap().to_vec(), [2.0, 0.0, 6.0, 0.0]);
        assert_eq!(x.detach().gt_scalar(0.0).nonzero().as_slice(), [0, 2]);
        assert_eq!(x.masked_select(&Tensor::zeros(2)).unwrap().dims(), [0]);
    }
}
