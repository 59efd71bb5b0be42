//! Zero-shot learning: attribute and embedding compatibility, generalised zero-shot.
