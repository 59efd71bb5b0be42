//! Back-bones for transfer learning with the state-dict names of their PyTorch home.
