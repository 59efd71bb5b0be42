//! All adapters of one parameter.

use super::{
    PeftConfig, bottleneck, bottleneck::BottleneckLayer, ia3::Ia3Layer, lora::LoraLayer,
    site::Site, vera::VeraLayer,
};
use crate::Result;
use std::{any::Any, sync::Arc};
use tl_nn::{Adapt, Ctx, Module, Param, Tensor, Visit, VisitMut};
use tl_tensor::{Activation, Conv};

/// The adapters of one parameter, by name.
#[derive(Clone, Debug, Default)]
pub(super) struct Stack {
    pub(super) slots: Vec<Slot>,
    /// The parameter's numbers before it was merged.
    pub(super) before: Option<Tensor>,
}

/// One of them.
#[derive(Clone, Debug)]
pub(super) struct Slot {
    pub(super) name: String,
    pub(super) config: Arc<PeftConfig>,
    /// How much of it counts; 0 is off.
    pub(super) part: f32,
    pub(super) kind: Kind,
}

#[derive(Clone, Debug)]
pub(super) enum Kind {
    Lora(LoraLayer),
    Ia3(Ia3Layer),
    Vera(VeraLayer),
    Bottleneck(BottleneckLayer),
    /// Another parameter in the place of this one.
    Whole(Param),
}

impl Kind {
    fn params(&self) -> Vec<(&'static str, &Param)> {
        match self {
            Self::Lora(_) => Vec::new(),
            Self::Ia3(l) => vec![("ia3_l", &l.gain)],
            Self::Vera(l) => vec![("vera_lambda_b", &l.b), ("vera_lambda_d", &l.d)],
            Self::Bottleneck(l) => vec![
                ("down", &l.down),
                ("down_bias", &l.down_bias),
                ("up", &l.up),
                ("up_bias", &l.up_bias),
            ],
            Self::Whole(p) => vec![("whole", p)],
        }
    }

    fn params_mut(&mut self) -> Vec<(&'static str, &mut Param)> {
        match self {
            Self::Lora(_) => Vec::new(),
            Self::Ia3(l) => vec![("ia3_l", &mut l.gain)],
            Self::Vera(l) => vec![("vera_lambda_b", &mut l.b), ("vera_lambda_d", &mut l.d)],
            Self::Bottleneck(l) => vec![
                ("down", &mut l.down),
                ("down_bias", &mut l.down_bias),
                ("up", &mut l.up),
                ("up_bias", &mut l.up_bias),
            ],
            Self::Whole(p) => vec![("whole", p)],
        }
    }

    fn visit<'a>(&'a self, v: &mut dyn Visit<'a>) {
        if let Self::Lora(layer) = self {
            return layer.visit(v);
        }
        for (name, param) in self.params() {
            v.enter(name);
            param.visit(v);
            v.leave();
        }
    }

    fn visit_mut(&mut self, v: &mut dyn VisitMut) {
        if let Self::Lora(layer) = self {
            return layer.visit_mut(v);
        }
        for (name, param) in self.params_mut() {
            v.enter(name);
            param.visit_mut(v);
            v.leave();
        }
    }

    pub(super) fn set_frozen(&mut self, frozen: bool) {
        if let Self::Lora(layer) = self {
            layer.a.set_frozen(frozen);
            layer.b.set_frozen(frozen);
            if let Some(magnitude) = &mut layer.magnitude {
                magnitude.set_frozen(frozen);
            }
        }
        for (_, param) in self.params_mut() {
            param.set_frozen(frozen);
        }
    }
}

impl Stack {
    fn active(&self) -> impl Iterator<Item = (f32, &Kind)> {
        let on = self.before.is_none();
        self.slots.iter().filter(move |s| on && s.part != 0.0).map(|s| (s.part, &s.kind))
    }

    /// `W`, or what was trained in its place.
    fn base(&self, weight: &Tensor) -> Result<Tensor> {
        let whole: Vec<(f32, &Param)> = self
            .active()
            .filter_map(|(part, kind)| match kind {
                Kind::Whole(param) => Some((part, param)),
                _ => None,
            })
            .collect();
        if let [(1.0, param)] = whole[..] {
            return Ok(param.tensor().clone());
        }
        let mut base = weight.clone();
        for (part, param) in whole {
            base = base.add(&param.tensor().sub(weight)?.mul_scalar(part))?;
        }
        Ok(base)
    }

    fn changed(&self, weight: &Tensor) -> Result<Tensor> {
        let base = self.base(weight)?;
        let mut w = base.clone();
        for (part, kind) in self.active() {
            let change = match kind {
                Kind::Lora(layer) => layer.weight_change(&base)?,
                Kind::Vera(layer) => layer.change(&base)?,
                Kind::Bottleneck(_) => return Err(bottleneck::no_weight()),
                Kind::Ia3(_) | Kind::Whole(_) => continue,
            };
            w = w.add(&change.mul_scalar(part))?;
        }
        for (part, kind) in self.active() {
            if let Kind::Ia3(layer) = kind {
                w = layer.weight(&w, part)?;
            }
        }
        Ok(w)
    }

