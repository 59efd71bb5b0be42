//! What a weight's inner products cost in either form.

/// The sizes of a weight `[outputs, inputs]` that was used on `rows` rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LinearSize {
    /// Rows of the batch; of all steps of a recurrent layer.
    pub rows: usize,
    /// The length of an input.
    pub inputs: usize,
    /// The length of an output.
    pub outputs: usize,
}

impl LinearSize {
    /// Multiply-adds of the inner products of `tasks` gradients and of their
    /// weighted sum if none is multiplied out: `x xᵀ`, its product with every
    /// `g`, their inner products, and one product `gᵀ x` in the end.
    pub fn factored(self, tasks: usize) -> usize {
        let Self { rows, inputs, outputs } = self;
        rows * rows * inputs
            + tasks * rows * rows * outputs
            + tasks * tasks * rows * outputs
            + rows * inputs * outputs
    }

    /// Multiply-adds if all are multiplied out.
    pub fn materialised(self, tasks: usize) -> usize {
        let Self { rows, inputs, outputs } = self;
        tasks * rows * inputs * outputs + tasks * tasks * inputs * outputs
    }

    /// Whether the factors are cheaper, and take no more room: they are
    /// `[rows, outputs]` for each task, gradients `[inputs, outputs]`.
    ///
    /// ```
    /// use tl_multitask::LinearSize;
    /// let size = LinearSize { rows: 64, inputs: 512, outputs: 512 };
    /// assert!(size.is_factored(2) && size.is_factored(32));
    /// // Many rows of short inputs, as in a convolution.
    /// assert!(!LinearSize { rows: 4096, inputs: 9, outputs: 16 }.is_factored(2));
    /// ```
    pub fn is_factored(self, tasks: usize) -> bool {
        self.rows <= self.inputs && self.factored(tasks) < self.materialised(tasks)
    }
}
