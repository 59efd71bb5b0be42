//! What holds for all transforms, and each one's own.

use super::*;
use crate::{Batch, Dataset, samples};
use rand::SeedableRng;

fn rng(seed: u64) -> ChaCha8Rng {
    ChaCha8Rng::seed_from_u64(seed)
}

fn all() -> Vec<(&'static str, Box<dyn Transform>)> {
    vec![
        ("crop", Box::new(RandomCrop::new(7, 6).padding(2))),
        ("resized crop", Box::new(RandomResizedCrop::new(6, 7).area(0.3, 0.9))),
        ("flip", Box::new(RandomFlip::horizontal())),
        ("vertical", Box::new(RandomFlip::vertical())),
        (
            "affine",
            Box::new(RandomAffine::new().degrees(30.0).translate(0.2).scale(0.8, 1.2).shear(10.0)),
        ),
        ("noise", Box::new(GaussianNoise::new(0.1))),
        ("blur", Box::new(GaussianBlur::new(0.5, 1.5))),
        ("erase", Box::new(RandomErase::new())),
        ("colour", Box::new(ColourJitter::new().brightness(0.5).contrast(0.5))),
    ]
}

#[test]
fn a_result_depends_on_the_seed_not_on_batch_or_threads() {
    let x = samples::digits().features().narrow(0, 0, 40).unwrap();
    for (name, transform) in all() {
        let once = transform.apply(&x, &mut rng(1)).unwrap();
        assert_eq!(once.to_vec(), transform.apply(&x, &mut rng(1)).unwrap().to_vec(), "{name}");
        assert_ne!(once.to_vec(), transform.apply(&x, &mut rng(2)).unwrap().to_vec(), "{name}");
        let first = transform.apply(&x.narrow(0, 0, 5).unwrap(), &mut rng(1)).unwrap();
        assert_eq!(first.to_vec(), once.narrow(0, 0, 5).unwrap().to_vec(), "{name}");
        #[cfg(feature = "rayon")]
        for threads in [1, 3] {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            let other = pool.install(|| transform.apply(&x, &mut rng(1)).unwrap());
            assert_eq!(other.to_vec(), once.to_vec(), "{name}");
        }
        // Not laid out in rows, and empty.
        let turned = x.transpose(2, 3).unwrap();
        assert!(transform.apply(&turned, &mut rng(1)).is_ok(), "{name}");
        let none = transform.apply(&Tensor::zeros([0, 1, 8, 8]), &mut rng(1)).unwrap();
        assert_eq!(none.dims()[0], 0, "{name}");
    }
}

#[test]
fn other_shapes_are_refused() {
    let table = Tensor::zeros([3, 4]);
    for (name, transform) in all() {
        let result = transform.apply(&table, &mut rng(0));
        assert_eq!(result.is_ok(), name == "noise", "{name}");
    }
}

#[test]
fn impossible_settings_are_refused() {
    let x = Tensor::zeros([1, 1, 4, 4]);
    let refused: Vec<Box<dyn Transform>> = vec![
        Box::new(RandomCrop::new(5, 4)),
        Box::new(RandomCrop::new(0, 4)),
        Box::new(RandomResizedCrop::new(0, 4)),
        Box::new(RandomResizedCrop::new(4, 4).area(0.0, 1.0)),
        Box::new(RandomResizedCrop::new(4, 4).proportions(2.0, 1.0)),
        Box::new(RandomFlip::horizontal().probability(1.5)),
        Box::new(RandomAffine::new().degrees(f64::NAN)),
        Box::new(RandomAffine::new().scale(0.0, 1.0)),
        Box::new(RandomAffine::new().shear(90.0)),
        Box::new(GaussianNoise::new(-1.0)),
        Box::new(GaussianBlur::new(0.0, 1.0)),
        Box::new(GaussianBlur::new(1.0, f64::INFINITY)),
        Box::new(RandomErase::new().area(0.5, 0.1)),
        Box::new(ColourJitter::new().saturation(0.1)),
        Box::new(Resize::new(0, 3)),
    ];
    for (i, transform) in refused.iter().enumerate() {
        assert!(transform.apply(&x, &mut rng(0)).is_err(), "{i}");
    }
    assert!(Mixup::new(0.0).is_err() && CutMix::new(f64::NAN).is_err());
    assert!(Standardise::new(vec![0.0], vec![0.0]).is_err());
}

