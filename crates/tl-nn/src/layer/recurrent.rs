//! Recurrent layers.

use crate::{Ctx, Error, Module, Param, Result, Visit, VisitMut, init};
use rand::RngCore;
use tl_tensor::Tensor;

/// The weights of one direction of one layer.
#[derive(Clone, Debug)]
struct Cell {
    weight_ih: Param,
    weight_hh: Param,
    bias_ih: Param,
    bias_hh: Param,
}

/// A stack of recurrent layers: the weights and options that GRU and LSTM share.
///
/// Paths are PyTorch's: `weight_ih_l0` `[gates · hidden, in]`, `weight_hh_l0`
/// `[gates · hidden, hidden]`, `bias_ih_l0`, `bias_hh_l0`, and the same with
/// `_reverse` for the second direction. All begin uniform in `±1/√hidden`.
#[derive(Clone, Debug)]
pub struct Recurrent {
    /// Layer by layer, forward before reverse.
    cells: Vec<Cell>,
    hidden: usize,
    directions: usize,
    gates: usize,
    /// Dropout between layers in training.
    pub dropout: f64,
}

impl Recurrent {
    fn new(
        gates: usize,
        inputs: usize,
        hidden: usize,
        layers: usize,
        bidirectional: bool,
        rng: &mut dyn RngCore,
    ) -> Self {
        let directions = 1 + usize::from(bidirectional);
        let cells = (0..layers * directions)
            .map(|i| {
                let inputs = if i < directions { inputs } else { hidden * directions };
                let rows = gates * hidden;
                let mut draw = |shape| Param::new(init::by_fan_in(shape, hidden, rng));
                Cell {
                    weight_ih: draw([rows, inputs].into()),
                    weight_hh: draw([rows, hidden].into()),
                    bias_ih: draw(rows.into()),
                    bias_hh: draw(rows.into()),
                }
            })
            .collect();
        Self { cells, hidden, directions, gates, dropout: 0.0 }
    }

    fn name(&self, part: &str, cell: usize) -> String {
        let reverse = if cell % self.directions == 1 { "_reverse" } else { "" };
        format!("{part}_l{}{reverse}", cell / self.directions)
    }

    /// Runs `step(input part, hidden part, state)` along each sequence.
    ///
    /// Returns the states of the last layer `[n, l, hidden · directions]` and
    /// the last state of every layer and direction, `parts` tensors each.
    fn run(
        &self,
        x: &Tensor,
        parts: usize,
        cx: &mut Ctx,
        step: impl Fn(&[Tensor], &[Tensor], &[Tensor]) -> Result<Vec<Tensor>>,
    ) -> Result<(Tensor, Vec<Vec<Tensor>>)> {
        if x.rank() != 3 || x.dims()[1] == 0 {
            return Err(tl_tensor::Error::shape(
                "recurrent layer",
                x.shape(),
                "sequences [n, l, in] of at least one step",
            )
            .into());
        }
        let (n, length) = (x.dims()[0], x.dims()[1]);
        let mut input = x.clone();
        let mut last = Vec::new();
        for (layer, cells) in self.cells.chunks(self.directions).enumerate() {
            if layer > 0 && cx.is_train() && self.dropout > 0.0 {
                input = input.dropout(self.dropout, cx.rng())?;
            }
            let mut outputs = Vec::new();
            for (direction, cell) in cells.iter().enumerate() {
                // One product for all steps; only the hidden part is serial.
                let from_input = input.linear(
                    cell.weight_ih.adapted()?.as_ref(),
                    Some(cell.bias_ih.adapted()?.as_ref()),
                )?;
                let mut state = vec![Tensor::zeros([n, self.hidden]); parts];
                let mut steps = vec![Tensor::zeros(()); length];
                for i in 0..length {
                    let at = if direction == 1 { length - 1 - i } else { i };
                    let a = from_input.select(1, at)?.chunk(self.gates, -1)?;
                    let b = state[0]
                        .linear(
                            cell.weight_hh.adapted()?.as_ref(),
                            Some(cell.bias_hh.adapted()?.as_ref()),
                        )?
                        .chunk(self.gates, -1)?;
                    state = step(&a, &b, &state)?;
                    steps[at] = state[0].clone();
                }
                outputs.push(Tensor::stack(&steps.iter().collect::<Vec<_>>(), 1)?);
                last.push(state);
            }
            input = Tensor::cat(&outputs.iter().collect::<Vec<_>>(), -1)?;
        }
        Ok((input, last))
    }
}

