//! Clipping of gradients.

use tl_tensor::Tensor;

/// The bounds of gradients.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Clip {
    /// The largest norm of all gradients together.
    pub(super) norm: Option<f32>,
    /// The largest absolute value of a number.
    pub(super) value: Option<f32>,
}

impl Clip {
    /// The numbers of a gradient, scaled and clipped; `scratch` holds them if they
    /// are others.
    pub(super) fn apply<'a>(
        self,
        gradient: &'a [f32],
        scale: f32,
        scratch: &'a mut Vec<f32>,
    ) -> &'a [f32] {
        if scale == 1.0 && self.value.is_none() {
            return gradient;
        }
        let most = self.value.unwrap_or(f32::INFINITY);
        scratch.clear();
        scratch.extend(gradient.iter().map(|g| (g * scale).clamp(-most, most)));
        scratch
    }

    /// What gradients of this norm are multiplied by.
    pub(super) fn scale(self, norm: f32) -> f32 {
        match self.norm {
            Some(most) if norm > most => most / (norm + 1e-6),
            _ => 1.0,
        }
    }
}

/// Summed in double precision, in order.
pub(super) fn sum_of_squares(x: &Tensor) -> f64 {
    let x = x.contiguous();
    let data = x.value().as_slice().unwrap_or(&[]);
    let mut lanes = [0.0_f64; 8];
    for chunk in data.chunks(8) {
        for (lane, &x) in lanes.iter_mut().zip(chunk) {
            *lane += f64::from(x) * f64::from(x);
        }
    }
    lanes.iter().sum()
}