#[test]
fn affine_moves_and_turns_by_known_amounts() {
    let mut image = vec![0.0; 25];
    image[5 + 2] = 1.0; // one above the centre
    let x = Tensor::from_vec(image, [1, 1, 5, 5]).unwrap();
    let same = RandomAffine::new().apply(&x, &mut rng(0)).unwrap();
    assert_eq!(same.to_vec(), x.to_vec());
    // An angle is drawn from -180 to 180: the pixel stays at distance 1.
    for seed in 0..20 {
        let y = RandomAffine::new().degrees(180.0).apply(&x, &mut rng(seed)).unwrap().to_vec();
        let mass: f32 = y.iter().sum();
        let moment = |f: &dyn Fn(usize) -> f32| -> f32 {
            y.iter().enumerate().map(|(i, p)| p * f(i)).sum::<f32>() / mass
        };
        let (cy, cx) = (moment(&|i| (i / 5) as f32 - 2.0), moment(&|i| (i % 5) as f32 - 2.0));
        assert!(((cy * cy + cx * cx).sqrt() - 1.0).abs() < 0.25, "{seed}: {cy} {cx}");
    }
}

#[test]
fn a_resized_crop_is_a_part_of_the_image() {
    // A ramp stays a ramp, within the values of the original and in its order.
    let ramp: Vec<f32> = (0..400).map(|i| (i % 20) as f32).collect();
    let x = Tensor::from_vec(ramp, [1, 1, 20, 20]).unwrap();
    for seed in 0..20 {
        let crop = RandomResizedCrop::new(10, 10).area(0.2, 0.6);
        let y = crop.apply(&x, &mut rng(seed)).unwrap().to_vec();
        let row = &y[..10];
        assert!(y.chunks(10).all(|other| other == row), "{seed}");
        assert!(row.windows(2).all(|w| w[0] <= w[1]) && row[0] >= 0.0 && row[9] <= 19.0, "{row:?}");
        // A side of 20 pixels at proportions 3/4 to 4/3 and a fifth to 0.6 of the area.
        let pixels = (row[8] - row[1]) / 7.0 * 10.0;
        assert!((7.0..=18.5).contains(&pixels), "{seed}: {pixels}");
    }
    // All of it, at its own size: nothing changes.
    let whole = RandomResizedCrop::new(20, 20).area(1.0, 1.0).proportions(1.0, 1.0);
    assert_eq!(whole.apply(&x, &mut rng(3)).unwrap().to_vec(), x.to_vec());
}

#[test]
fn standardising_can_be_undone() {
    let x = samples::wine().features().clone();
    let scale = Standardise::fit(&x).unwrap();
    let z = scale.transform(&x).unwrap();
    let std = z.std(0, false, false).unwrap().to_vec();
    assert!(std.iter().all(|s| (s - 1.0).abs() < 1e-4), "{std:?}");
    for (a, b) in scale.inverse(&z).unwrap().to_vec().iter().zip(x.to_vec()) {
        assert!((a - b).abs() <= 1e-4 * b.abs().max(1.0));
    }
    let constant = Standardise::fit(&Tensor::full([3, 2], 0.1)).unwrap();
    assert_eq!(constant.std, [1.0, 1.0]);
    assert!(scale.transform(&Tensor::zeros([2, 3])).is_err());
    assert!(Standardise::fit(&Tensor::zeros([0, 3])).is_err());
    let json = serde_json::to_string(&scale).unwrap();
    assert_eq!(serde_json::from_str::<Standardise>(&json).unwrap(), scale);
}

#[test]
fn mixtures_keep_the_sum_of_targets_and_the_mean_of_features() {
    let x = Tensor::uniform([6, 1, 8, 8], 0.0, 1.0, &mut rng(3));
    let data = Dataset::classification(x.clone(), vec![0, 1, 2, 0, 1, 2], ["a", "b", "c"]).unwrap();
    let batch = Batch::gather(&data, (0..6).collect()).unwrap();
    for seed in 0..10 {
        let mixup = Mixup::new(1.0).unwrap().apply(batch.clone(), &mut rng(seed)).unwrap();
        let cutmix = CutMix::new(1.0).unwrap().apply(batch.clone(), &mut rng(seed)).unwrap();
        for mixed in [&mixup, &cutmix] {
            let sums = mixed.soft_targets().unwrap().sum(1, false).unwrap().to_vec();
            assert!(sums.iter().all(|s| (s - 1.0).abs() < 1e-6));
        }
        let means = |t: &Tensor| t.mean_all().item().unwrap();
        assert!((means(&mixup.features) - means(&x)).abs() < 1e-5);
        // Every pixel of a cut mixture comes from the same place of some image.
        let (out, all) = (cutmix.features.to_vec(), x.to_vec());
        for (i, p) in out.iter().enumerate() {
            assert!((0..6).any(|j| all[j * 64 + i % 64] == *p));
        }
    }
    let bare = Batch::gather(&data.without_targets(), vec![0]).unwrap();
    assert!(Mixup::new(1.0).unwrap().apply(bare, &mut rng(0)).is_err());
}
