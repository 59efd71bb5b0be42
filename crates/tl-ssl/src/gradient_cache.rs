//! Large batches in little memory.

use crate::{Error, Result};
use rand::RngCore;
use tl_nn::{Ctx, Gradients, Module, ModuleExt, Tensor};

/// The gradient of a loss over *all* embeddings of a batch, in the memory of one
/// chunk (Gao et al. 2021, section 3): embeddings of all chunks are computed
/// without a graph; the loss gives the gradient of each embedding; then each
/// chunk is embedded once more, with a graph, and takes its gradient back.
/// It costs one more forward pass. `loss` gets the embeddings chunk by chunk.
///
/// The result is that of the whole batch at once, except that batch
/// normalisation uses the statistics of a chunk. Random parts (dropout) are the
/// same in both passes; what modules record of a pass is recorded once.
///
/// ```
/// # use rand::SeedableRng;
/// use tl_nn::{Ctx, Forward, Linear, Tensor};
/// use tl_ssl::{gradient_cache, nt_xent};
/// # fn main() -> tl_ssl::Result<()> {
/// # let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(0);
/// let net = Linear::new(4, 3, &mut rng);
/// let views = [Tensor::randn([64, 4], &mut rng), Tensor::randn([64, 4], &mut rng)];
/// let chunks: Vec<Tensor> = views.iter().map(|v| v.chunk(4, 0)).collect::<Result<Vec<_>, _>>()?.concat();
/// let (loss, gradients) = gradient_cache(&net, &chunks, &mut Ctx::train(0), Linear::forward, |z| {
///     let all: Vec<&Tensor> = z.iter().collect();
///     nt_xent(&Tensor::cat(&all[..4], 0)?, &Tensor::cat(&all[4..], 0)?, 0.5)
/// })?;
/// let at_once = nt_xent(&net.forward(&views[0], &mut Ctx::eval())?, &net.forward(&views[1], &mut Ctx::eval())?, 0.5)?;
/// assert!((loss.item()? - at_once.item()?).abs() < 1e-5);
/// # let _ = gradients;
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// Those of `embed` and `loss`; a loss that does not depend on the embeddings.
pub fn gradient_cache<M: Module, X>(
    model: &M,
    chunks: &[X],
    cx: &mut Ctx,
    embed: impl Fn(&M, &X, &mut Ctx) -> tl_nn::Result<Tensor>,
    loss: impl FnOnce(&[Tensor]) -> Result<Tensor>,
) -> Result<(Tensor, Gradients)> {
    let seeds: Vec<u64> = chunks.iter().map(|_| cx.rng().next_u64()).collect();
    let progress = cx.progress();
    let pass =
        |i: usize| Ctx::train(seeds[i]).with_progress(progress).with_norm_stats(cx.norm_stats());
    let mut embeddings = Vec::with_capacity(chunks.len());
    for (i, chunk) in chunks.iter().enumerate() {
        embeddings.push(embed(model, chunk, &mut pass(i))?.detach().requires_grad());
    }
    let loss = loss(&embeddings)?;
    let slopes = loss.backward()?;
    let weights: Vec<&Tensor> =
        model.params().into_iter().map(|(_, p)| p.tensor()).filter(|w| w.is_tracked()).collect();
    let mut sums: Vec<Option<Tensor>> = vec![None; weights.len()];
    let mut updates = Vec::new();
    for (i, (chunk, z)) in chunks.iter().zip(&embeddings).enumerate() {
        let Some(slope) = slopes.get(z) else {
            let expected = "a loss that depends on the embeddings of every chunk";
            return Err(Error::argument("gradient cache", "loss", format!("chunk {i}"), expected));
        };
        let mut cx = pass(i);
        let again = embed(model, chunk, &mut cx)?;
        let mut of_chunk = again.mul(slope)?.sum_all().backward()?;
        for (sum, weight) in sums.iter_mut().zip(&weights) {
            let Some(new) = of_chunk.remove(weight) else { continue };
            *sum = Some(match sum.take() {
                Some(old) => old.add(&new)?,
                None => new,
            });
        }
        updates.push(cx.take_updates());
    }
    for update in updates {
        cx.record(update);
    }
    let mut gradients = Gradients::default();
    for (weight, sum) in weights.iter().zip(sums) {
        if let Some(sum) = sum {
            gradients.insert(weight, sum);
        }
    }
    Ok((loss.detach(), gradients))
}
