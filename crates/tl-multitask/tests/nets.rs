//! Architectures.

mod common;

use common::{flowers, net, rng};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use tl_multitask::{Cgc, CrossStitch, HardSharing, Labels, Mmoe, Mtan, TaskAdapters};
use tl_nn::{Ctx, Forward, Linear, ModuleExt, Tensor};

#[test]
fn architectures_are_what_they_say() {
    let x = flowers().x;
    let mut rng = rng();
    let mut cx = Ctx::eval();
    // One expert makes hard sharing.
    let trunk = Linear::new(3, 6, &mut rng);
    let towers: Vec<Linear> = (1..3).map(|n| Linear::new(6, n, &mut rng)).collect();
    let one = Mmoe::new(vec![trunk.clone()], towers.clone(), 3, &mut rng);
    let hard = HardSharing { trunk, heads: towers.clone() };
    let (a, b) = (one.forward_all(&x, &mut cx).unwrap(), hard.forward_all(&x, &mut cx).unwrap());
    for (a, b) in a.iter().zip(&b) {
        for (a, b) in a.to_vec().iter().zip(b.to_vec()) {
            approx::assert_relative_eq!(*a, b, max_relative = 1e-5);
        }
    }
    assert_eq!(hard.forward_task(1, &x, &mut cx).unwrap().to_vec(), b[1].to_vec());
    assert!(hard.forward_task(2, &x, &mut cx).is_err());

    let mut make = ChaCha8Rng::seed_from_u64(5);
    let widths = [3, 6];
    let expert = |level: usize| Linear::new(widths[level], 6, &mut make);
    let ple = Cgc::new(&widths, (2, 1), towers.clone(), expert, &mut rng);
    let out = ple.forward_all(&x, &mut cx).unwrap();
    assert_eq!((out[0].dims(), out[1].dims()), ([150, 1].as_slice(), [150, 2].as_slice()));
    // 4 experts and 4 gates (the last level has no shared gate) a level.
    assert!(ple.levels[0].shared_gate.is_some() && ple.levels[1].shared_gate.is_none());
    assert_eq!(ple.levels[0].gates[0].weight.dims(), [3, 3]);
    assert_eq!(ple.levels[0].shared_gate.as_ref().unwrap().weight.dims(), [4, 3]);

    let stage = |from, to: &[usize], rng: &mut ChaCha8Rng| -> Vec<Linear> {
        to.iter().map(|&to| Linear::new(from, to, rng)).collect()
    };
    let stages = vec![stage(3, &[6, 6], &mut rng), stage(6, &[1, 2], &mut rng)];
    let mut stitched = CrossStitch::new(stages);
    assert_eq!(stitched.forward_all(&x, &mut cx).unwrap()[1].dims(), [150, 2]);
    // With the unit matrix the networks are separate.
    stitched.stitches[0].set_data(&Tensor::eye(2)).unwrap();
    let apart = stitched.stages[1][0]
        .forward(&stitched.stages[0][0].forward(&x, &mut cx).unwrap(), &mut cx)
        .unwrap();
    let got = stitched.forward_all(&x, &mut cx).unwrap();
    for (a, b) in got[0].to_vec().iter().zip(apart.to_vec()) {
        approx::assert_relative_eq!(*a, b, max_relative = 1e-4, epsilon = 1e-5);
    }
}

/// Every architecture gives one task what it gives it among all.
#[test]
fn one_task_alone_is_the_same() {
    let x = flowers().x;
    let rng = &mut rng();
    let cx = &mut Ctx::eval();
    let towers: Vec<Linear> = (1..4).map(|n| Linear::new(6, n, rng)).collect();
    let experts = vec![Linear::new(3, 6, rng), Linear::new(3, 6, rng)];
    let mmoe = Mmoe::new(experts, towers.clone(), 3, rng);
    let mut make = ChaCha8Rng::seed_from_u64(5);
    let widths = [3, 6];
    let mut cgc = |levels: usize| {
        let expert = |level: usize| Linear::new(widths[level], 6, &mut make);
        Cgc::new(&widths[..levels], (1, 2), towers.clone(), expert, rng)
    };
    let (one, two) = (cgc(1), cgc(2));
    let mtan = Mtan::dense(&[3, 8, 6], towers.clone(), rng);
    let stages = vec![(0..3).map(|_| Linear::new(3, 6, rng)).collect(), towers.clone()];
    let stitch = CrossStitch::new(stages);
    for task in 0..3 {
        for (all, alone) in [
            (mmoe.forward_all(&x, cx), mmoe.forward_task(task, &x, cx)),
            (one.forward_all(&x, cx), one.forward_task(task, &x, cx)),
            (two.forward_all(&x, cx), two.forward_task(task, &x, cx)),
            (mtan.forward_all(&x, cx), mtan.forward_task(task, &x, cx)),
            (stitch.forward_all(&x, cx), stitch.forward_task(task, &x, cx)),
        ] {
            assert_eq!(all.unwrap()[task].to_vec(), alone.unwrap().to_vec());
        }
    }
    assert!(mmoe.forward_task(3, &x, cx).is_err() && two.forward_task(3, &x, cx).is_err());
    assert!(mtan.forward_task(3, &x, cx).is_err() && stitch.forward_task(3, &x, cx).is_err());
}

