//! The same model on every rank.

use crate::{Collective, Error, Result};
use tl_nn::{Load, Module, ModuleExt, StateDict};

/// Gives every rank the parameters and buffers of rank 0: call it once, before
/// training, unless all ranks make or load the same model anyway.
///
/// # Errors
/// A model of other names or shapes than rank 0's; a rank is lost.
pub fn broadcast_model<M: Module>(world: &dyn Collective, model: &mut M) -> Result<()> {
    if world.size() == 1 {
        return Ok(());
    }
    let own = if world.is_root() { model.state_dict().to_bytes()? } else { Vec::new() };
    let bytes = world.broadcast(own, 0)?;
    if !world.is_root() {
        let _ = model.load(&StateDict::from_bytes(bytes)?, &Load::strict())?;
    }
    Ok(())
}

/// Checks that parameters and buffers are the same bits on all ranks, by their
/// hashes: cheap enough for every epoch.
///
/// # Errors
/// The first that is not; a rank is lost.
///
/// ```
/// use tl_dist::{Collective, Error, Threads, broadcast_model, check_replicas};
/// use tl_nn::Linear;
/// # use rand::SeedableRng;
/// Threads::run(2, |world| {
///     let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(world.rank() as u64);
///     let mut model = Linear::new(3, 2, &mut rng);
///     assert!(check_replicas(world, &model).is_err());
///     broadcast_model(world, &mut model)?;
///     check_replicas(world, &model)
/// })?;
/// # Ok::<(), Error>(())
/// ```
pub fn check_replicas<M: Module>(world: &dyn Collective, model: &M) -> Result<()> {
    let own = hashes(model);
    let bytes: Vec<u8> = own.iter().flat_map(|(_, hash)| hash.to_le_bytes()).collect();
    let all = world.gather_everywhere(bytes)?;
    for (rank, theirs) in all.iter().enumerate() {
        if theirs.len() != all[0].len() {
            let path = format!("the list of {} parameters and buffers", own.len());
            return Err(Error::Replicas { path, rank });
        }
        let differs = theirs.chunks(8).zip(all[0].chunks(8)).position(|(a, b)| a != b);
        if let Some((path, _)) = differs.and_then(|at| own.get(at)) {
            return Err(Error::Replicas { path: path.clone(), rank });
        }
    }
    Ok(())
}

/// FNV-1a over the bits and the path of everything a model holds.
fn hashes<M: Module>(model: &M) -> Vec<(String, u64)> {
    let params = model.params().into_iter().map(|(path, p)| (path, p.tensor().to_vec()));
    let buffers = model.buffers().into_iter().map(|(path, b)| (path, b.tensor().to_vec()));
    params
        .chain(buffers)
        .map(|(path, numbers)| {
            let bytes =
                path.bytes().chain(numbers.into_iter().flat_map(|x| x.to_bits().to_le_bytes()));
            let hash = bytes.fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
                (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
            });
            (path, hash)
        })
        .collect()
}
