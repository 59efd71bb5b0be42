//! Copies into row-major order.

use super::{parallel, square, walk};
use crate::{Elem, Value};

/// A row-major copy of any view.
pub(crate) fn packed<E: Elem>(x: &Value<E>) -> Value<E> {
    let shape = *x.shape();
    let mut strides = [0; crate::MAX_RANK];
    strides[..shape.rank()].copy_from_slice(&x.strides());
    Value::build(shape, |out| {
        let data = x.raw();
        let (rank, sizes, steps) = walk::collapse(&shape, [strides]);
        if rank == 2 && steps[0][0] == 1 && steps[0][1] != 1 && !out.is_empty() {
            transpose(data, out, sizes[1], steps[0][1]);
            return;
        }
        if out.is_empty() {
            return;
        }
        let walk = walk::Walk::new(&shape, [strides]);
        let length = walk.length();
        let runs = (parallel::CHUNK / length).max(1);
        let work = out.len();
        parallel::chunks(out, runs * length, work, |i, out| {
            let mut lines = out.chunks_exact_mut(length);
            let count = lines.len();
            walk.each(i * runs, count, |[from], [step], length| {
                let Some(out) = lines.next() else { return };
                match step {
                    1 => out.copy_from_slice(&data[from..from + length]),
                    0 => out.fill(data[from]),
                    _ => {
                        for (o, x) in out.iter_mut().zip(data[from..].iter().step_by(step)) {
                            *o = *x;
                        }
                    }
                }
            });
        });
    })
}

/// `out[r][c] = data[r + c * step]` in bands of rows.
fn transpose<E: Elem>(data: &[E], out: &mut [E], columns: usize, step: usize) {
    let work = out.len();
    parallel::chunks(out, square::SIDE * columns, work, |band, out| {
        let size = (out.len() / columns, columns);
        square::transpose_into(size, (&data[band * square::SIDE..], step), out);
    });
}
