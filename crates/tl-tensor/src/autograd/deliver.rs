//! Gradients handed over while the backward pass still runs.

use super::{
    engine::{Pass, run_watched},
    grad::single,
    graph::{Addresses, Graph, NOWHERE, key},
    node::NodeRef,
};
use crate::{Elem, Error, Result, Tensor};

/// The variables of `wanted` that the graph holds, by their place in it.
struct Expected {
    /// For each place in the graph, the position in `wanted` and the children
    /// that have not had their turn.
    at: Addresses<(usize, usize)>,
}

impl Expected {
    fn new(graph: &Graph<'_>, wanted: &[(usize, &NodeRef)]) -> Self {
        let mut at = Addresses::default();
        for (position, node) in wanted {
            if let Some(&place) = graph.at.get(&key(node)) {
                at.entry(place as usize).or_insert((*position, 0));
            }
        }
        let mut expected = Self { at };
        for p in 0..graph.nodes.len() {
            for &q in graph.parents_of(p) {
                if let Some((_, children)) = expected.at.get_mut(&(q as usize)) {
                    *children += 1;
                }
            }
        }
        expected
    }

    /// The variable's position if that was the last of its children.
    fn had_turn(&mut self, place: u32) -> Option<usize> {
        if place == NOWHERE {
            return None;
        }
        let (position, children) = self.at.get_mut(&(place as usize))?;
        *children -= 1;
        (*children == 0).then_some(*position)
    }
}

impl<E: Elem> Tensor<E> {
    /// As [`backward`](Self::backward), but hands each gradient over as soon
    /// as it is complete, while the pass goes on: `ready(i, gradient)` for
    /// `variables[i]`, the variables of the last operations first. What
    /// happens to a gradient (sending it to other processes, a step of the
    /// optimiser) then needs no room for all of them, and can run beside the
    /// rest of the pass.
    ///
    /// The numbers are those of [`backward`](Self::backward), bit for bit.
    /// Paths to other variables are not walked. A variable that is there twice
    /// is delivered once, at its first position; one that the loss does not
    /// depend on, or that is not tracked, never.
    ///
    /// # Errors
    /// Not a single number, or not tracked.
    ///
    /// ```
    /// use tl_tensor::Tensor;
    /// # fn main() -> tl_tensor::Result<()> {
    /// let (a, b) = (Tensor::scalar(2.0_f32).requires_grad(), Tensor::scalar(3.0).requires_grad());
    /// let loss = (&a.square() * &b).sum_all();
    /// let mut got = Vec::new();
    /// loss.backward_each(&[&a, &b], |i, gradient| got.push((i, gradient.to_vec())))?;
    /// assert_eq!(got, [(1, vec![4.0]), (0, vec![12.0])]);
    /// # Ok(())
    /// # }
    /// ```
    pub fn backward_each(
        &self,
        variables: &[&Self],
        mut ready: impl FnMut(usize, Self),
    ) -> Result<()> {
        const OP: &str = "backward_each";
        single(OP, self)?;
        let root = self.node.as_ref().ok_or(Error::Untracked { op: OP })?;
        let mut wanted = Vec::with_capacity(variables.len());
        for (position, x) in variables.iter().enumerate() {
            if let Some(node) = &x.node {
                wanted.push((position, node));
            }
        }
        let graph = Graph::below(root, 0, &[]);
        wanted.retain(|(_, node)| graph.at.contains_key(&key(node)));
        let nodes: Vec<&NodeRef> = wanted.iter().map(|(_, node)| *node).collect();
        let mut expected = Expected::new(&graph, &wanted);
        let seed = E::wrap(Self::ones(self.shape()));
        let pass = Pass { create_graph: false, products: false };
        run_watched(OP, graph, seed, Some(&nodes), pass, |graph, p, slots| {
            let mut deliver = |place: usize, position| {
                // A result's own rule still needs it; a variable has none.
                let slot = &mut slots.slots[place];
                let leaf = graph.nodes[place].parents.is_empty();
                let gradient = if leaf { slot.take() } else { slot.clone() };
                if let Some(gradient) = gradient.and_then(E::unwrap) {
                    ready(position, gradient);
                }
            };
            // The loss may be a variable itself.
            if let Some(&(position, 0)) = expected.at.get(&p) {
                deliver(p, position);
            }
            for &q in graph.parents_of(p) {
                if let Some(position) = expected.had_turn(q) {
                    deliver(q as usize, position);
                    expected.at.remove(&(q as usize));
                }
            }
        })?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Op, Value, Vjp};
    use std::sync::{
        Arc, PoisonError,
        atomic::{AtomicUsize, Ordering},
    };

