//! The definition, derivatives of both orders, many images at once.

use super::*;
use crate::{GradCheck, GradOptions, grad, gradcheck, gradgradcheck};

fn wave(shape: [usize; 4], speed: f64) -> Tensor<f64> {
    let count = shape.iter().product();
    Tensor::linspace(0.0, speed * count as f64, count).sin().reshape(shape).unwrap()
}

/// The definition, element by element.
fn naive(conv: Conv, x: &Tensor<f64>, w: &Tensor<f64>) -> Vec<f64> {
    let (xs, ws) = (x.dims(), w.dims());
    let (xv, wv) = (x.to_vec(), w.to_vec());
    let size = |a: usize| conv.output_size(a, xs[2 + a], ws[2 + a]).unwrap();
    let per_group = ws[0] / conv.groups;
    let mut out = Vec::new();
    for n in 0..xs[0] {
        for o in 0..ws[0] {
            for oy in 0..size(0) {
                for ox in 0..size(1) {
                    let mut sum = 0.0;
                    for c in 0..ws[1] {
                        for ky in 0..ws[2] {
                            for kx in 0..ws[3] {
                                let y = (oy * conv.stride[0] + ky * conv.dilation[0])
                                    .wrapping_sub(conv.padding[0]);
                                let x = (ox * conv.stride[1] + kx * conv.dilation[1])
                                    .wrapping_sub(conv.padding[1]);
                                if y < xs[2] && x < xs[3] {
                                    let channel = o / per_group * ws[1] + c;
                                    sum += xv[((n * xs[1] + channel) * xs[2] + y) * xs[3] + x]
                                        * wv[((o * ws[1] + c) * ws[2] + ky) * ws[3] + kx];
                                }
                            }
                        }
                    }
                    out.push(sum);
                }
            }
        }
    }
    out
}

fn cases() -> Vec<(Conv, [usize; 4], [usize; 4])> {
    vec![
        (Conv::new(), [2, 3, 5, 6], [4, 3, 3, 2]),
        (Conv::new().stride(2).padding(1), [2, 2, 5, 5], [3, 2, 3, 3]),
        (
            Conv::new().strides([1, 3]).paddings([2, 0]).dilations([2, 1]),
            [1, 2, 4, 7],
            [2, 2, 3, 3],
        ),
        (Conv::new().groups(2).padding(1), [2, 4, 3, 4], [6, 2, 3, 3]),
        (Conv::new().groups(3), [1, 3, 4, 4], [3, 1, 2, 2]),
        (Conv::new(), [2, 3, 2, 2], [4, 3, 1, 1]),
        (Conv::new().stride(2), [1, 2, 5, 5], [2, 2, 1, 1]),
        (Conv::new().padding(3), [1, 1, 2, 2], [1, 1, 3, 3]),
        // Every channel for itself.
        (Conv::new().groups(2).padding(1), [2, 2, 4, 5], [2, 1, 3, 3]),
        (Conv::new().groups(2).stride(2).padding(2), [1, 2, 7, 6], [2, 1, 5, 5]),
        (Conv::new().groups(2).stride(3).dilation(2), [1, 2, 8, 8], [2, 1, 2, 3]),
        // Several images in one product.
        (Conv::new().padding(1), [17, 1, 3, 3], [2, 1, 3, 2]),
    ]
}

fn many_images() -> Vec<(Conv, [usize; 4], [usize; 4])> {
    vec![
        (Conv::new().padding(1), [33, 3, 5, 4], [4, 3, 3, 3]),
        (Conv::new().padding(2).stride(2), [40, 2, 6, 7], [3, 2, 5, 3]),
        (Conv::new(), [19, 5, 3, 3], [4, 5, 1, 1]),
        (Conv::new().padding(2).dilation(2), [25, 2, 6, 6], [3, 2, 3, 3]),
        (Conv::new().groups(8).padding(1), [3, 8, 20, 37], [8, 1, 3, 3]),
    ]
}

#[test]
fn agrees_with_the_definition() {
    for (conv, x, w) in cases().into_iter().chain(many_images()) {
        let (x, w) = (wave(x, 0.7), wave(w, 0.3));
        let y = conv.conv2d(&x, &w, None).unwrap();
        for (a, b) in y.to_vec().iter().zip(naive(conv, &x, &w)) {
            approx::assert_abs_diff_eq!(a, &b, epsilon = 1e-12);
        }
    }
}

#[test]
fn derivatives_of_both_orders() {
    for (conv, x, w) in cases() {
        let bias = Tensor::linspace(-1.0, 1.0, w[0]);
        let inputs = [wave(x, 0.7), wave(w, 0.3), bias];
        let f = |t: &[Tensor<f64>]| conv.conv2d(&t[0], &t[1], Some(&t[2]));
        gradcheck(f, &inputs, GradCheck::default()).unwrap();
        gradgradcheck(f, &inputs, GradCheck::default()).unwrap();
    }
}

