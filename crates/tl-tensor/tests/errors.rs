//! What the errors say: the operation, what it got, what would have been right.

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use tl_tensor::{
    Attention, Conv, CrossEntropy, Error, GradOptions, Indices, PadMode, Pool, Shape, Tensor,
    Triangle, grad,
};

type T = Tensor<f64>;

fn zeros(dims: &[usize]) -> T {
    T::zeros(Shape::new(dims).unwrap())
}

#[track_caller]
fn of<R>(result: Result<R, Error>) -> Error {
    match result {
        Ok(_) => panic!("an error was expected"),
        Err(error) => error,
    }
}

fn all() -> Vec<Error> {
    let (a, b) = (zeros(&[2, 3]), zeros(&[4, 5]));
    let image = zeros(&[1, 2, 4, 4]);
    let leaf = T::scalar(1.0).requires_grad();
    let ce = CrossEntropy::new();
    vec![
        of(T::from_vec(vec![1.0; 5], [2, 3])),
        of(Shape::new(&[1; 7])),
        of(Shape::new(&[usize::MAX, 2])),
        of(T::arange(0.0, 1.0, 0.0)),
        of(Indices::from_vec(vec![0, 1], [3])),
        of(a.item()),
        of(a.size(2)),
        of(a.add(&b)),
        of(a.sub(&b)),
        of(a.mul(&b)),
        of(a.div(&b)),
        of(a.pow(&b)),
        of(a.maximum(&b)),
        of(a.lt(&b)),
        of(T::where_cond(&a, &b, &a)),
        of(a.sum(2, false)),
        of(a.max(-3, true)),
        of(zeros(&[0, 2]).max(0, false)),
        of(zeros(&[0]).argmax(0)),
        of(a.cumsum(5)),
        of(a.matmul(&b)),
        of(a.matmul(&T::scalar(1.0))),
        of(zeros(&[2, 3, 4]).matmul(&zeros(&[5, 4, 3]))),
        of(a.linear(&b, None)),
        of(a.outer(&b)),
        of(a.reshape([7])),
        of(a.permute(&[0, 0])),
        of(a.permute(&[0])),
        of(a.transpose(0, 2)),
        of(zeros(&[2]).t()),
        of(a.squeeze(0)),
        of(a.broadcast_to([3, 3])),
        of(a.slice(1, 2, 5, 1)),
        of(a.slice(1, 0, 2, 0)),
        of(a.narrow(0, 1, 2)),
        of(a.select(0, 2)),
        of(T::cat(&[], 0)),
        of(T::cat(&[&a, &b], 0)),
        of(T::stack(&[&a, &b], 0)),
        of(a.split(&[1, 2], 0)),
        of(a.chunk(0, 0)),
        of(a.repeat(&[1])),
        of(a.index_select(0, &[5].into())),
        of(a.gather(0, &[1].into())),
        of(a.scatter_add(0, &Indices::from_vec(vec![0; 3], [1, 3]).unwrap(), &b)),
        of(zeros(&[3]).embedding(&[0].into())),
        of(T::one_hot(&[3].into(), 3)),
        of(a.topk(4, 1, true)),
        of(a.masked_select(&b)),
        of(Conv::new().conv2d(&a, &image, None)),
        of(Conv::new().conv2d(&image, &zeros(&[3, 5, 3, 3]), None)),
        of(Conv::new().conv2d(&image, &zeros(&[3, 2, 6, 6]), None)),
        of(Conv::new().stride(0).conv2d(&image, &zeros(&[3, 2, 3, 3]), None)),
        of(Conv::new().groups(3).conv2d(&image, &zeros(&[3, 2, 3, 3]), None)),
        of(image.max_pool2d(Pool::new(6))),
        of(image.max_pool2d(Pool::new(2).padding(2))),
        of(image.pad(3, 4, 0, PadMode::Reflect)),
        of(a.softmax(2)),
        of(ce.loss(&a, &[0, 1, 2].into())),
        of(ce.loss(&a, &[0, 3].into())),
        of(ce.clone().label_smoothing(2.0).loss(&a, &[0, 1].into())),
        of(ce.clone().weight(zeros(&[2])).loss(&a, &[0, 1].into())),
        of(a.layer_norm(&[4], None, None, 1e-5)),
        of(a.layer_norm(&[3], None, None, -1.0)),
        of(zeros(&[1, 3]).batch_norm(None, None, 1e-5)),
        of(a.group_norm(2, None, None, 1e-5)),
        of(a.dropout(1.5, &mut ChaCha8Rng::seed_from_u64(0))),
        of(Attention::new().forward(&a, &a, &b)),
        of(a.cholesky()),
        of(zeros(&[2, 2]).cholesky()),
        of(zeros(&[2, 2]).solve(&zeros(&[2, 1]))),
        of(T::eye(2).solve(&zeros(&[3, 1]))),
        of(zeros(&[2, 2]).triangular_solve(&zeros(&[2, 1]), Triangle::lower())),
        of(a.diagonal(0, 1, 1)),
        of(zeros(&[3]).trace()),
        of(T::einsum("ij,jk", &[&a])),
        of(T::einsum("ij,jk->ik", &[&a, &b])),
        of(T::einsum("i.j->i", &[&a])),
        of(T::einsum("ij->k", &[&a])),
        of(a.backward().map(drop)),
        of(leaf.add(&a).and_then(|y| y.backward()).map(drop)),
        of(grad(&leaf.square(), &[&T::scalar(1.0).requires_grad()], GradOptions::new())),
        of(leaf.with_data(&a)),
    ]
}

#[test]
fn messages() {
    let lines: Vec<String> = all().iter().map(ToString::to_string).collect();
    insta::assert_snapshot!(lines.join("\n"));
}

#[test]
fn operators_panic_with_the_same_message() {
    let (a, b) = (zeros(&[2, 3]), zeros(&[4, 5]));
    let expected = of(a.add(&b)).to_string();
    let panic = std::panic::catch_unwind(|| &a + &b).unwrap_err();
    let said = panic.downcast_ref::<String>().unwrap();
    assert!(said.contains(&expected), "{said}");
}
