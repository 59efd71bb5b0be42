//! Meta-learning: MAML and kin with exact second-order gradients, metric-based few-shot learning.
