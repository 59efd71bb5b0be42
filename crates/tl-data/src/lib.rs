//! Data sets, readers, batches, splits and transforms for transfer learning, with small real data sets embedded.
