//! Functions of two elements, broadcasting as in NumPy.

use crate::{Elem, Op, Result, Shape, Tensor, Value, Vjp, kernel::map};

/// `x + y`, `x - y`: only the shapes matter for the rule, and only if they
/// differ.
struct AddSub {
    minus: bool,
    shapes: Option<Box<[Shape; 2]>>,
}

impl AddSub {
    fn new(minus: bool, a: &Shape, b: &Shape) -> Self {
        Self { minus, shapes: (a != b).then(|| Box::new([*a, *b])) }
    }

    fn back<E: Elem>(&self, i: usize, g: Tensor<E>) -> Result<Tensor<E>> {
        let g = match &self.shapes {
            Some(shapes) => g.sum_to(&shapes[i])?,
            None => g,
        };
        Ok(if self.minus && i == 1 { g.neg() } else { g })
    }
}

impl<E: Elem> Op<E> for AddSub {
    fn name(&self) -> &'static str {
        if self.minus { "sub" } else { "add" }
    }

    fn vjp(&self, cx: &mut Vjp<'_, E>, g: Tensor<E>) -> Result<()> {
        if !cx.needs(1) {
            return cx.give(0, || self.back(0, g));
        }
        cx.give(0, || self.back(0, g.clone()))?;
        cx.give(1, || self.back(1, g))
    }
}

/// Defines an operation of two tensors that saves both.
macro_rules! binary {
    ($(
        $(#[$doc:meta])*
        $name:ident $Op:ident;
        value |$x:ident, $y:ident| $f:expr;
        rule |$a:ident, $b:ident, $g:ident| ($left:expr, $right:expr);
    )*) => {
        $(
            struct $Op<E: Elem> { a: Value<E>, b: Value<E> }

            impl<E: Elem> Op<E> for $Op<E> {
                fn name(&self) -> &'static str { stringify!($name) }

                fn vjp(&self, cx: &mut Vjp<'_, E>, $g: Tensor<E>) -> Result<()> {
                    let ($a, $b) = (cx.input(0, &self.a), cx.input(1, &self.b));
                    let ($a, $b) = (&$a, &$b);
                    cx.give(0, || { let gradient: Tensor<E> = $left; gradient.sum_to(self.a.shape()) })?;
                    cx.give(1, || { let gradient: Tensor<E> = $right; gradient.sum_to(self.b.shape()) })
                }
            }
        )*

        impl<E: Elem> Tensor<E> {
            $(
                $(#[$doc])*
                ///
                /// Broadcasts as NumPy does.
                ///
                /// # Errors
                /// The shapes do not broadcast.
                pub fn $name(&self, other: &Self) -> Result<Self> {
                    let value = map::binary(
                        stringify!($name), &self.value, &other.value, |$x, $y| $f)?;
                    Ok(Self::from_op(value, &[self, other], || $Op {
                        a: self.value.clone(),
                        b: other.value.clone(),
                    }))
                }
            )*
        }
    };
}

/// 1 where the first is the larger, 1/2 where both are equal, else 0.
fn share<E: Elem>(op: &'static str, a: &Tensor<E>, b: &Tensor<E>) -> Result<Tensor<E>> {
    let half = E::from_f64(0.5);
    map::binary(op, &a.value, &b.value, move |a, b| {
        if a > b {
            E::ONE
        } else if a == b {
            half
        } else {
            E::ZERO
        }
    })
    .map(Tensor::constant)
}

binary! {
    /// `x · y` element by element.
    mul Mul;
    value |x, y| x * y;
    rule |a, b, g| (g.mul(b)?, g.mul(a)?);

    /// `x / y` element by element.
    div Div;
    value |x, y| x / y;
    rule |a, b, g| (
        g.div(b)?,
        g.mul(a)?.div(&b.square())?.neg()
    );

    /// `xʸ` element by element. The derivative by `y` is 0 where `x` is 0, as
    /// in PyTorch.
    pow Pow;
    value |x, y| x.powf(y);
    rule |a, b, g| (
        g.mul(&b.mul(&a.pow(&b.add_scalar(-E::ONE))?)?)?,
        {
            // 0 · ln 0 has the limit 0.
            let zero = a.detach().map_constant(|a| if a == E::ZERO { E::ONE } else { E::ZERO });
            let log = a.add(&zero)?.log();
            g.mul(&a.pow(b)?.mul(&log)?)?
        }
    );

    /// The larger of two elements; NaN if one is. Where both are equal each
    /// gets half of the gradient, as in PyTorch.
    maximum Maximum;
    value |x, y| if x > y || x.is_nan() { x } else { y };
    rule |a, b, g| (g.mul(&share("maximum", a, b)?)?, g.mul(&share("maximum", b, a)?)?);

    /// The smaller of two elements; NaN if one is. Where both are equal each
    /// gets half of the gradient, as in PyTorch.
    minimum Minimum;
    value |x, y| if x < y || x.is_nan() { x } else { y };
    rule |a, b, g| (g.mul(&share("minimum", b, a)?)?, g.mul(&share("minimum", a, b)?)?);
}

impl<E: Elem> Tensor<E> {
    /// `x + y` element by element. Broadcasts as NumPy does.
    ///
    /// # Errors
    /// The shapes do not broadcast.
    pub fn add(&self, other: &Self) -> Result<Self> {
        let value = map::binary("add", &self.value, &other.value, |x, y| x + y)?;
        Ok(Self::from_op(value, &[self, other], || AddSub::new(false, self.shape(), other.shape())))
    }

    /// `x - y` element by element. Broadcasts as NumPy does.
    ///
    /// # Errors
    /// The shapes do not broadcast.
    pub fn sub(&self, other: &Self) -> Result<Self> {
        let value = map::binary("sub", &self.value, &other.value, |x, y| x - y)?;
        Ok(Self::from_op(value, &[self, other], || AddSub::new(true, self.shape(), other.shape())))
    }

    /// `x + weight (end - x)`: linear interpolation. Broadcasts.
    ///
    /// # Errors
    /// The shapes do not broadcast.
    pub fn lerp(&self, end: &Self, weight: &Self) -> Result<Self> {
        self.add(&end.sub(self)?.mul(weight)?)
    }

    /// `x + scale · a · b`. Broadcasts.
    ///
    /// # Errors
    /// The shapes do not broadcast.
    pub fn addcmul(&self, a: &Self, b: &Self, scale: E) -> Result<Self> {
        self.add(&a.mul(b)?.mul_scalar(scale))
    }

    /// Sums over the axes along which `shape` was broadcast to this tensor's
    /// shape: the reverse of broadcasting.
    ///
    /// # Errors
    /// `shape` does not broadcast to this tensor's.
    pub fn sum_to(&self, shape: &Shape) -> Result<Self> {
        if self.shape() == shape {
            return Ok(self.clone());
        }
        if Shape::broadcast("sum_to", shape, self.shape())? != *self.shape() {
            return Err(crate::Error::shapes(
                "sum_to",
                self.shape(),
                shape,
                "a target that broadcasts to the first shape",
            ));
        }
        let lead = self.rank() - shape.rank();
        let axes: Vec<isize> = (0..self.rank())
            .filter(|&i| i < lead || (shape[i - lead] == 1 && self.dims()[i] != 1))
            .map(|i| i as isize)
            .collect();
        self.sum(axes.as_slice(), true)?.reshape(shape)
    }
}
