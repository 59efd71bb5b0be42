//! Convolutions, pools, and the fused operations of networks.

use super::{
    Entry,
    generator::{T, case},
};
use tl_tensor::{Attention, Conv, CrossEntropy, Indices, Pool, Reduction};

pub const OPS: &[Entry] = &[
    ("conv1d", |g| {
        let conv = Conv::new().stride(1 + g.below(2)).padding(g.below(2)).dilation(1 + g.below(2));
        let (n, i, o) = (g.size(), g.size(), g.size());
        case([g.normal(&[n, i, 6]), g.normal(&[o, i, 2]), g.normal(&[o])], move |v| {
            conv.conv1d(&v[0], &v[1], Some(&v[2]))
        })
    }),
    ("conv2d", |g| {
        let groups = 1 + g.below(2);
        let conv = Conv::new()
            .strides([1 + g.below(2), 1])
            .paddings([g.below(2), g.below(2)])
            .dilation(1 + g.below(2))
            .groups(groups);
        let (n, i, o) = (g.size(), g.size(), g.size());
        let (x, w) = ([n, groups * i, 5, 4], [groups * o, i, 2, 2]);
        case([g.normal(&x), g.normal(&w), g.normal(&[groups * o])], move |v| {
            conv.conv2d(&v[0], &v[1], Some(&v[2]))
        })
    }),
    ("conv_transpose2d", |g| {
        let groups = 1 + g.below(2);
        let conv = Conv::new().stride(1 + g.below(2)).padding(g.below(2)).groups(groups);
        let (n, i, o) = (g.size(), g.size(), g.size());
        let (x, w) = ([n, groups * i, 3, 2], [groups * i, o, 2, 3]);
        case([g.normal(&x), g.normal(&w), g.normal(&[groups * o])], move |v| {
            conv.conv_transpose2d(&v[0], &v[1], Some(&v[2]), [0, 0])
        })
    }),
    ("unfold", |g| {
        let conv = Conv::new().stride(1 + g.below(2)).padding(g.below(2));
        let (n, c) = (g.size(), g.size());
        case([g.normal(&[n, c, 4, 3])], move |v| conv.unfold(&v[0], [2, 2]))
    }),
    ("fold", |g| {
        let (n, c) = (g.size(), g.size());
        case([g.normal(&[n, 4 * c, 6])], |v| Conv::new().fold(&v[0], [2, 2], [4, 3]))
    }),
    ("max_pool2d", |g| {
        let pool = Pool::new(2).stride(1 + g.below(2)).padding(g.below(2));
        let (n, c) = (g.size(), g.size());
        case([g.apart(&[n, c, 4, 5])], move |v| v[0].max_pool2d(pool))
    }),
    ("avg_pool2d", |g| {
        let pool =
            Pool::new(2).stride(1 + g.below(2)).padding(g.below(2)).count_padding(g.below(2) == 0);
        let (n, c) = (g.size(), g.size());
        case([g.normal(&[n, c, 4, 5])], move |v| v[0].avg_pool2d(pool))
    }),
    ("adaptive_avg_pool2d", |g| {
        let out = [g.size(), g.size()];
        case([g.normal(&[2, 2, 5, 4])], move |v| v[0].adaptive_avg_pool2d(out))
    }),
    ("adaptive_max_pool2d", |g| {
        let out = [g.size(), g.size()];
        case([g.apart(&[2, 2, 5, 4])], move |v| v[0].adaptive_max_pool2d(out))
    }),
    ("resize_nearest", |g| {
        let size = [g.size() + 1, g.size()];
        case([g.normal(&[2, 1, 3, 4])], move |v| v[0].resize_nearest(size))
    }),
    ("resize_bilinear", |g| {
        let (size, corners) = ([g.size() + 1, g.size()], g.below(2) == 0);
        case([g.normal(&[2, 1, 3, 4])], move |v| v[0].resize_bilinear(size, corners))
    }),
    ("forward_packed", |g| {
        let (n, l, heads, width) = (g.size(), g.size(), g.size(), g.size());
        let attention = Attention::new().causal(g.below(2) == 0);
        case([g.normal(&[n, l, 3 * heads * width])], move |v| {
            attention.forward_packed(&v[0], heads)
        })
    }),
    ("forward_heads", |g| {
        let (n, l, s, heads, width) = (g.size(), g.size(), g.size(), g.size(), g.size());
        let attention = Attention::new().causal(g.below(2) == 0);
        let mut part = |rows| g.normal(&[n, rows, heads * width]);
        case([part(l), part(s), part(s)], move |v| {
            attention.forward_heads(&v[0], &v[1], &v[2], heads)
        })
    }),
    ("softmax", |g| {
        let axis = g.axis();
        case([g.any()], move |v| v[0].softmax(axis))
    }),
    ("log_softmax", |g| {
        let axis = g.axis();
        case([g.any()], move |v| v[0].log_softmax(axis))
    }),
    ("loss", |g| {
        let (n, classes) = (g.size(), 1 + g.size());
        let labels = g.indices(&[n], classes);
        let mut ce = CrossEntropy::new().label_smoothing(0.1 * g.below(3) as f64);
        if g.below(2) == 0 {
            ce = ce.weight(g.uniform(&[classes], 0.5, 2.0));
        }
        if g.below(2) == 0 {
            ce = ce.reduction(Reduction::None);
        }
        case([g.normal(&[n, classes])], move |v| ce.loss(&v[0], &labels))
    }),
    ("soft_loss", |g| {
        let (n, classes) = (g.size(), 1 + g.size());
        case([g.normal(&[n, classes]), g.normal(&[n, classes])], |v| {
            CrossEntropy::new().soft_loss(&v[0], &v[1].softmax(1)?)
        })
    }),
    ("layer_norm", |g| {
        let (n, d) = (g.size(), 2 + g.size());
        case([g.normal(&[n, d]), g.normal(&[d]), g.normal(&[d])], move |v| {
            v[0].layer_norm(&[d], Some(&v[1]), Some(&v[2]), 1e-2)
        })
    }),
    ("group_norm", |g| {
        let (n, c) = (g.size(), 2 * g.size());
        case([g.normal(&[n, c, 3]), g.normal(&[c]), g.normal(&[c])], |v| {
            v[0].group_norm(2, Some(&v[1]), Some(&v[2]), 1e-2)
        })
    }),
    ("rms_norm", |g| {
        let (n, d) = (g.size(), 1 + g.size());
        case([g.normal(&[n, d]), g.normal(&[d])], |v| v[0].rms_norm(Some(&v[1]), 1e-2))
    }),
    ("batch_norm", |g| {
        let (n, c) = (1 + g.size(), g.size());
        case([g.normal(&[n, c, 2, 2]), g.normal(&[c]), g.normal(&[c])], |v| {
            Ok(v[0].batch_norm(Some(&v[1]), Some(&v[2]), 1e-2)?.output)
        })
    }),
    ("batch_norm_with", |g| {
        let (n, c) = (g.size(), g.size());
        let (mean, variance) = (g.normal(&[c]), g.uniform(&[c], 0.5, 2.0));
        case([g.normal(&[n, c, 2]), g.normal(&[c]), g.normal(&[c])], move |v| {
            v[0].batch_norm_with(&mean, &variance, Some(&v[1]), Some(&v[2]), 1e-2)
        })
    }),
    ("forward", |g| {
        let (b, h, q, k, d) = (g.size(), g.size(), g.size(), 1 + g.size(), g.size());
        let mut attention = Attention::new();
        match g.below(3) {
            0 => attention = attention.bias(g.normal(&[q, k])),
            1 => {
                // Every query sees at least the first key.
                let mask =
                    g.mask(&[q, k]).maximum(&T::one_hot(&Indices::from(vec![0; q]), k).unwrap());
                attention = attention.keep(mask.unwrap());
            }
            _ => attention = attention.causal(q == k),
        }
        let inputs = [g.normal(&[b, h, q, d]), g.normal(&[b, h, k, d]), g.normal(&[b, h, k, d])];
        case(inputs, move |v| attention.forward(&v[0], &v[1], &v[2]))
    }),
    ("weights", |g| {
        let (q, k, d) = (g.size(), g.size(), g.size());
        case([g.normal(&[1, 1, q, d]), g.normal(&[1, 1, k, d])], |v| {
            Attention::new().weights(&v[0], &v[1])
        })
    }),
    ("dropout", |g| {
        let rng = g.rng().clone();
        case([g.any()], move |v| v[0].dropout(0.4, &mut rng.clone()))
    }),
    ("dropout_blocks", |g| {
        let rng = g.rng().clone();
        case([g.any()], move |v| v[0].dropout_blocks(1, 0.4, &mut rng.clone()))
    }),
];
