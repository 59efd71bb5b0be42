//! The `module!` macro.

/// Implements [`Module`](crate::Module) for a struct by naming its fields.
///
/// ```
/// use tl_nn::{Module, ModuleExt, Param, module};
/// use tl_tensor::Tensor;
///
/// #[derive(Clone)]
/// struct Scale { gain: Param, bias: Option<Param>, steps: usize }
/// module!(Scale { gain as "weight", bias; skip steps });
///
/// let scale = Scale { gain: Param::new(Tensor::ones(3)), bias: None, steps: 2 };
/// assert_eq!(scale.params()[0].0, "weight");
/// ```
///
/// A field that is forgotten does not compile:
/// ```compile_fail
/// # use tl_nn::{Param, module};
/// #[derive(Clone)]
/// struct Net { weight: Param, bias: Param }
/// module!(Net { weight });
/// ```
/// nor does one that is no module, unless it is skipped:
/// ```compile_fail
/// # use tl_nn::{Param, module};
/// #[derive(Clone)]
/// struct Net { weight: Param, steps: usize }
/// module!(Net { weight, steps });
/// ```
///
/// Every field is named: parts by their name (or by another one with `as`,
/// where a checkpoint's home calls them so), what is not part of the state
/// after `skip`. The macro takes the struct apart without `..`, so a field
/// that is forgotten is a compile error. A generic struct is written
/// `module!(impl<M: Module> Wrapper<M> { inner })`.
#[macro_export]
macro_rules! module {
    ($Type:ident { $($fields:tt)* }) => {
        $crate::module!(@impl [] [$Type] { $($fields)* });
    };
    (impl<$($P:ident : $Bound:path),+> $Type:ident<$($Q:ident),+> { $($fields:tt)* }) => {
        $crate::module!(@impl [$($P: $Bound),+] [$Type<$($Q),+>] { $($fields)* });
    };
    (@impl [$($generics:tt)*] [$($Type:tt)*] {
        $($field:ident $(as $name:literal)?),* $(,)? $(; skip $($skip:ident),* $(,)?)?
    }) => {
        impl<$($generics)*> $crate::Module for $($Type)* {
            #[allow(unused_variables)]
            fn visit<'a>(&'a self, v: &mut dyn $crate::Visit<'a>) {
                let Self { $($field,)* $($($skip: _,)*)? } = self;
                $(
                    v.enter($crate::module!(@name $field $($name)?));
                    $crate::Module::visit($field, v);
                    v.leave();
                )*
            }

            #[allow(unused_variables)]
            fn visit_mut(&mut self, v: &mut dyn $crate::VisitMut) {
                let Self { $($field,)* $($($skip: _,)*)? } = self;
                $(
                    v.enter($crate::module!(@name $field $($name)?));
                    $crate::Module::visit_mut($field, v);
                    v.leave();
                )*
            }
        }
    };
    (@name $field:ident) => { stringify!($field) };
    (@name $field:ident $name:literal) => { $name };
}
