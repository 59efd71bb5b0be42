//! Domain adaptation: adversarial training, moment matching, domain-specific normalisation.
