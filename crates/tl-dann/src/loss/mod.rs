//! What makes features of two domains alike.

mod adversarial;
mod confusion;
mod moment;
mod pseudo;
mod transport;

pub use adversarial::{
    Discriminator, domain_loss, entropy_weights, mcd_discrepancy, mdd_loss, multilinear,
    open_set_loss, reversal_strength, reverse,
};
pub use confusion::{class_confusion, entropy, information_maximisation, pseudo_label_loss};
pub use moment::{
    Kernels, MmdForm, central_moments, coral, feature_norm, hard_feature_norm, joint_mmd, mmd,
    spectral_penalty,
};
pub use pseudo::{Selection, pseudo_labels};
pub use transport::{joint_cost, sinkhorn, transport_cost};
