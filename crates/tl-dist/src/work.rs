//! Work that is no training step, shared among ranks.

use crate::{
    Collective, Error, Result,
    plan::part,
    sum::{Shape, in_tree},
    tree::Tree,
};
use std::{fmt::Display, ops::Range};
use tl_nn::{Gradients, Module, ModuleExt, Tensor};

/// Tells all ranks how the work of each went: a number that all but idle ranks
/// must agree on (0 from an idle one), or what went wrong.
fn tell<E: Display>(
    world: &dyn Collective,
    what: &'static str,
    outcome: std::result::Result<&[usize], &E>,
) -> Result<Vec<Vec<usize>>> {
    let mut message = vec![u8::from(outcome.is_err())];
    match outcome {
        Ok(numbers) => {
            message.extend(numbers.iter().flat_map(|&n| (n as u64).to_le_bytes()));
        }
        Err(error) => message.extend(error.to_string().bytes()),
    }
    let all = world.gather_everywhere(message)?;
    let read = all.iter().enumerate().map(|(rank, message)| match message.split_first() {
        Some((0, numbers)) => {
            let numbers = numbers.chunks_exact(8).filter_map(|b| b.try_into().ok());
            Ok(numbers.map(|b| u64::from_le_bytes(b) as usize).collect())
        }
        Some((_, text)) => {
            let message = String::from_utf8_lossy(text).into_owned();
            Err(Error::Elsewhere { rank, message })
        }
        None => Err(Error::broken(what, "a message of a rank is empty")),
    });
    read.collect()
}

/// The sum of `work(i)` over `items`, shared among the ranks, on every rank: the
/// gradients of the tasks of a meta-batch, the losses of a validation.
///
/// Results are added in one fixed tree over the items (neighbours first), so any
/// number of ranks, one included, gives the same bits; ranks without an item
/// wait. A rank holds `log2(items / ranks) + 1` results at most.
///
/// # Errors
/// No item; `work` fails on a rank (all ranks then get an error); results of
/// other lengths; a rank is lost.
///
/// ```
/// use tl_dist::{Collective, Error, Threads, map_reduce};
/// let work = |i: usize| Ok::<_, Error>(vec![i as f32, 1.0]);
/// let sums = Threads::run(3, |world| map_reduce(world, 5, work))?;
/// assert_eq!(sums, [[10.0, 5.0], [10.0, 5.0], [10.0, 5.0]]);
/// # Ok::<(), Error>(())
/// ```
pub fn map_reduce<E: From<Error> + Display>(
    world: &dyn Collective,
    items: usize,
    mut work: impl FnMut(usize) -> std::result::Result<Vec<f32>, E>,
) -> std::result::Result<Vec<f32>, E> {
    const WHAT: &str = "map_reduce";
    if items == 0 {
        return Err(Error::argument(WHAT, "items", 0, "at least 1").into());
    }
    let runs: Vec<Range<usize>> = (0..world.size()).map(|r| part(items, world.size(), r)).collect();
    let mut tree = Tree::new(items);
    let mut length = 0;
    let mut failed: Option<E> = None;
    for item in runs[world.rank()].clone() {
        match work(item) {
            Ok(result) if item == runs[world.rank()].start || result.len() == length => {
                length = result.len();
                tree.push_leaf(item, Some(result));
            }
            Ok(result) => {
                let expected = format!("{length}, as for the items before");
                let got = format!("{} for item {item}", result.len());
                failed = Some(Error::argument(WHAT, "result", got, expected).into());
                break;
            }
            Err(error) => {
                failed = Some(error);
                break;
            }
        }
    }
    let own = [length];
    let all = tell(world, WHAT, failed.as_ref().map_or(Ok(&own[..]), Err));
    if let Some(error) = failed {
        return Err(error);
    }
    let all = all?;
    let busy = || all.iter().zip(&runs).enumerate().filter(|(_, (_, run))| !run.is_empty());
    let length = busy().next().and_then(|(_, (told, _))| told.first()).copied().unwrap_or(0);
    for (rank, (told, _)) in busy() {
        let got = told.first().copied().unwrap_or(0);
        if got != length {
            return Err(Error::Length { op: WHAT, rank, got, expected: length }.into());
        }
    }
    let shape = Shape { runs: &runs, there: &vec![true; items], length };
    Ok(in_tree(world, tree.into_nodes(), shape)?)
}

