//! Feature extraction, probes, fine-tuning and low-rank adapters.
