//! The transforms of F(2x2, 3x3) and F(4x4, 3x3) along one axis.
//!
//! The product of two polynomials is known by its values at some points (Toom and
//! Cook), and a convolution is the adjoint of such a product: `Y = Aᵀ [(G g) ⊙ (Bᵀ d)]`
//! with `N` points for `M` outputs of a kernel of three. The last point is infinity.

use crate::Elem;

/// The transforms along one axis of tiles with `N` points and `M = N - 2` outputs.
pub(super) trait Transform<const N: usize, const M: usize> {
    /// Products that are summed before the sum is added to the others: rounding errors
    /// grow with the length of a sum, and those of large tiles are larger from the start.
    const TERMS: usize;

    /// `Bᵀ d`, of a line of the input.
    fn input<E: Elem>(d: [E; N]) -> [E; N];

    /// `Aᵀ m`, of products to outputs.
    fn output<E: Elem>(m: [E; N]) -> [E; M];

    /// `A y`, the adjoint of [`output`](Self::output): of an output's gradient.
    fn gradient<E: Elem>(y: [E; M]) -> [E; N];

    /// `G g`, of a line of the kernel.
    fn kernel<E: Elem>(g: [E; 3]) -> [E; N];

    /// `Gᵀ u`, the adjoint of [`kernel`](Self::kernel).
    fn kernel_back<E: Elem>(u: [E; N]) -> [E; 3];
}

/// The points 0, 1, -1 and infinity (Lavin and Gray 2016, "Fast Algorithms for
/// Convolutional Neural Networks"): 16 products for four outputs.
pub(super) struct Two;

impl Transform<4, 2> for Two {
    const TERMS: usize = 128;

    #[inline(always)]
    fn input<E: Elem>([d0, d1, d2, d3]: [E; 4]) -> [E; 4] {
        [d0 - d2, d1 + d2, d2 - d1, d1 - d3]
    }

    #[inline(always)]
    fn output<E: Elem>([m0, m1, m2, m3]: [E; 4]) -> [E; 2] {
        [m0 + m1 + m2, m1 - m2 - m3]
    }

    #[inline(always)]
    fn gradient<E: Elem>([y0, y1]: [E; 2]) -> [E; 4] {
        [y0, y0 + y1, y0 - y1, -y1]
    }

    #[inline(always)]
    fn kernel<E: Elem>([g0, g1, g2]: [E; 3]) -> [E; 4] {
        let half = E::from_f64(0.5);
        [g0, (g0 + g1 + g2) * half, (g0 - g1 + g2) * half, g2]
    }

    #[inline(always)]
    fn kernel_back<E: Elem>([u0, u1, u2, u3]: [E; 4]) -> [E; 3] {
        let half = E::from_f64(0.5);
        [u0 + (u1 + u2) * half, (u1 - u2) * half, (u1 + u2) * half + u3]
    }
}

/// The points 0, ±a, ±b and infinity with `a = 2/3` and `b = 3/2`: 36 products for 16
/// outputs. With the points 0, ±1, ±2, which are common, rounding errors are twice as
/// large (Barabasz et al. 2020, "Error Analysis and Improving the Accuracy of Winograd
/// Convolution for Deep Neural Networks", on the choice of points).
pub(super) struct Four;

/// `a` and its square; `b = 1 / a`.
const A: f64 = 2.0 / 3.0;
const AA: f64 = A * A;
const B: f64 = 3.0 / 2.0;
const BB: f64 = B * B;
/// What the values at `±a` and `±b` weigh: `|p|` over the product of the differences of
/// `p` and the other points. The rows of `G` are divided by `|p|`.
const OF_A: f64 = B / (2.0 * (AA - BB));
const OF_B: f64 = A / (2.0 * (BB - AA));

/// Numbers of these transforms.
#[inline(always)]
fn numbers<E: Elem, const K: usize>(numbers: [f64; K]) -> [E; K] {
    numbers.map(E::from_f64)
}

impl Transform<6, 4> for Four {
    const TERMS: usize = 32;

    #[inline(always)]
    fn input<E: Elem>([d0, d1, d2, d3, d4, d5]: [E; 6]) -> [E; 6] {
        let [a, aa, b, bb, sum] = numbers([A, AA, B, BB, AA + BB]);
        // Even and odd powers of the polynomial without the points ±a, and ±b.
        let (even_a, odd_a) = (d4 - d2 * bb, (d3 - d1 * bb) * a);
        let (even_b, odd_b) = (d4 - d2 * aa, (d3 - d1 * aa) * b);
        [
            (d4 - d2 * sum) + d0,
            even_a + odd_a,
            even_a - odd_a,
            even_b + odd_b,
            even_b - odd_b,
            (d5 - d3 * sum) + d1,
        ]
    }

    #[inline(always)]
    fn output<E: Elem>([m0, m1, m2, m3, m4, m5]: [E; 6]) -> [E; 4] {
        let (even_a, odd_a, even_b, odd_b) = (m1 + m2, m1 - m2, m3 + m4, m3 - m4);
        let [a, a1, a2, a3] = numbers([OF_A, OF_A * A, OF_A * AA, OF_A * AA * A]);
        let [b, b1, b2, b3] = numbers([OF_B, OF_B * B, OF_B * BB, OF_B * BB * B]);
        [
            (even_a * a + even_b * b) + m0,
            odd_a * a1 + odd_b * b1,
            even_a * a2 + even_b * b2,
            (odd_a * a3 + odd_b * b3) + m5,
        ]
    }

    #[inline(always)]
    fn gradient<E: Elem>([y0, y1, y2, y3]: [E; 4]) -> [E; 6] {
        let [a, a1, a2, a3] = numbers([OF_A, OF_A * A, OF_A * AA, OF_A * AA * A]);
        let [b, b1, b2, b3] = numbers([OF_B, OF_B * B, OF_B * BB, OF_B * BB * B]);
        let (even_a, odd_a) = (y0 * a + y2 * a2, y1 * a1 + y3 * a3);
        let (even_b, odd_b) = (y0 * b + y2 * b2, y1 * b1 + y3 * b3);
        [y0, even_a + odd_a, even_a - odd_a, even_b + odd_b, even_b - odd_b, y3]
    }

    #[inline(always)]
    fn kernel<E: Elem>([g0, g1, g2]: [E; 3]) -> [E; 6] {
        let [a, b] = numbers([A, B]);
        let (even_a, even_b) = (g0 * b + g2 * a, g0 * a + g2 * b);
        [g0, even_a + g1, even_a - g1, even_b + g1, even_b - g1, g2]
    }

    #[inline(always)]
    fn kernel_back<E: Elem>([u0, u1, u2, u3, u4, u5]: [E; 6]) -> [E; 3] {
        let [a, b] = numbers([A, B]);
        let (even_a, even_b) = (u1 + u2, u3 + u4);
        [(even_a * b + even_b * a) + u0, (u1 - u2) + (u3 - u4), (even_a * a + even_b * b) + u5]
    }
}
