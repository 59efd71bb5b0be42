//! A layer keeps its input for the gradient of its weight, and only for that.

use tl_tensor::{Conv, Result, Tensor, peak_bytes};

/// How many results are in memory at the most of ten layers one after the other.
fn peak(size: &[usize], layer: impl Fn(&Tensor) -> Result<Tensor>) -> f64 {
    let x = Tensor::<f32>::ones(tl_tensor::Shape::new(size).unwrap()).requires_grad();
    // What is kept with a constant weight is made once.
    drop(layer(&x).unwrap());
    let (y, bytes) = peak_bytes(|| (0..10).fold(x.clone(), |x, _| layer(&x).unwrap()));
    assert!(y.is_tracked() && y.sum_all().backward().unwrap().get(&x).is_some());
    bytes as f64 / (4 * x.numel()) as f64
}

// One test: measurements count what other threads do.
#[test]
fn inputs_of_constant_weights_are_not_kept() {
    let w = Tensor::<f32>::ones([64, 64]);
    let learned = w.requires_grad();
    let kept = peak(&[200, 64], |x| x.linear(&learned, None));
    assert!(kept >= 9.0, "{kept}");
    let constant = peak(&[200, 64], |x| x.linear(&w, None));
    assert!(constant <= 4.0, "{constant}");
    let kernel = Tensor::<f32>::ones([4, 4, 3, 3]);
    let learned = kernel.requires_grad();
    let conv = Conv::new().padding(1);
    let kept = peak(&[2, 4, 32, 32], |x| conv.conv2d(x, &learned, None));
    let constant = peak(&[2, 4, 32, 32], |x| conv.conv2d(x, &kernel, None));
    // The windows of a product are in memory too.
    assert!(constant + 7.0 <= kept, "{constant} {kept}");
}
