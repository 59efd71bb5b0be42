//! The update rule of one parameter.

/// What a rule is told about a step.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct StepInfo {
    /// The learning rate of this step and group.
    pub lr: f32,
    /// The weight decay of this group.
    pub weight_decay: f32,
    /// Updates of this parameter, this one included: 1 at the first.
    pub step: u64,
}

/// An update rule: what one step does to the numbers of a parameter.
///
/// A rule that treats every number by itself may be given a parameter in
/// pieces, which run in parallel.
pub trait Rule: Send + Sync {
    /// The rule's name.
    fn name(&self) -> &'static str;

    /// The learning rate if no group says otherwise.
    fn lr(&self) -> f32;

    /// The weight decay if no group says otherwise.
    fn weight_decay(&self) -> f32;

    /// State numbers for each number of a parameter, all 0 at first.
    fn slots(&self) -> usize;

    /// Whether the rule looks at a parameter as a whole.
    fn needs_whole(&self) -> bool {
        false
    }

    /// One step: changes `p` by its gradient `g`; `state` holds `slots` slices.
    fn update(&self, info: StepInfo, p: &mut [f32], g: &[f32], state: &mut [&mut [f32]]);

    /// A copy.
    fn boxed(&self) -> Box<dyn Rule>;
}

/// Runs a loop compiled for the best instruction set of this machine.
#[inline(always)]
pub(super) fn vectorised(run: impl FnOnce()) {
    pulp::Arch::new().dispatch(run);
}

/// Runs a rule over a parameter, in pieces of a fixed size if it may be. Old numbers
/// that lie elsewhere are copied piece by piece.
pub(crate) fn run(
    rule: &dyn Rule,
    info: StepInfo,
    (old, p): (Option<&[f32]>, &mut [f32]),
    g: &[f32],
    state: &mut [&mut [f32]],
) {
    const PIECE: usize = 1 << 16;
    if p.len() <= PIECE || rule.needs_whole() {
        if let Some(old) = old {
            p.copy_from_slice(old);
        }
        rule.update(info, p, g, state);
        return;
    }
    let middle = (p.len() / 2).next_multiple_of(PIECE);
    let (p_left, p_right) = p.split_at_mut(middle);
    let (old_left, old_right) = old.map(|old| old.split_at(middle)).unzip();
    let (g_left, g_right) = g.split_at(middle);
    let (mut left, mut right): (Vec<_>, Vec<_>) =
        state.iter_mut().map(|s| s.split_at_mut(middle)).unzip();
    #[cfg(feature = "rayon")]
    rayon::join(
        || run(rule, info, (old_left, p_left), g_left, &mut left),
        || run(rule, info, (old_right, p_right), g_right, &mut right),
    );
    #[cfg(not(feature = "rayon"))]
    {
        run(rule, info, (old_left, p_left), g_left, &mut left);
        run(rule, info, (old_right, p_right), g_right, &mut right);
    }
}