impl Module for Recurrent {
    fn visit<'a>(&'a self, v: &mut dyn Visit<'a>) {
        for (i, cell) in self.cells.iter().enumerate() {
            let Cell { weight_ih, weight_hh, bias_ih, bias_hh } = cell;
            for (part, param) in [
                ("weight_ih", weight_ih),
                ("weight_hh", weight_hh),
                ("bias_ih", bias_ih),
                ("bias_hh", bias_hh),
            ] {
                v.enter(&self.name(part, i));
                param.visit(v);
                v.leave();
            }
        }
    }

    fn visit_mut(&mut self, v: &mut dyn VisitMut) {
        for i in 0..self.cells.len() {
            let names = ["weight_ih", "weight_hh", "bias_ih", "bias_hh"].map(|p| self.name(p, i));
            let Cell { weight_ih, weight_hh, bias_ih, bias_hh } = &mut self.cells[i];
            for (name, param) in names.iter().zip([weight_ih, weight_hh, bias_ih, bias_hh]) {
                v.enter(name);
                param.visit_mut(v);
                v.leave();
            }
        }
    }
}

/// The last states, stacked: `[layers · directions, n, hidden]`.
fn stacked(last: &[Vec<Tensor>], part: usize) -> Result<Tensor> {
    let states: Vec<&Tensor> = last.iter().map(|s| &s[part]).collect();
    Ok(Tensor::stack(&states, 0)?)
}

fn check(what: &'static str, layers: usize) -> Result<()> {
    if layers == 0 {
        return Err(Error::argument(what, "layers", layers, "at least 1"));
    }
    Ok(())
}

/// Gated recurrent units (Cho et al. 2014), PyTorch's form, batch first:
/// `r = σ(a_r + b_r)`, `z = σ(a_z + b_z)`, `c = tanh(a_c + r b_c)`,
/// `h ← (1 - z) c + z h`, with `a = W_ih x + b_ih` and `b = W_hh h + b_hh`.
#[derive(Clone, Debug)]
pub struct Gru(pub Recurrent);

impl Gru {
    /// Layers from `inputs` to `hidden` features.
    ///
    /// # Errors
    /// No layers.
    pub fn new(
        inputs: usize,
        hidden: usize,
        layers: usize,
        bidirectional: bool,
        rng: &mut dyn RngCore,
    ) -> Result<Self> {
        check("Gru", layers)?;
        Ok(Self(Recurrent::new(3, inputs, hidden, layers, bidirectional, rng)))
    }

    /// For sequences `[n, l, in]` the states `[n, l, hidden · directions]` of
    /// the last layer and the last state `[layers · directions, n, hidden]` of
    /// each.
    ///
    /// # Errors
    /// Shapes that do not fit.
    pub fn forward(&self, x: &Tensor, cx: &mut Ctx) -> Result<(Tensor, Tensor)> {
        let (y, last) = self.0.run(x, 1, cx, |a, b, state| {
            let r = a[0].add(&b[0])?.sigmoid();
            let z = a[1].add(&b[1])?.sigmoid();
            let c = a[2].add(&r.mul(&b[2])?)?.tanh();
            Ok(vec![c.add(&z.mul(&state[0].sub(&c)?)?)?])
        })?;
        Ok((y, stacked(&last, 0)?))
    }
}

/// Long short-term memory (Hochreiter and Schmidhuber 1997; Gers et al. 2000),
/// PyTorch's form, batch first: gates `i, f, g, o`,
/// `c ← σ(f) c + σ(i) tanh(g)`, `h = σ(o) tanh(c)`.
#[derive(Clone, Debug)]
pub struct Lstm(pub Recurrent);

impl Lstm {
    /// Layers from `inputs` to `hidden` features.
    ///
    /// # Errors
    /// No layers.
    pub fn new(
        inputs: usize,
        hidden: usize,
        layers: usize,
        bidirectional: bool,
        rng: &mut dyn RngCore,
    ) -> Result<Self> {
        check("Lstm", layers)?;
        Ok(Self(Recurrent::new(4, inputs, hidden, layers, bidirectional, rng)))
    }

    /// For sequences `[n, l, in]` the states `[n, l, hidden · directions]` of
    /// the last layer, and the last state and cell of each,
    /// `[layers · directions, n, hidden]`.
    ///
    /// # Errors
    /// Shapes that do not fit.
    pub fn forward(&self, x: &Tensor, cx: &mut Ctx) -> Result<(Tensor, Tensor, Tensor)> {
        let (y, last) = self.0.run(x, 2, cx, |a, b, state| {
            let gate = |i: usize| a[i].add(&b[i]);
            let keep = gate(1)?.sigmoid().mul(&state[1])?;
            let c = keep.add(&gate(0)?.sigmoid().mul(&gate(2)?.tanh())?)?;
            Ok(vec![gate(3)?.sigmoid().mul(&c.tanh())?, c])
        })?;
        Ok((y, stacked(&last, 0)?, stacked(&last, 1)?))
    }
}

macro_rules! transparent {
    ($($Type:ident)*) => { $(
        impl Module for $Type {
            fn visit<'a>(&'a self, v: &mut dyn Visit<'a>) {
                self.0.visit(v);
            }
            fn visit_mut(&mut self, v: &mut dyn VisitMut) {
                self.0.visit_mut(v);
            }
        }
    )* };
}
transparent!(Gru Lstm);
