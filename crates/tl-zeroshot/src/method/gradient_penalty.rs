//! What keeps a Wasserstein critic's slope near 1.

use crate::Result;
use tl_nn::{GradOptions, Tensor, grad};
use tl_tensor::Elem;

/// The gradient penalty of WGAN-GP (Gulrajani et al. 2017, eq. 3), without its
/// weight: the mean over rows of `(|∇_x̂ D(x̂)|₂ - 1)²` at
/// `x̂ = fake + mix (real - fake)`. `real` and `fake` are `[n, d]`, `mix`
/// `[n, 1]` in 0 to 1, drawn anew for every row; `critic` gives `[n, 1]`, each
/// row from its own row of `x̂` (no normalisation over the batch). Both kinds of
/// samples count as constants.
///
/// The result can be differentiated in the critic's weights: gradients of
/// gradients. In single or double precision.
///
/// ```
/// use tl_zeroshot::gradient_penalty;
/// use tl_nn::Tensor;
/// # fn main() -> tl_zeroshot::Result<()> {
/// // The critic 3 x₁ + 4 x₂ has slope 5 everywhere.
/// let w = Tensor::from_vec(vec![3.0_f64, 4.0], [2, 1])?.requires_grad();
/// let (real, fake) = (Tensor::ones([6, 2]), Tensor::zeros([6, 2]));
/// let mix = Tensor::full([6, 1], 0.5);
/// let penalty = gradient_penalty(|x| Ok(x.matmul(&w)?), &real, &fake, &mix)?;
/// assert!((penalty.item()? - 16.0).abs() < 1e-9);
/// // d/dw (|w| - 1)² = 2 (|w| - 1) w / |w|.
/// let slope = penalty.backward()?.get(&w).map(|g| g.to_vec());
/// assert!(slope.is_some_and(|g| (g[0] - 4.8).abs() < 1e-9 && (g[1] - 6.4).abs() < 1e-9));
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// Shapes that do not fit; those of the critic; a critic that does not look at
/// its input.
pub fn gradient_penalty<E: Elem>(
    critic: impl FnOnce(&Tensor<E>) -> Result<Tensor<E>>,
    real: &Tensor<E>,
    fake: &Tensor<E>,
    mix: &Tensor<E>,
) -> Result<Tensor<E>> {
    let between = fake.lerp(real, mix)?.detach().requires_grad();
    let judged = critic(&between)?.sum_all();
    let graph = GradOptions::new().create_graph(true);
    let slope = grad(&judged, &[&between], graph)?.remove(0);
    // A root has no slope at 0.
    let tiny = E::from_f64(1e-12);
    let length = slope.square().sum(-1, false)?.add_scalar(tiny).sqrt();
    Ok(length.add_scalar(E::from_f64(-1.0)).square().mean_all())
}
