//! A task without labels is, bit for bit, a task that is not there.

mod common;

use common::{flowers, net, numbers, thirds};
use tl_multitask::{Balance, Labels, MultiTask};
use tl_nn::{Adam, Optimizer, Tensor, Trainer};

/// What the trunk and the heads of the first and the last task become.
fn run(balance: &Balance, all: &Labels, outputs: &[usize]) -> Vec<f32> {
    let f = flowers();
    let mut net = net(outputs);
    let last = net.heads.len() - 1;
    // The same head for the last task, however many there are before it.
    net.heads[last] = tl_nn::Linear::new(12, 1, &mut common::rng());
    let trainer = Trainer::new(Optimizer::new(Adam::new(0.02)), 5).seed(3);
    MultiTask::new(&all.tasks(), balance.clone())
        .fit(trainer, &mut net, thirds, |net, rows: &Vec<usize>, cx| {
            let x = f.x.index_select(0, &rows[..].into())?;
            Ok(all.losses(&net.forward_all(&x, cx)?, rows)?)
        })
        .unwrap();
    let mut kept = numbers(&net.trunk);
    kept.extend(numbers(&net.heads[0]));
    kept.extend(numbers(&net.heads[last]));
    kept
}

#[test]
fn masking_a_tasks_labels_is_leaving_the_task_out_in_every_method() {
    let f = flowers();
    let width: Vec<f32> = (0..150).map(|i| (i as f32 * 0.7).sin()).collect();
    let middle: Vec<Option<usize>> = (0..150).map(|i| Some(i % 2)).collect();
    let species: Vec<_> = tl_data::samples::iris().labels().unwrap().to_vec();
    let species: Vec<_> = species.into_iter().map(Some).collect();
    // A label of the middle task is in no batch that is used: it sees nothing.
    let three = Labels::new(151);
    let padded = |mut v: Vec<Option<usize>>, last| {
        v.push(last);
        v
    };
    let numbers = |v: &[f32]| [v, &[f32::NAN]].concat();
    let three = three
        .classes("species", 3, &padded(species, None))
        .unwrap()
        .classes("middle", 2, &padded(middle, Some(0)))
        .unwrap()
        .numbers("width", &numbers(&width))
        .unwrap();
    let masked = three.clone().hide(1, |i| i < 150).unwrap();
    assert_eq!(masked.known(1), [150]);
    let without = three.only(&[0, 2]).unwrap();
    for balance in Balance::all() {
        let (with, without) =
            (run(&balance, &masked, &[3, 2, 1]), run(&balance, &without, &[3, 1]));
        assert_eq!(with, without, "{}", balance.name());
        // And a task with labels is not without effect.
        assert_ne!(with, run(&balance, &three, &[3, 2, 1]), "{}", balance.name());
    }
    assert_eq!(f.labels.tasks().len(), 2);
}

#[test]
fn single_labels_that_are_missing_do_not_count() {
    let known = [Some(0), None, Some(1)];
    let labels = Labels::new(3)
        .classes("a", 2, &known)
        .unwrap()
        .numbers("b", &[1.0, f32::NAN, f32::NAN])
        .unwrap()
        .absolute("c", &[f32::NAN, 4.0, 1.0])
        .unwrap();
    let logits = Tensor::from_slice(&[1.0, 0.0, 9.0, -9.0, 0.5, 0.5], [3, 2]).unwrap();
    let number = Tensor::from_slice(&[3.0, 7.0, 2.0], [3, 1]).unwrap();
    let out = [logits, number.clone(), number];
    let value = |losses: &[Option<Tensor>], i: usize| losses[i].as_ref().unwrap().item().unwrap();
    let losses = labels.losses(&out, &[0, 1, 2]).unwrap();
    let want = f32::midpoint((1.0 + (-1.0_f32).exp()).ln(), 2.0_f32.ln());
    approx::assert_relative_eq!(value(&losses, 0), want, max_relative = 1e-6);
    assert_eq!(value(&losses, 1), 4.0);
    assert_eq!(value(&losses, 2), 2.0);
    // Row 1 alone: only the last task has a label there.
    let rows: Vec<Tensor> = out.iter().map(|o| o.narrow(0, 1, 1).unwrap()).collect();
    let losses = labels.losses(&rows, &[1]).unwrap();
    assert!(losses[0].is_none() && losses[1].is_none() && losses[2].is_some());
    assert_eq!(labels.known(0), [0, 2]);

    assert!(labels.losses(&out[..1], &[0]).is_err() && labels.losses(&out, &[3]).is_err());
    let new = || Labels::new(2);
    assert!(new().classes("a", 2, &[Some(2), None]).is_err());
    assert!(new().classes("a", 2, &[None, None]).is_err());
    assert!(new().classes("a", 1, &[Some(0), None]).is_err());
    assert!(new().numbers("a", &[1.0]).is_err());
    assert!(new().numbers("a", &[f32::INFINITY, 1.0]).is_err());
    assert!(labels.only(&[3]).is_err());
}
