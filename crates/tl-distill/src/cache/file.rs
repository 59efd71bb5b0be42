//! Outputs in a file.

use super::Storage;
use crate::{Error, Result};
use tl_nn::{Dtype, StateDict, Tensor, Weight};

fn put(file: &mut StateDict, name: &str, x: &Tensor, dtype: Dtype) -> Result<()> {
    file.insert(name, Weight::new(x).cast(dtype)?);
    Ok(())
}

/// Three pieces of 24 bits, which `f32` holds exactly.
pub(super) fn put_words(file: &mut StateDict, name: &str, words: &[u64]) -> Result<()> {
    let pieces = words.iter().flat_map(|w| [0, 24, 48].map(|s| ((w >> s) & 0xff_ffff) as f32));
    let x = Tensor::from_vec(pieces.collect(), [words.len(), 3])?;
    put(file, name, &x, Dtype::F32)
}

pub(super) fn words(file: &StateDict, name: &str) -> Result<Vec<u64>> {
    let all = file.tensor(name)?.to_vec();
    Ok(all.chunks(3).map(|c| c.iter().rev().fold(0, |w, x| (w << 24) | *x as u64)).collect())
}

pub(super) fn encode(file: &mut StateDict, key: &str, x: &Tensor, storage: Storage) -> Result<()> {
    match storage {
        Storage::F32 => put(file, &format!("{key}/all"), x, Dtype::F32),
        Storage::F16 => put(file, &format!("{key}/all"), x, Dtype::F16),
        Storage::TopK(k) => {
            let [_, classes] = *x.dims() else {
                let got = format!("{:?}", x.dims());
                return Err(Error::argument("top-k", "outputs", got, "[n, classes]"));
            };
            if k == 0 || k > classes {
                let expected = format!("1 to {classes}, the number of classes");
                return Err(Error::argument("top-k", "k", k, expected));
            }
            let (values, at) = x.topk(k, 1, true)?;
            let (all, top) = (x.logsumexp([1], true)?, values.logsumexp([1], true)?);
            // ln of the probability that is left, each of the others' share.
            let left = top.sub(&all)?.expm1().neg().clamp(1e-12, 1.0).log();
            let others = (classes - k).max(1) as f32;
            let rest = all.add(&left)?.add_scalar(-others.ln());
            let at: Vec<f32> = at.as_slice().iter().map(|&c| c as f32).collect();
            let at = Tensor::from_vec(at, *values.shape())?;
            put(file, &format!("{key}/values"), &values, Dtype::F16)?;
            put(file, &format!("{key}/rest"), &rest, Dtype::F32)?;
            put(file, &format!("{key}/classes"), &Tensor::scalar(classes as f32), Dtype::F32)?;
            put(file, &format!("{key}/at"), &at, Dtype::F32)
        }
    }
}

pub(super) fn decode(file: &StateDict, key: &str) -> Result<Tensor> {
    if file.get(&format!("{key}/all")).is_some() {
        return Ok(file.tensor(&format!("{key}/all"))?);
    }
    let read = |part: &str| file.tensor(&format!("{key}/{part}"));
    let (values, rest, at) = (read("values")?, read("rest")?, read("at")?);
    let (classes, k) = (read("classes")?.item()?, values.size(1)?);
    // What a damaged file says must not become a size.
    if k == 0 || !(k as f32..=16_777_216.0).contains(&classes) || rest.numel() != values.size(0)? {
        let expected = "at least k, and one rest for each sample: compute the cache anew";
        return Err(Error::argument("top-k", "classes", classes, expected));
    }
    let classes = classes as usize;
    let mut all = Vec::with_capacity(values.size(0)? * classes);
    for ((values, at), rest) in
        values.to_vec().chunks(k).zip(at.to_vec().chunks(k)).zip(rest.to_vec())
    {
        let start = all.len();
        all.resize(start + classes, rest);
        for (&value, &at) in values.iter().zip(at) {
            match all.get_mut(start + at as usize) {
                Some(slot) => *slot = value,
                None => {
                    return Err(Error::argument("top-k", "class", at, format!("below {classes}")));
                }
            }
        }
    }
    Ok(Tensor::from_vec(all, [values.size(0)?, classes])?)
}
