//! Small things around tasks.

mod common;

use common::{flowers, rng};
use tl_multitask::{
    Report, SINGLE, Sampling, compare, delta_m, masked_mean, suggest_groups, task_affinity,
    task_order,
};
use tl_nn::{Ctx, Forward, Linear, Reduction, Tensor, loss, metric::Trials};

#[test]
fn means_leave_out_what_is_unknown() {
    let losses = Tensor::from_slice(&[1.0, 5.0, 3.0], 3).unwrap();
    let mean = masked_mean(&losses, &[true, false, true]).unwrap().unwrap();
    assert_eq!(mean.item().unwrap(), 2.0);
    assert!(masked_mean(&losses, &[false; 3]).unwrap().is_none());
    assert!(masked_mean(&losses, &[true]).is_err());
}

#[test]
fn orders_follow_sizes_and_temperature() {
    let part = |sampling, epoch| {
        let order = task_order(sampling, &[100, 900], (epoch, 11), 4000, 1).unwrap();
        order.iter().filter(|t| **t == 1).count() as f64 / 4000.0
    };
    assert!((part(Sampling::Proportional, 3) - 0.9).abs() < 0.02);
    assert!((part(Sampling::Temperature(2.0), 3) - 0.75).abs() < 0.03);
    assert!((part(Sampling::Uniform, 0) - 0.5).abs() < 0.03);
    assert!((part(Sampling::Temperature(f64::INFINITY), 0) - 0.5).abs() < 0.03);
    // From proportional to the power 0.2.
    assert!((part(Sampling::Annealed, 0) - 0.9).abs() < 0.02);
    let last = 9.0_f64.powf(0.2) / (9.0_f64.powf(0.2) + 1.0);
    assert!((part(Sampling::Annealed, 10) - last).abs() < 0.03);
    assert!((part(Sampling::Annealed, 30) - last).abs() < 0.03, "it stays there");
    let order = |sampling, sizes: &[usize]| task_order(sampling, sizes, (0, 1), 3, 0);
    assert!(order(Sampling::Uniform, &[1, 0]).is_err());
    assert!(order(Sampling::Temperature(0.5), &[1]).is_err());
    assert!(order(Sampling::Together, &[1, 1]).is_err());
}

#[test]
fn gains_have_the_sign_of_their_metric() {
    let mut report = Report::new(&[("a", "accuracy", true), ("b", "error", false)]);
    for _ in 0..2 {
        report.add("single", &[0.8, 0.5], 1.0);
        report.add("shared", &[0.88, 0.6], 1.0);
    }
    // +10% and -20%.
    let delta = report.delta_m("shared").unwrap();
    approx::assert_relative_eq!(delta.mean, -0.05, max_relative = 1e-9);
    assert!(delta.n == 2 && delta.ci95 < 1e-9);
    assert!(report.to_string().contains("Δm -5.00%"));
    assert!(delta_m(&[], "shared").is_err());
    assert!(delta_m(&[Trials::new("a", "accuracy")], "shared").is_err());
    let text = serde_json::to_string(&report).unwrap();
    assert_eq!(serde_json::from_str::<Report>(&text).unwrap(), report);
}

#[test]
fn a_comparison_trains_a_model_for_each_task() {
    let tasks = [("a", "accuracy", true), ("b", "accuracy", true)];
    let ways = [("sum".to_owned(), tl_multitask::Balance::equal())];
    let mut runs = Vec::new();
    let report = compare::<tl_multitask::Error>(&tasks, &ways, 2, |task, balance, seed| {
        runs.push((task, balance.is_some(), seed));
        Ok(match task {
            Some(task) => vec![0.5 + task as f64 / 10.0],
            None => vec![0.6, 0.6],
        })
    })
    .unwrap();
    let each = |seed| [(Some(0), false, seed), (Some(1), false, seed), (None, true, seed)];
    assert_eq!(runs, [each(0), each(1)].concat());
    assert_eq!(report.tasks[1].baseline().unwrap().name, SINGLE);
    approx::assert_relative_eq!(report.delta_m("sum").unwrap().mean, 0.1, max_relative = 1e-9);
    let short = compare::<tl_multitask::Error>(&tasks, &ways, 1, |_, _, _| Ok(Vec::new()));
    assert!(short.is_err());
}

#[test]
fn affinity_sees_who_helps_whom() {
    // Two tasks with one goal, one with the opposite, one that is not there.
    let model = Linear::new(3, 1, &mut rng());
    let f = flowers();
    let width = f.x.narrow(1, 2, 1).unwrap();
    let table = task_affinity(&model, 0.02, |m: &Linear, cx: &mut Ctx| {
        let out = m.forward(&f.x, cx)?;
        let loss = |sign: f32| loss::mse(&out, &width.mul_scalar(sign), Reduction::Mean);
        Ok(vec![Some(loss(3.0)?), Some(loss(3.0)?), Some(loss(-3.0)?), None])
    })
    .unwrap();
    assert!(table[0][1] > 0.0 && table[0][2] < 0.0);
    assert!(table[0][3].is_nan() && table[3][0].is_nan());
    approx::assert_relative_eq!(table[0][0], table[0][1], max_relative = 1e-9);
    let three: Vec<Vec<f64>> = table[..3].iter().map(|row| row[..3].to_vec()).collect();
    assert_eq!(suggest_groups(&three, 2).unwrap().groups, [vec![0, 1], vec![2]]);
    assert!(suggest_groups(&table, 2).is_err() && suggest_groups(&three, 0).is_err());
    assert!(task_affinity(&model, 0.0, |_: &Linear, _| Ok(Vec::new())).is_err());
}

#[test]
fn many_tasks_are_grouped_by_merging() {
    // Twelve tasks of three kinds; like helps like.
    let affinity: Vec<Vec<f64>> = (0..12)
        .map(|i| (0..12).map(|j| if i % 3 == j % 3 { 0.1 } else { -0.1 }).collect())
        .collect();
    let grouping = suggest_groups(&affinity, 5).unwrap();
    let mut groups = grouping.groups.clone();
    groups.sort();
    assert_eq!(groups, [vec![0, 3, 6, 9], vec![1, 4, 7, 10], vec![2, 5, 8, 11]]);
    approx::assert_relative_eq!(grouping.score, 1.2, max_relative = 1e-9);
    // The same by trying all.
    let nine: Vec<Vec<f64>> = affinity[..9].iter().map(|r| r[..9].to_vec()).collect();
    assert_eq!(suggest_groups(&nine, 5).unwrap().groups.len(), 3);
}