/// `work` on `rows` in chunks, shared among the ranks, and all rows of the
/// results `[rows, ..]` on every rank: what a teacher says of a data set.
///
/// Chunks begin at multiples of `chunk` whatever the number of ranks, so `work`
/// sees the same batches and gives the same bits; 256 are those of `tl-distill`.
///
/// # Errors
/// No row, or chunks of 0; `work` fails on a rank (all ranks then get an error),
/// or gives another number of rows than asked; a rank is lost.
pub fn map_rows<E: From<Error> + Display>(
    world: &dyn Collective,
    rows: usize,
    chunk: usize,
    mut work: impl FnMut(Range<usize>) -> std::result::Result<Tensor, E>,
) -> std::result::Result<Tensor, E> {
    const WHAT: &str = "map_rows";
    if rows == 0 || chunk == 0 {
        let got = format!("{rows} in chunks of {chunk}");
        return Err(Error::argument(WHAT, "rows", got, "at least 1 of each").into());
    }
    let rows_of = |rank| {
        let chunks = part(rows.div_ceil(chunk), world.size(), rank);
        chunks.start * chunk..(chunks.end * chunk).min(rows)
    };
    let own = rows_of(world.rank());
    let mut numbers = Vec::new();
    let mut dims: Vec<usize> = Vec::new();
    let mut failed: Option<E> = None;
    for start in own.clone().step_by(chunk) {
        let range = start..(start + chunk).min(own.end);
        let asked = range.len();
        match work(range) {
            Ok(x)
                if x.rank() > 0
                    && x.dims()[0] == asked
                    && (dims.is_empty() || x.dims()[1..] == dims[1..]) =>
            {
                dims = x.dims().to_vec();
                numbers.extend(x.to_vec());
            }
            Ok(x) => {
                let expected = format!("[{asked}, ..], the same for all chunks");
                failed = Some(
                    Error::argument(WHAT, "result", format!("{:?}", x.dims()), expected).into(),
                );
                break;
            }
            Err(error) => {
                failed = Some(error);
                break;
            }
        }
    }
    let row: &[usize] = dims.get(1..).unwrap_or(&[]);
    let all = tell(world, WHAT, failed.as_ref().map_or(Ok(row), Err));
    if let Some(error) = failed {
        return Err(error);
    }
    let all = all?;
    let ranks = world.size();
    let first = &all[0];
    let width: usize = first.iter().product();
    for (rank, told) in all.iter().enumerate() {
        if !rows_of(rank).is_empty() && told != first {
            let got = told.iter().product();
            return Err(Error::Length { op: WHAT, rank, got, expected: width }.into());
        }
    }
    let lengths: Vec<usize> = (0..ranks).map(|rank| rows_of(rank).len() * width).collect();
    let joined = world.all_gather(numbers, &lengths)?;
    let dims: Vec<usize> = std::iter::once(rows).chain(first.iter().copied()).collect();
    let made = tl_nn::Shape::new(&dims).and_then(|shape| Tensor::from_vec(joined, shape));
    Ok(made.map_err(Error::from)?)
}

/// The gradients of a model's trainable parameters one after the other, in order
/// of declaration: what [`map_reduce`] adds up. Zeros where there is none.
pub fn flatten<M: Module>(model: &M, gradients: &Gradients) -> Vec<f32> {
    let variables = model.trainable();
    let mut flat = Vec::with_capacity(variables.iter().map(|v| v.numel()).sum());
    for variable in variables {
        match gradients.get(variable) {
            Some(gradient) => flat.extend(gradient.to_vec()),
            None => flat.resize(flat.len() + variable.numel(), 0.0),
        }
    }
    flat
}

/// Gradients from what [`flatten`] makes.
///
/// # Errors
/// Not as many numbers as there are in trainable parameters.
pub fn unflatten<M: Module>(model: &M, flat: &[f32]) -> Result<Gradients> {
    let variables = model.trainable();
    let expected: usize = variables.iter().map(|v| v.numel()).sum();
    if flat.len() != expected {
        let expected = format!("{expected}, those of the trainable parameters");
        return Err(Error::argument("unflatten", "numbers", flat.len(), expected));
    }
    let mut gradients = Gradients::default();
    let mut rest = flat;
    for variable in variables {
        let (own, after) = rest.split_at(variable.numel());
        rest = after;
        gradients.insert(variable, Tensor::from_slice(own, *variable.shape())?);
    }
    Ok(gradients)
}