#[test]
fn gradients_of_many_images_are_those_of_each() {
    for (conv, x, w) in many_images() {
        let (x, w) = (wave(x, 0.7).requires_grad(), wave(w, 0.3).requires_grad());
        let sum = |x: &Tensor<f64>| {
            let y = conv.conv2d(x, &w, None)?;
            y.mul(&y)?.sum([0, 1, 2, 3], false)
        };
        let all = grad(&sum(&x).unwrap(), &[&x, &w], GradOptions::default()).unwrap();
        let mut weight = Tensor::zeros(*w.shape());
        for i in 0..x.dims()[0] {
            let one = x.detach().narrow(0, i, 1).unwrap().requires_grad();
            let own = grad(&sum(&one).unwrap(), &[&one, &w], GradOptions::default()).unwrap();
            let part = all[0].narrow(0, i, 1).unwrap();
            for (a, b) in part.to_vec().iter().zip(own[0].to_vec()) {
                approx::assert_abs_diff_eq!(a, &b, epsilon = 1e-10);
            }
            weight = weight.add(&own[1]).unwrap();
        }
        for (a, b) in all[1].to_vec().iter().zip(weight.to_vec()) {
            approx::assert_abs_diff_eq!(a, &b, epsilon = 1e-9);
        }
    }
}

#[test]
fn the_transposed_convolution_is_the_adjoint() {
    // ⟨conv(x), y⟩ = ⟨x, convᵀ(y)⟩
    let conv = Conv::new().stride(2).padding(1).groups(2);
    let (x, w) = (wave([2, 4, 6, 5], 0.7), wave([6, 2, 3, 3], 0.3));
    let y = conv.conv2d(&x, &w, None).unwrap();
    let v = wave([2, 6, 3, 3], 0.9);
    let back = conv.conv_transpose2d(&v, &w, None, [1, 0]).unwrap();
    assert_eq!(back.dims(), x.dims());
    let left = y.mul(&v).unwrap().sum_all().item().unwrap();
    let right = x.mul(&back).unwrap().sum_all().item().unwrap();
    approx::assert_relative_eq!(left, right, max_relative = 1e-12);
    let bias = Tensor::linspace(0.0, 1.0, 4);
    let f = |t: &[Tensor<f64>]| conv.conv_transpose2d(&t[0], &t[1], Some(&t[2]), [1, 0]);
    gradcheck(f, &[v.clone(), w.clone(), bias.clone()], GradCheck::default()).unwrap();
    gradgradcheck(f, &[v, w, bias], GradCheck::default()).unwrap();
}

#[test]
fn wrong_shapes_and_options_are_errors() {
    let (x, w) = (wave([1, 2, 4, 4], 0.1), wave([2, 2, 3, 3], 0.1));
    assert!(Conv::new().stride(0).conv2d(&x, &w, None).is_err());
    assert!(Conv::new().groups(2).conv2d(&x, &w, None).is_err());
    assert!(Conv::new().dilation(2).conv2d(&x, &w, None).is_err());
    assert!(Conv::new().conv2d(&x, &w, Some(&Tensor::ones(3))).is_err());
    assert!(Conv::new().conv_transpose2d(&x, &w, None, [1, 1]).is_err());
    let none = Tensor::zeros([0, 2, 4, 4]);
    assert_eq!(Conv::new().conv2d(&none, &w, None).unwrap().dims(), [0, 2, 2, 2]);
}

/// What is made of a weight is kept with its numbers, which tensors of other shapes share.
#[test]
fn weights_that_share_their_numbers_have_transforms_of_their_own() {
    let numbers = wave([64, 32, 3, 3], 0.3).cast::<f32>();
    let x = |channels: usize| wave([8, channels, 9, 9], 0.7).cast::<f32>();
    let conv = Conv::new().padding(1);
    let own = |shape: [usize; 4]| Tensor::<f32>::from_vec(numbers.to_vec(), shape).unwrap();
    for shape in [[64, 32, 3, 3], [32, 64, 3, 3], [16, 128, 3, 3]] {
        let (x, shared) = (x(shape[1]), numbers.reshape(shape).unwrap());
        let y = conv.conv2d(&x, &shared, None).unwrap();
        assert_eq!(y.to_vec(), conv.conv2d(&x, &own(shape), None).unwrap().to_vec());
    }
}

#[test]
fn images_without_pixels_give_the_bias_and_no_gradient() {
    fn check<E: Elem>() {
        for (kernel, stride, padding) in [(3, 1, 2), (5, 2, 3), (5, 1, 3), (1, 1, 1)] {
            let conv = Conv::new().padding(padding).stride(stride);
            let x = Tensor::<E>::zeros([60, 16, 0, 0]).requires_grad();
            let w = Tensor::<E>::ones([20, 16, kernel, kernel]).requires_grad();
            let bias = Tensor::<E>::full(20, E::from_f64(0.5));
            let y = conv.conv2d(&x, &w, Some(&bias)).unwrap();
            assert!(y.numel() > 0 && y.to_vec().iter().all(|y| y.to_f64() == 0.5));
            let y = conv.conv2d(&x, &w, None).unwrap();
            assert!(y.to_vec().iter().all(|y| y.to_f64() == 0.0));
            let grads = grad(&y.sum_all(), &[&x, &w], GradOptions::default()).unwrap();
            assert_eq!(grads[0].dims(), x.dims());
            assert!(grads[1].to_vec().iter().all(|g| g.to_f64() == 0.0));
        }
    }
    check::<f32>();
    check::<f64>();
}