#[test]
fn attention_is_a_mask_on_shared_features() {
    let x = flowers().x;
    let rng = &mut rng();
    let cx = &mut Ctx::eval();
    let towers = vec![Linear::new(6, 2, rng), Linear::new(6, 1, rng)];
    let mut mtan = Mtan::dense(&[3, 8, 6], towers.clone(), rng);
    assert!(mtan.attention[0][0].onward.is_none() && mtan.attention[1][1].onward.is_some());
    // Gates whose logits are 0 let half of the trunk's features through.
    mtan.for_each_param(|path, param| {
        if path.contains("gate.2") {
            param.update(|w| w.fill(0.0));
        }
        Ok(())
    })
    .unwrap();
    let got = mtan.forward_all(&x, cx).unwrap();
    let features = mtan.stages.iter().fold(x, |h, stage| stage.forward(&h, cx).unwrap());
    let want = towers[0].forward(&features.mul_scalar(0.5), cx).unwrap();
    for (a, b) in got[0].to_vec().iter().zip(want.to_vec()) {
        approx::assert_relative_eq!(*a, b, max_relative = 1e-5, epsilon = 1e-6);
    }
}

#[test]
fn adapters_begin_as_the_trunk_and_leave_it_alone() {
    let x = flowers().x;
    let rng = &mut rng();
    let cx = &mut Ctx::eval();
    let trunk = vec![Linear::new(3, 6, rng), Linear::new(6, 5, rng)];
    let towers = vec![Linear::new(5, 2, rng), Linear::new(5, 1, rng)];
    let sizes = [Some((3, 6)), None];
    let mut net = TaskAdapters::new(trunk.clone(), &sizes, 2, towers.clone(), rng).unwrap();
    let h = trunk.iter().fold(x.clone(), |h, stage| stage.forward(&h, cx).unwrap());
    let want = towers[1].forward(&h, cx).unwrap();
    assert_eq!(net.forward_all(&x, cx).unwrap()[1].to_vec(), want.to_vec());
    // `W + B A` for one task only.
    let b = Tensor::ones([6, 2]);
    net.adapters[1][0].as_mut().unwrap().up.weight.set_data(&b).unwrap();
    let a = net.adapters[1][0].as_ref().unwrap().down.weight.tensor().clone();
    let weight = trunk[0].weight.tensor().add(&b.matmul(&a).unwrap()).unwrap();
    let first = x.linear(&weight, trunk[0].bias.as_ref().map(tl_nn::Param::tensor)).unwrap();
    let want = towers[1].forward(&trunk[1].forward(&first, cx).unwrap(), cx).unwrap();
    let got = net.forward_all(&x, cx).unwrap();
    for (a, b) in got[1].to_vec().iter().zip(want.to_vec()) {
        approx::assert_relative_eq!(*a, b, max_relative = 1e-4, epsilon = 1e-5);
    }
    let (trainable, all) = net.count_params();
    // Adapters 2 x (2 x 3 + 6 x 2), heads 12 + 6.
    assert_eq!((trainable, all - trainable), (36 + 18, 24 + 35));
    assert!(TaskAdapters::new(trunk.clone(), &sizes[..1], 2, towers.clone(), rng).is_err());
    assert!(TaskAdapters::new(trunk, &sizes, 0, towers, rng).is_err());
}

#[test]
fn heads_fit_their_labels() {
    let labels = Labels::new(2).classes("a", 4, &[Some(3), None]).unwrap();
    let labels = labels.numbers("b", &[1.0, 2.0]).unwrap();
    let heads = labels.heads(12, &mut rng());
    assert_eq!((heads[0].weight.dims(), heads[1].weight.dims()), (&[4, 12][..], &[1, 12][..]));
    let net = HardSharing { trunk: net(&[1]).trunk, heads };
    let out = net.forward_all(&Tensor::ones([2, 3]), &mut Ctx::eval()).unwrap();
    assert!(labels.losses(&out, &[0, 1]).unwrap().iter().all(Option::is_some));
}
