//! Knowledge distillation: teacher to student, feature and relation losses, compression.
