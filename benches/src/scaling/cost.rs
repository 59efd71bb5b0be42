//! What a step costs on paper.

use super::Machine;

/// A step's work.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Cost {
    /// Multiplications and additions.
    pub flops: f64,
    /// Bytes read and written beside the products.
    pub traffic: f64,
    /// Operations that are recorded, forward and backward.
    pub operations: f64,
    /// Bytes that are alive at once.
    pub held: f64,
}

/// Bytes of a number.
const F32: f64 = 4.0;

impl Cost {
    /// A step of a perceptron of these sizes with Adam. With `P` weights, batch
    /// `B` and hidden sizes `d`: `2BP` forward, `2BP` for the weights' gradients,
    /// `2BP` without the first layer for those of the inputs. Adam reads weight,
    /// gradient and both moments and writes all but the gradient. Held are these
    /// four, the batch, and of each layer its output, what ReLU makes of it, and
    /// the gradients of the layer at work.
    pub fn perceptron(batch: usize, sizes: &[usize]) -> Self {
        let b = batch as f64;
        let weights: f64 = sizes.windows(2).map(|p| (p[0] + 1) as f64 * p[1] as f64).sum();
        let first = (sizes[0] * sizes[1]) as f64;
        let outputs: f64 = sizes[1..].iter().map(|&d| d as f64).sum();
        let widest = sizes[1..].iter().copied().max().unwrap_or(0) as f64;
        let layers = (sizes.len() - 1) as f64;
        Self {
            flops: b * (6.0 * weights - 2.0 * first),
            // Outputs are written and read by ReLU, both ways.
            traffic: F32 * (7.0 * weights + 6.0 * b * outputs),
            // Forward two, backward four, an update of weight and bias.
            operations: 8.0 * layers,
            held: F32 * (4.0 * weights + b * (sizes[0] as f64 + 2.0 * outputs + 2.0 * widest)),
        }
    }

    /// A meta-step on sinusoids, `tasks` networks 1-40-40-1 side by side with one
    /// inner step: a forward and a backward pass on the support set, a forward
    /// pass on the query set, and a backward pass through all three.
    pub fn maml(tasks: usize) -> Self {
        const POINTS: f64 = 10.0;
        let (t, weights, outputs) = (tasks as f64, 1761.0, 81.0);
        // Backward costs twice what it walks over.
        let passes = (1.0 + 2.0 + 1.0) * 3.0;
        Self {
            flops: 2.0 * t * POINTS * weights * passes,
            traffic: F32 * t * (weights * 8.0 + POINTS * outputs * 24.0),
            operations: 180.0,
            // Weights before and after the step, two gradients; outputs with
            // their functions and gradients, three times.
            held: F32 * t * (weights * 4.0 + POINTS * outputs * 9.0),
        }
    }

    /// Milliseconds on a machine: all limits one after another.
    pub fn milliseconds(&self, machine: &Machine) -> f64 {
        let seconds = self.flops / machine.flops
            + self.traffic / machine.bandwidth
            + self.operations * machine.operation;
        seconds * 1e3
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_perceptron_is_counted_by_hand() {
        // 2 to 3 to 1, batch 5: 9 + 4 weights.
        let cost = Cost::perceptron(5, &[2, 3, 1]);
        assert_eq!(cost.flops, 5.0 * (6.0 * 13.0 - 12.0));
        assert_eq!(cost.held, 4.0 * (4.0 * 13.0 + 5.0 * (2.0 + 8.0 + 6.0)));
        // Twice the batch costs twice the products.
        assert_eq!(Cost::perceptron(10, &[2, 3, 1]).flops, 2.0 * cost.flops);
    }
}
