use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};
use tl_nn::{Ctx, Forward, Module, Sequential, Tensor, Visit, VisitMut};

/// A network that fails after so many passes: a power cut.
#[derive(Clone)]
pub(crate) struct Fails {
    net: Sequential,
    left: Arc<AtomicUsize>,
}

impl Fails {
    pub(crate) fn after(net: Sequential, passes: usize) -> Self {
        Self { net, left: Arc::new(AtomicUsize::new(passes)) }
    }
}

impl Module for Fails {
    fn visit<'a>(&'a self, v: &mut dyn Visit<'a>) {
        self.net.visit(v);
    }

    fn visit_mut(&mut self, v: &mut dyn VisitMut) {
        self.net.visit_mut(v);
    }
}

impl Forward for Fails {
    fn forward(&self, x: &Tensor, cx: &mut Ctx) -> tl_nn::Result<Tensor> {
        let left = self.left.load(Ordering::SeqCst);
        if left == 0 {
            return Err(tl_nn::Error::other("power cut"));
        }
        self.left.store(left - 1, Ordering::SeqCst);
        self.net.forward(x, cx)
    }
}
