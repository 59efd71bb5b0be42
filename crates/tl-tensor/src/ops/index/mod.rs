//! Reading and writing at indices; order.
