//! Modules: plain values whose fields are parameters, buffers and modules.

mod adapt;
mod macros;
mod param;
mod paths;
mod traits;

pub use adapt::Adapt;
pub use param::{Buffer, Param};
pub use paths::ModuleExt;
pub(crate) use paths::no_match;
pub use traits::{Forward, Module, TokenEncoder, Visit, VisitMut};
