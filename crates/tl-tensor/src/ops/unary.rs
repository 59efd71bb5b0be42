//! Functions of one element.
//!
//! Each line of the table is one function: its formula, its derivative as a
//! number (one fused loop in a plain backward pass) and its rule in tensor
//! operations (when gradients are to have gradients).

use crate::{Elem, Op, Result, Tensor, Value, Vjp, kernel::map};

/// Defines a function of one element as a method of [`Tensor`].
///
/// `saves input` or `saves output` says what the derivative is written in.
macro_rules! unary {
    ($(
        $(#[$doc:meta])*
        $name:ident $Op:ident ($($p:ident),*);
        value |$x:ident| $f:expr;
        saves $side:ident;
        slope |$s:ident| $slope:expr;
        rule |$t:ident, $g:ident| $rule:expr;
    )*) => {
        $(
            struct $Op<E: Elem> { saved: Value<E>, $($p: E),* }

            impl<E: Elem> Op<E> for $Op<E> {
                fn name(&self) -> &'static str { stringify!($name) }

                #[allow(unused_variables)]
                fn vjp(&self, cx: &mut Vjp<'_, E>, g: Tensor<E>) -> Result<()> {
                    $(let $p = self.$p;)*
                    if !cx.create_graph() {
                        return cx.give(0, || {
                            map::binary(self.name(), &self.saved, g.value(), #[inline(always)] move |$s, g| { let slope: E = $slope; slope * g })
                                .map(Tensor::constant)
                        });
                    }
                    let $t = unary!(@tensor $side, cx, &self.saved);
                    let $g = g;
                    cx.give(0, || $rule)
                }
            }
        )*

        impl<E: Elem> Tensor<E> {
            $(
                $(#[$doc])*
                pub fn $name(&self, $($p: E),*) -> Self {
                    let y = map::unary(&self.value, #[inline(always)] move |$x: E| $f);
                    let saved = unary!(@saved $side, self.value, y);
                    Self::from_op(y, &[self], || $Op { saved, $($p),* })
                }
            )*
        }
    };
    (@tensor input, $cx:ident, $saved:expr) => { $cx.input(0, $saved) };
    (@tensor output, $cx:ident, $saved:expr) => { $cx.output($saved) };
    (@saved input, $x:expr, $y:expr) => { $x.clone() };
    (@saved output, $x:expr, $y:expr) => { $y.clone() };
}

#[inline(always)]
fn c<E: Elem>(x: f64) -> E {
    E::from_f64(x)
}

/// 1 where `yes`, else 0.
#[inline(always)]
fn step<E: Elem>(yes: bool) -> E {
    if yes { E::ONE } else { E::ZERO }
}

#[inline(always)]
pub(super) fn logistic<E: Elem>(x: E) -> E {
    E::ONE / (E::ONE + (-x).exp())
}

/// `ln(1 + eˣ)` without overflow.
#[inline(always)]
fn soft<E: Elem>(x: E) -> E {
    let positive = if x > E::ZERO { x } else { E::ZERO };
    positive + (-x.abs()).exp().ln_1p()
}

/// `φ(x)`, the density of the standard normal.
#[inline(always)]
fn normal_pdf<E: Elem>(x: E) -> E {
    (c::<E>(-0.5) * x * x).exp() * c(0.398_942_280_401_432_7)
}

const GELU_SLOPE: f64 = 0.797_884_560_802_865_4; // sqrt(2 / pi)
const GELU_CUBE: f64 = 0.044_715;

#[inline(always)]
fn gelu_inner<E: Elem>(x: E) -> E {
    (c::<E>(GELU_SLOPE) * (x + c::<E>(GELU_CUBE) * x * x * x)).tanh()
}

/// NaN stays NaN; otherwise the nearest number within the bounds.
#[inline(always)]
fn bounded<E: Elem>(x: E, low: E, high: E) -> E {
    let x = if x < low { low } else { x };
    if x > high { high } else { x }
}

unary! {
    /// `-x`.
    neg Neg();
    value |x| -x;
    saves output;
    slope |_y| -E::ONE;
    rule |_y, g| Ok(g.neg());

    /// `|x|`; the derivative at 0 is 0.
    abs Abs();
    value |x| x.abs();
    saves input;
    slope |x| sign_of(x);
    rule |x, g| g.mul(&x.detach().sign());

    /// -1, 0 or 1; the derivative is 0. NaN gives NaN.
    sign Sign();
    value |x| sign_of(x);
    saves output;
    slope |_y| E::ZERO;
    rule |_y, g| Ok(g.mul_scalar(E::ZERO));

    /// The largest whole number not above `x`; the derivative is 0.
    floor Floor();
    value |x| x.floor();
    saves output;
    slope |_y| E::ZERO;
    rule |_y, g| Ok(g.mul_scalar(E::ZERO));

    /// The nearest whole number, halves to even as in PyTorch; the derivative is 0.
    round Round();
    value |x| x.round();
    saves output;
    slope |_y| E::ZERO;
    rule |_y, g| Ok(g.mul_scalar(E::ZERO));

    /// `eˣ`.
    exp Exp();
    value |x| x.exp();
    saves output;
    slope |y| y;
    rule |y, g| g.mul(&y);

    /// `eˣ - 1`, accurate near 0.
    expm1 Expm1();
    value |x| x.exp_m1();
    saves output;
    slope |y| y + E::ONE;
    rule |y, g| g.mul(&y.add_scalar(E::ONE));

    /// The natural logarithm: -∞ at 0, NaN below.
    log Log();
    value |x| x.ln();
    saves input;
    slope |x| E::ONE / x;
    rule |x, g| g.div(&x);

    /// `ln(1 + x)`, accurate near 0.
    log1p Log1p();
    value |x| x.ln_1p();
    saves input;
    slope |x| E::ONE / (E::ONE + x);
    rule |x, g| g.div(&x.add_scalar(E::ONE));

    /// The square root; NaN below 0, the derivative at 0 is infinite.
    sqrt Sqrt();
    value |x| x.sqrt();
    saves output;
    slope |y| c::<E>(0.5) / y;
    rule |y, g| Ok(g.div(&y)?.mul_scalar(c(0.5)));

    /// `1 / √x`.
    rsqrt Rsqrt();
    value |x| E::ONE / x.sqrt();
    saves output;
    slope |y| c::<E>(-0.5) * y * y * y;
    rule |y, g| Ok(g.mul(&y.square().mul(&y)?)?.mul_scalar(c(-0.5)));

    /// `1 / x`.
    recip Recip();
    value |x| E::ONE / x;
    saves output;
    slope |y| -(y * y);
    rule |y, g| Ok(g.mul(&y.square())?.neg());

    /// `x²`.
    square Square();
    value |x| x * x;
    saves input;
    slope |x| x + x;
    rule |x, g| Ok(g.mul(&x)?.mul_scalar(c(2.0)));

    /// `xᵖ` for a fixed exponent; NaN for negative `x` and fractional `p`.
    powf Powf(p);
    value |x| x.powf(p);
    saves input;
    slope |x| if p == E::ZERO { E::ZERO } else { p * x.powf(p - E::ONE) };
    rule |x, g| {
        if p == E::ZERO {
            return Ok(g.mul_scalar(E::ZERO));
        }
        Ok(g.mul(&x.powf(p - E::ONE))?.mul_scalar(p))
    };

    /// The sine (radians).
    sin Sin();
    value |x| x.sin();
    saves input;
    slope |x| x.cos();
    rule |x, g| g.mul(&x.cos());

    /// The cosine (radians).
    cos Cos();
    value |x| x.cos();
    saves input;
    slope |x| -x.sin();
    rule |x, g| Ok(g.mul(&x.sin())?.neg());

    /// The hyperbolic tangent.
    tanh Tanh();
    value |x| x.tanh();
    saves output;
    slope |y| E::ONE - y * y;
    rule |y, g| g.mul(&y.square().neg().add_scalar(E::ONE));

    /// The logistic function `1 / (1 + e⁻ˣ)`.
    sigmoid Sigmoid();
    value |x| logistic(x);
    saves output;
    slope |y| y * (E::ONE - y);
    rule |y, g| g.mul(&y.mul(&y.neg().add_scalar(E::ONE))?);

    /// `max(x, 0)`; the derivative at 0 is 0. NaN stays NaN.
    relu Relu();
    value |x| if x < E::ZERO { E::ZERO } else { x };
    saves output;
    slope |y| step(y > E::ZERO);
    rule |y, g| g.mul(&y.detach().map_constant(|y| step(y > E::ZERO)));

    /// `x` where positive, else `negative_slope · x` (PyTorch's default is 0.01).
    leaky_relu LeakyRelu(negative_slope);
    value |x| if x > E::ZERO { x } else { negative_slope * x };
    saves input;
    slope |x| if x > E::ZERO { E::ONE } else { negative_slope };
    rule |x, g| g.mul(&x.detach().map_constant(
        |x| if x > E::ZERO { E::ONE } else { negative_slope }
    ));

    /// `x` where positive, else `alpha (eˣ - 1)` (PyTorch's default is 1).
    /// Clevert et al. 2016.
    elu Elu(alpha);
    value |x| if x > E::ZERO { x } else { alpha * x.exp_m1() };
    saves input;
    slope |x| if x > E::ZERO { E::ONE } else { alpha * x.exp() };
    rule |x, g| {
        let positive = x.detach().map_constant(|x| step(x > E::ZERO));
        // The exponential is taken of the negative part only: no overflow.
        let negative = x.clamp(-E::INFINITY, E::ZERO).exp().mul_scalar(alpha);
        g.mul(&Tensor::where_cond(&positive, &Tensor::ones(x.shape()), &negative)?)
    };

    /// `x Φ(x)` with the error function: PyTorch's default form.
    /// Hendrycks and Gimpel 2016.
    gelu Gelu();
    value |x| x * x.normal_cdf();
    saves input;
    slope |x| x.normal_cdf() + x * normal_pdf(x);
    rule |x, g| {
        let cdf = x.mul_scalar(c(std::f64::consts::FRAC_1_SQRT_2)).erf()
            .add_scalar(E::ONE).mul_scalar(c(0.5));
        let pdf = x.square().mul_scalar(c(-0.5)).exp()
            .mul_scalar(c(0.398_942_280_401_432_7));
        g.mul(&cdf.add(&x.mul(&pdf)?)?)
    };

    /// `x/2 (1 + tanh(√(2/π) (x + 0.044715 x³)))`: the form with tanh, as in GPT-2.
    gelu_tanh GeluTanh();
    value |x| c::<E>(0.5) * x * (E::ONE + gelu_inner(x));
    saves input;
    slope |x| {
        let t = gelu_inner(x);
        let inner = c::<E>(GELU_SLOPE) * (E::ONE + c::<E>(3.0 * GELU_CUBE) * x * x);
        c::<E>(0.5) * (E::ONE + t) + c::<E>(0.5) * x * (E::ONE - t * t) * inner
    };
    rule |x, g| {
        let x2 = x.square();
        let t = x2.mul_scalar(c(GELU_CUBE)).add_scalar(E::ONE).mul(&x)?
            .mul_scalar(c(GELU_SLOPE)).tanh();
        let inner = x2.mul_scalar(c(3.0 * GELU_CUBE)).add_scalar(E::ONE)
            .mul_scalar(c(GELU_SLOPE));
        let slope = t.square().neg().add_scalar(E::ONE).mul(&inner)?.mul(&x)?;
        g.mul(&slope.add(&t)?.add_scalar(E::ONE).mul_scalar(c(0.5)))
    };

    /// `x / (1 + e⁻ˣ)`, also called swish.
    silu Silu();
    value |x| x * logistic(x);
    saves input;
    slope |x| { let s = logistic(x); s * (E::ONE + x * (E::ONE - s)) };
    rule |x, g| {
        let s = x.sigmoid();
        let rest = s.neg().add_scalar(E::ONE).mul(&x)?.add_scalar(E::ONE);
        g.mul(&s.mul(&rest)?)
    };

    /// `ln(1 + eˣ)`, without overflow.
    softplus Softplus();
    value |x| soft(x);
    saves input;
    slope |x| logistic(x);
    rule |x, g| g.mul(&x.sigmoid());

    /// `x min(max(x + 3, 0), 6) / 6`. Howard et al. 2019.
    hardswish Hardswish();
    value |x| x * bounded(x + c(3.0), E::ZERO, c(6.0)) / c(6.0);
    saves input;
    slope |x| if x <= c(-3.0) { E::ZERO } else if x >= c(3.0) { E::ONE }
        else { (x + x + c(3.0)) / c(6.0) };
    rule |x, g| {
        let inside = x.detach().map_constant(|x| step(x > c(-3.0) && x < c(3.0)));
        let above = x.detach().map_constant(|x| step(x >= c(3.0)));
        let slope = x.mul_scalar(c(1.0 / 3.0)).add_scalar(c(0.5));
        g.mul(&slope.mul(&inside)?.add(&above)?)
    };

    /// The error function `2/√π ∫₀ˣ e^(-t²) dt`.
    erf Erf();
    value |x| x.erf();
    saves input;
    slope |x| (-(x * x)).exp() * c(std::f64::consts::FRAC_2_SQRT_PI);
    rule |x, g| g.mul(&x.square().neg().exp().mul_scalar(c(std::f64::consts::FRAC_2_SQRT_PI)));

    /// The nearest number within `low..=high`; the derivative is 1 within (both
    /// ends included, as in PyTorch) and 0 outside. NaN stays NaN.
    clamp Clamp(low, high);
    value |x| bounded(x, low, high);
    saves input;
    slope |x| step(x >= low && x <= high);
    rule |x, g| g.mul(&x.detach().map_constant(|x| step(x >= low && x <= high)));
}

/// -1, 0 or 1; NaN for NaN.
#[inline(always)]
fn sign_of<E: Elem>(x: E) -> E {
    if x > E::ZERO {
        E::ONE
    } else if x < E::ZERO {
        -E::ONE
    } else {
        x * E::ZERO
    }
}

impl<E: Elem> Tensor<E> {
    /// `f` of every element, as a constant: no gradient flows through.
    pub fn map_constant(&self, f: impl Fn(E) -> E + Sync + Send + Copy) -> Self {
        Self::constant(map::unary(&self.value, f))
    }
}

#[cfg(test)]
mod tests {
    use crate::Tensor;

    #[test]
    fn extreme_inputs_do_not_overflow() {
        let x = Tensor::from_slice(&[-1e4_f32, -90.0, 0.0, 90.0, 1e4], 5).unwrap();
        for y in
            [x.sigmoid(), x.softplus(), x.silu(), x.gelu(), x.gelu_tanh(), x.elu(1.0), x.tanh()]
        {
            assert!(y.is_finite(), "{y:?}");
        }
        assert_eq!(x.softplus().to_vec()[4], 1e4);
    }

    #[test]
    fn not_a_number_is_never_hidden() {
        let x = Tensor::scalar(f32::NAN);
        for y in [x.relu(), x.clamp(0.0, 1.0), x.abs(), x.sign(), x.elu(1.0), x.softplus()] {
            assert!(y.item().unwrap().is_nan(), "{y:?}");
        }
    }

    #[test]
    fn halves_round_to_even() {
        let x = Tensor::from_slice(&[0.5_f64, 1.5, 2.5, -0.5], 4).unwrap();
        assert_eq!(x.round().to_vec(), [0.0, 2.0, 2.0, 0.0]);
    }
}
