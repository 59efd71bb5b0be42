//! Self-supervised learning: contrastive, non-contrastive and masked pre-training.