    /// What the bias of the layer is multiplied with when this is merged.
    pub(super) fn bias_gain(&self) -> Result<Option<Tensor>> {
        let mut gain: Option<Tensor> = None;
        for (part, kind) in self.active() {
            if let Kind::Ia3(layer) = kind
                && !layer.input
            {
                let own = layer.moved(part);
                gain = Some(match gain {
                    Some(gain) => gain.mul(&own)?,
                    None => own,
                });
            }
        }
        Ok(gain)
    }

    /// LoRA, where nothing else changes the output and it fits into the layer's product.
    fn lone_lora(&self, train: bool) -> Option<(f32, &LoraLayer)> {
        let whole = |kind: &Kind| match kind {
            Kind::Whole(_) => true,
            Kind::Ia3(layer) => layer.input,
            _ => false,
        };
        let mut others = self.active().filter(|(_, kind)| !whole(kind));
        match (others.next()?, others.next()) {
            ((part, Kind::Lora(layer)), None) if layer.fits_in(train) => Some((part, layer)),
            _ => None,
        }
    }

    /// The input, where it is scaled.
    fn scaled(&self, site: Site<'_>, x: &Tensor) -> Result<Tensor> {
        let mut x = x.clone();
        for (part, kind) in self.active() {
            if let Kind::Ia3(layer) = kind
                && layer.input
            {
                x = layer.scale(site, &x, part)?;
            }
        }
        Ok(x)
    }

    fn run(
        &self,
        site: Site<'_>,
        x: &Tensor,
        weight: &Tensor,
        bias: Option<&Tensor>,
        cx: &mut Ctx,
    ) -> Result<Tensor> {
        let base = self.base(weight)?;
        let x = self.scaled(site, x)?;
        let mut y = site.full(&x, &base, bias)?;
        let plain = y.clone();
        let without_bias = || -> Result<Tensor> {
            match bias {
                None => Ok(plain.clone()),
                Some(bias) => Ok(plain.sub(&site.channels(bias)?)?),
            }
        };
        for (part, kind) in self.active() {
            let delta = match kind {
                Kind::Lora(layer) => layer.delta(site, &x, &base, without_bias, cx)?,
                Kind::Vera(layer) => layer.delta(site, &x, &base, cx)?,
                _ => continue,
            };
            y = y.add(&if part == 1.0 { delta } else { delta.mul_scalar(part) })?;
        }
        for (part, kind) in self.active() {
            match kind {
                Kind::Ia3(layer) if !layer.input => y = layer.scale(site, &y, part)?,
                Kind::Bottleneck(layer) => {
                    y = y.add(&layer.delta(site, &y)?.mul_scalar(part))?;
                }
                _ => {}
            }
        }
        Ok(y)
    }
}

impl Adapt for Stack {
    fn weight(&self, weight: &Tensor) -> tl_nn::Result<Tensor> {
        Ok(self.changed(weight)?)
    }

    fn linear(
        &self,
        x: &Tensor,
        weight: &Tensor,
        bias: Option<&Tensor>,
        act: Activation,
        cx: &mut Ctx,
    ) -> tl_nn::Result<Tensor> {
        if let Some((part, layer)) = self.lone_lora(cx.is_train()) {
            let (x, base) = (self.scaled(Site::Linear, x)?, self.base(weight)?);
            return Ok(layer.linear(&x, &base, bias, part, act)?);
        }
        Ok(act.apply(&self.run(Site::Linear, x, weight, bias, cx)?))
    }

    fn conv2d(
        &self,
        conv: &Conv,
        x: &Tensor,
        weight: &Tensor,
        bias: Option<&Tensor>,
        cx: &mut Ctx,
    ) -> tl_nn::Result<Tensor> {
        if x.size(1)? == weight.size(1)? {
            return Ok(self.run(Site::Conv(conv), x, weight, bias, cx)?);
        }
        // In groups: `A` has the inputs of one, so the weight itself is changed.
        if self.bias_gain()?.is_some() {
            return Err(super::ia3::refuse_groups("weight").into());
        }
        Ok(conv.conv2d(x, &self.changed(weight)?, bias)?)
    }

    fn visit<'a>(&'a self, v: &mut dyn Visit<'a>) {
        for slot in &self.slots {
            v.enter(&slot.name);
            slot.kind.visit(v);
            v.leave();
        }
    }

    fn visit_mut(&mut self, v: &mut dyn VisitMut) {
        for slot in &mut self.slots {
            v.enter(&slot.name);
            slot.kind.visit_mut(v);
            v.leave();
        }
    }

    fn boxed(&self) -> Box<dyn Adapt> {
        Box::new(self.clone())
    }

    fn as_any(&self) -> &dyn Any {
        self
    }

    fn as_any_mut(&mut self) -> &mut dyn Any {
        self
    }
}

/// The adapters of a parameter, if it has any of this crate.
pub(super) fn of(param: &Param) -> Option<&Stack> {
    param.adapter()?.as_any().downcast_ref()
}

/// The same for changing.
pub(super) fn of_mut(param: &mut Param) -> Option<&mut Stack> {
    param.adapter_mut()?.as_any_mut().downcast_mut()
}

/// Adds an adapter to a parameter.
pub(super) fn push(param: &mut Param, slot: Slot) {
    if let Some(stack) = of_mut(param) {
        stack.slots.push(slot);
        return;
    }
    param.set_adapter(Some(Box::new(Stack { slots: vec![slot], before: None })));
}