    /// Passes its input through and counts when its rule runs.
    struct Counted {
        turns: Arc<AtomicUsize>,
    }

    impl Op<f32> for Counted {
        fn name(&self) -> &'static str {
            "counted"
        }
        fn vjp(&self, cx: &mut Vjp<'_, f32>, g: Tensor) -> Result<()> {
            self.turns.fetch_add(1, Ordering::SeqCst);
            cx.give(0, || Ok(g))
        }
    }

    fn counted(x: &Tensor, turns: &Arc<AtomicUsize>) -> Tensor {
        let value: Value<f32> = x.value().clone();
        Tensor::from_op(value, &[x], || Counted { turns: turns.clone() })
    }

    /// `w0` is used twice, `w1` by the last product alone.
    fn loss(w0: &Tensor, w1: &Tensor, turns: &Arc<AtomicUsize>) -> Result<Tensor> {
        let x = Tensor::linspace(-1.0, 1.0, 6).reshape([2, 3])?;
        let h = counted(&x.matmul(w0)?.tanh(), turns);
        let h = h.matmul(w0)?;
        Ok(h.matmul(w1)?.square().sum_all())
    }

    fn weights() -> (Tensor, Tensor) {
        let w = |from, to| Tensor::linspace(from, to, 9).reshape([3, 3]).map(|w| w.requires_grad());
        (w(-0.5, 0.7).unwrap(), w(0.2, 0.9).unwrap())
    }

    #[test]
    fn gradients_are_those_of_backward_and_the_last_layer_comes_before_the_first_is_done() {
        let (w0, w1) = weights();
        let turns = Arc::new(AtomicUsize::new(0));
        let whole = loss(&w0, &w1, &turns).unwrap().backward().unwrap();
        turns.store(0, Ordering::SeqCst);
        let got = std::sync::Mutex::new(Vec::new());
        loss(&w0, &w1, &turns)
            .unwrap()
            .backward_each(&[&w0, &w1, &w0], |i, g| {
                let mut got = got.lock().unwrap_or_else(PoisonError::into_inner);
                got.push((i, turns.load(Ordering::SeqCst), g.to_vec()));
            })
            .unwrap();
        let got = got.into_inner().unwrap();
        let of = |w: &Tensor| whole.get(w).unwrap().to_vec();
        assert_eq!(got, [(1, 0, of(&w1)), (0, 1, of(&w0))]);
    }

    #[test]
    fn what_is_not_reached_is_not_delivered() {
        let (w0, w1) = weights();
        let other = Tensor::scalar(1.0).requires_grad();
        let constant = Tensor::scalar(1.0);
        let turns = Arc::new(AtomicUsize::new(0));
        let mut got = Vec::new();
        let l = loss(&w0, &w1, &turns).unwrap();
        l.backward_each(&[&other, &constant, &w1], |i, _| got.push(i)).unwrap();
        assert_eq!(got, [2]);
        // Nothing was asked for that lies below the first layer.
        assert_eq!(turns.load(Ordering::SeqCst), 0);
        let w = Tensor::scalar(3.0_f32).requires_grad();
        let mut of_itself = Vec::new();
        w.backward_each(&[&w], |i, g| of_itself.push((i, g.to_vec()))).unwrap();
        assert_eq!(of_itself, [(0, vec![1.0])]);
    }

    #[test]
    fn a_result_may_be_asked_for_too() {
        let x = Tensor::scalar(2.0_f32).requires_grad();
        let y = x.square();
        let mut got = Vec::new();
        y.square().backward_each(&[&x, &y], |i, g| got.push((i, g.to_vec()))).unwrap();
        assert_eq!(got, [(1, vec![8.0]), (0, vec![32.0])]);
    }

    #[test]
    fn constants_and_wide_losses_are_refused() {
        let x = Tensor::scalar(2.0_f32).requires_grad();
        let constant = Tensor::scalar(2.0_f32);
        assert!(matches!(constant.backward_each(&[&x], |_, _| {}), Err(Error::Untracked { .. })));
        let wide = Tensor::<f32>::ones(2).requires_grad();
        assert!(wide.backward_each(&[&wide], |_, _| {}).is_err());
    }
}
