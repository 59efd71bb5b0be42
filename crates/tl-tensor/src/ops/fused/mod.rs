//! Operations with one kernel for several steps: normalisation, softmax, losses, attention.
