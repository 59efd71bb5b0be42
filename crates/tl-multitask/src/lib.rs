//! Multi-task learning: shared trunks, expert gates, loss and gradient balancing.
