//! Shapes, parts and indices.

use super::{
    Entry,
    generator::{T, case},
};
use tl_tensor::{PadMode, Shape};

pub const OPS: &[Entry] = &[
    ("reshape", |g| {
        let n: usize = g.dims().iter().product();
        case([g.any()], move |v| v[0].reshape([1, n]))
    }),
    ("flatten", |g| case([g.any()], |v| v[0].flatten(0, -1))),
    ("permute", |g| {
        let mut order: Vec<isize> = (0..g.rank() as isize).collect();
        let by = g.below(g.rank());
        order.rotate_left(by);
        case([g.any()], move |v| v[0].permute(&order))
    }),
    ("transpose", |g| {
        let (a, b) = (g.axis(), g.axis());
        case([g.any()], move |v| v[0].transpose(a, b))
    }),
    ("t", |g| {
        let dims = [g.size(), g.size()];
        case([g.normal(&dims)], |v| v[0].t())
    }),
    ("unsqueeze", |g| {
        let axis = g.axis();
        case([g.any()], move |v| v[0].unsqueeze(axis))
    }),
    ("squeeze", |g| {
        let mut dims = g.dims();
        let axis = g.below(dims.len());
        dims[axis] = 1;
        case([g.normal(&dims)], move |v| v[0].squeeze(axis as isize))
    }),
    ("broadcast_to", |g| {
        let small = g.broadcastable();
        let shape = Shape::new(&g.dims()).unwrap();
        case([g.normal(&small)], move |v| v[0].broadcast_to(shape))
    }),
    ("slice", |g| {
        let (axis, step) = (g.axis(), 1 + g.below(2));
        let size = *g.dims().get(axis.rem_euclid(g.rank() as isize) as usize).unwrap();
        let start = g.below(size);
        case([g.any()], move |v| v[0].slice(axis, start, size, step))
    }),
    ("narrow", |g| {
        let size = g.dims()[0];
        let start = g.below(size);
        case([g.any()], move |v| v[0].narrow(0, start, size - start))
    }),
    ("select", |g| {
        let size = g.dims()[0];
        let at = g.below(size);
        case([g.any()], move |v| v[0].select(0, at))
    }),
    ("flip", |g| {
        let axis = g.axis();
        case([g.any()], move |v| v[0].flip(axis))
    }),
    ("roll", |g| {
        let (axis, shift) = (g.axis(), g.below(7) as isize - 3);
        case([g.any()], move |v| v[0].roll(axis, shift))
    }),
    ("cat", |g| {
        let axis = g.axis();
        case([g.any(), g.any()], move |v| T::cat(&[&v[0], &v[1], &v[0]], axis))
    }),
    ("stack", |g| {
        let axis = g.axis();
        case([g.any(), g.any()], move |v| T::stack(&[&v[0], &v[1]], axis))
    }),
    ("split", |g| {
        let size = g.dims()[0];
        let first = g.below(size + 1);
        case([g.any()], move |v| {
            let parts = v[0].split(&[first, size - first], 0)?;
            parts[0].sum_all().mul(&parts[1])
        })
    }),
    ("chunk", |g| {
        let dims: Vec<usize> = g.dims().iter().map(|d| 2 * d).collect();
        case([g.normal(&dims)], |v| {
            let parts = v[0].chunk(2, -1)?;
            parts[0].mul(&parts[1])
        })
    }),
    ("repeat", |g| {
        let times: Vec<usize> = (0..g.rank()).map(|_| g.size()).collect();
        case([g.any()], move |v| v[0].repeat(&times))
    }),
    ("pad", |g| {
        let mode =
            [PadMode::Constant(0.5), PadMode::Replicate, PadMode::Reflect, PadMode::Circular];
        let mode = mode[g.below(4)];
        let dims: Vec<usize> = g.dims().iter().map(|d| d + 2).collect();
        let (axis, before, after) = (g.axis(), g.below(3), g.below(3));
        case([g.normal(&dims)], move |v| v[0].pad(axis, before, after, mode))
    }),
    ("masked_select", |g| {
        let dims = g.dims();
        let mask = g.mask(&dims);
        case([g.any()], move |v| v[0].masked_select(&mask))
    }),
    ("gather", |g| {
        let dims = g.dims();
        let axis = g.below(dims.len());
        let mut wanted = dims.clone();
        wanted[axis] = g.size();
        let indices = g.indices(&wanted, dims[axis]);
        case([g.any()], move |v| v[0].gather(axis as isize, &indices))
    }),
    ("scatter_add", |g| {
        let dims = g.dims();
        let axis = g.below(dims.len());
        let mut given = dims.clone();
        given[axis] = g.size();
        let indices = g.indices(&given, dims[axis]);
        case([g.any(), g.normal(&given)], move |v| v[0].scatter_add(axis as isize, &indices, &v[1]))
    }),
    ("index_select", |g| {
        let dims = g.dims();
        let axis = g.below(dims.len());
        let count = g.size() + 1;
        let indices = g.indices(&[count], dims[axis]);
        case([g.any()], move |v| v[0].index_select(axis as isize, &indices))
    }),
    ("index_add", |g| {
        let dims = g.dims();
        let axis = g.below(dims.len());
        let mut given = dims.clone();
        given[axis] = g.size();
        let indices = g.indices(&[given[axis]], dims[axis]);
        case([g.any(), g.normal(&given)], move |v| v[0].index_add(axis as isize, &indices, &v[1]))
    }),
    ("embedding", |g| {
        let (rows, width) = (g.size(), g.size());
        let indices = g.indices(&[2, 3], rows);
        case([g.normal(&[rows, width])], move |v| v[0].embedding(&indices))
    }),
    ("sort", |g| {
        let (dims, axis, down) = (g.dims(), g.axis(), g.below(2) == 0);
        case([g.apart(&dims)], move |v| Ok(v[0].sort(axis, down)?.0))
    }),
    ("topk", |g| {
        let (dims, largest) = (g.dims(), g.below(2) == 0);
        let k = 1 + g.below(dims[0]);
        case([g.apart(&dims)], move |v| Ok(v[0].topk(k, 0, largest)?.0))
    }),
];
