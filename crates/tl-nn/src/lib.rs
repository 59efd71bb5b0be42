//! Neural network modules, losses, optimisers, schedules, checkpoints and one training loop, with PyTorch names and layouts.
