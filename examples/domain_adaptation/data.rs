//! Pairs of domains, from data in the binary or in a folder.

use crate::shared::Outcome;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::path::Path;
use transfer_learning::{
    dann::Domains,
    data::{
        Dataset,
        read::idx,
        samples,
        transform::{GaussianBlur, GaussianNoise, RandomAffine, Transform},
    },
    nn::{StateDict, Tensor},
};

/// Labelled source, target to adapt to, target to test on.
pub struct Pair {
    pub name: String,
    pub source: Dataset,
    pub target: Dataset,
    pub test: Dataset,
    /// The change of training batches, for the baseline and the bound too.
    pub augment: Option<RandomAffine>,
}

impl Pair {
    /// What a method gets when it learns from `source`: no target labels.
    pub fn domains(&self, source: &Dataset) -> Domains {
        let domains = Domains::new(source, &self.target);
        match self.augment {
            Some(augment) => domains.augment(augment),
            None => domains,
        }
    }
}

/// Moves, scales and slants as handwriting has them.
fn moves() -> RandomAffine {
    RandomAffine::new().translate(0.08).scale(0.85, 1.15).shear(10.0)
}

/// The generator of all splits and changes of data: the same for all seeds.
fn rng(of: u64) -> ChaCha8Rng {
    ChaCha8Rng::seed_from_u64(2026 + of)
}

/// Training and test part of the embedded images, or of those in a folder as
/// `tools/fetch-data` leaves them, at most so many of each.
fn images(folder: Option<&Path>, name: &str, most: usize) -> Outcome<(Dataset, Dataset)> {
    let Some(folder) = folder else {
        return Ok(if name == "mnist" { samples::mnist() } else { samples::fashion_mnist() });
    };
    let part = |part: &str| -> Outcome<Dataset> {
        let file = |kind: &str| {
            let plain = folder.join(name).join(format!("{part}-{kind}-ubyte"));
            if plain.is_file() { plain } else { plain.with_extension("gz") }
        };
        let classes = samples::mnist().0.class_names().to_vec();
        let data = idx::labelled_images(file("images-idx3"), file("labels-idx1"), classes)?;
        let first: Vec<usize> = (0..data.len().min(most)).collect();
        Ok(data.select(&first)?)
    };
    Ok((part("train")?, part("t10k")?))
}

/// The central 20x20 pixels averaged over areas of 2.5x2.5, as
/// `samples::mnist_8x8` does.
fn small(data: &Dataset) -> Outcome<Dataset> {
    let mut weights = vec![0.0_f32; 8 * 28];
    for area in 0..8 {
        let (from, to) = (4.0 + 2.5 * area as f32, 6.5 + 2.5 * area as f32);
        for pixel in 0..28 {
            let (low, high) = (pixel as f32, pixel as f32 + 1.0);
            weights[area * 28 + pixel] = (high.min(to) - low.max(from)).max(0.0) / 2.5;
        }
    }
    let areas = Tensor::from_vec(weights, [8, 28])?;
    Ok(data.with_features(&areas.matmul(data.features())?.matmul(&areas.t()?)?)?)
}

/// Half as many pixels a side: what the examples can afford.
fn halved(data: &Dataset) -> Outcome<Dataset> {
    let pooled = data.features().avg_pool2d(transfer_learning::tensor::Pool::new(2))?;
    Ok(data.with_features(&pooled)?)
}

/// MNIST and UCI's digits at 8x8, both ways.
pub fn digits(folder: Option<&Path>) -> Outcome<[Pair; 2]> {
    let (train, test) = images(folder, "mnist", 10_000)?;
    let (mnist, mnist_test) = (small(&train)?, small(&test)?);
    let uci = samples::digits();
    let (pool, uci_test) = uci.split(0.5, &mut rng(0))?;
    let there = Pair {
        name: "MNIST 8x8 -> UCI digits".to_owned(),
        source: mnist.clone(),
        target: pool,
        test: uci_test,
        augment: Some(moves().degrees(15.0)),
    };
    let back = Pair {
        name: "UCI digits -> MNIST 8x8".to_owned(),
        source: uci,
        target: mnist,
        test: mnist_test,
        augment: Some(moves().degrees(15.0)),
    };
    Ok([there, back])
}

/// Each image turned about its centre by an angle in degrees, bilinear.
fn turned(x: &Tensor, degrees: f32) -> Outcome<Tensor> {
    let [n, _, side, _] = *x.dims() else { return Err("images are [n, 1, side, side]".into()) };
    let (sin, cos) = degrees.to_radians().sin_cos();
    let (data, middle) = (x.to_vec(), (side as f32 - 1.0) / 2.0);
    let mut out = Vec::with_capacity(data.len());
    for image in data.chunks_exact(side * side).take(n) {
        let pixel = |r: isize, c: isize| {
            let inside = |v: isize| (0..side as isize).contains(&v);
            if inside(r) && inside(c) { image[r as usize * side + c as usize] } else { 0.0 }
        };
        for row in 0..side {
            for column in 0..side {
                let (y, x) = (row as f32 - middle, column as f32 - middle);
                let (r, c) = (cos * y - sin * x + middle, sin * y + cos * x + middle);
                let (r0, c0) = (r.floor(), c.floor());
                let (fr, fc) = (r - r0, c - c0);
                let (r0, c0) = (r0 as isize, c0 as isize);
                let top = (1.0 - fc) * pixel(r0, c0) + fc * pixel(r0, c0 + 1);
                let low = (1.0 - fc) * pixel(r0 + 1, c0) + fc * pixel(r0 + 1, c0 + 1);
                out.push((1.0 - fr) * top + fr * low);
            }
        }
    }
    Ok(Tensor::from_vec(out, *x.shape())?)
}

/// Upright digits to digits that are turned, at 14x14. Source and target are
/// different digits.
pub fn rotated(folder: Option<&Path>, degrees: f32) -> Outcome<Pair> {
    let (train, test) = images(folder, "mnist", 10_000)?;
    let (source, target) = train.split(0.5, &mut rng(1))?;
    let turn = |data: &Dataset| -> Outcome<Dataset> {
        halved(&data.with_features(&turned(data.features(), degrees)?)?)
    };
    Ok(Pair {
        name: format!("digits, 0 -> {degrees} degrees"),
        source: halved(&source)?,
        target: turn(&target)?,
        test: turn(&test)?,
        // No turns: they are the shift.
        augment: Some(moves()),
    })
}

/// Two photographs of scikit-learn (CC BY 2.0, a palace by danielbuechele and a daisy
/// by vultilion), `[3, 192, 192]` each, 0 to 1. They lie beside the tests of `tl-models`;
/// none where that folder is not there.
fn photographs() -> Outcome<Option<[Vec<f32>; 2]>> {
    let file = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../tl-models/tests/fixtures/efficientnet_photos.safetensors"
    );
    if !Path::new(file).is_file() {
        return Ok(None);
    }
    let pixels = StateDict::open(file)?.tensor("pixels")?.mul_scalar(1.0 / 255.0);
    Ok(Some([pixels.select(0, 0)?.to_vec(), pixels.select(0, 1)?.to_vec()]))
}

/// Pixels along a side of a photograph.
const PHOTO: usize = 192;

/// A patch of a photograph, `[3, 28, 28]`, from a random place.
fn patch(photos: &[Vec<f32>; 2], rng: &mut ChaCha8Rng) -> Vec<f32> {
    let photo = &photos[rng.random_range(0..2)];
    let (top, left) = (rng.random_range(0..=PHOTO - 28), rng.random_range(0..=PHOTO - 28));
    let mut out = Vec::with_capacity(3 * 28 * 28);
    for channel in photo.chunks_exact(PHOTO * PHOTO) {
        for row in channel.chunks_exact(PHOTO).skip(top).take(28) {
            out.extend_from_slice(&row[left..left + 28]);
        }
    }
    out
}

/// Digits on black to digits blended into photographs, `|patch - digit|` as in
/// MNIST-M, in colour, at 14x14. Source and target are different digits; each of the
/// target's is blended into three patches.
pub fn textured(folder: Option<&Path>) -> Outcome<Option<Pair>> {
    let Some(photos) = photographs()? else { return Ok(None) };
    let (train, test) = images(folder, "mnist", 10_000)?;
    let (source, target) = train.split(0.5, &mut rng(2))?;
    let blend = |data: &Dataset, of: u64, patches: usize| -> Outcome<Dataset> {
        let (mut rng, mut out) = (rng(of), Vec::new());
        let places: Vec<usize> = (0..data.len()).flat_map(|i| vec![i; patches]).collect();
        let data = data.select(&places)?;
        for digit in data.features().to_vec().chunks_exact(28 * 28) {
            let ground = patch(&photos, &mut rng);
            out.extend(ground.iter().zip(digit.iter().cycle()).map(|(g, d)| (g - d).abs()));
        }
        halved(&data.with_features(&Tensor::from_vec(out, [data.len(), 3, 28, 28])?)?)
    };
    let x = source.features();
    let grey = source.with_features(&Tensor::cat(&[x, x, x], 1)?)?;
    Ok(Some(Pair {
        name: "MNIST -> digits on photographs".to_owned(),
        source: halved(&grey)?,
        target: blend(&target, 3, 3)?,
        test: blend(&test, 4, 1)?,
        augment: Some(moves()),
    }))
}

/// Garments as they are, and three corruptions of them.
pub fn corrupted(folder: Option<&Path>) -> Outcome<Vec<Pair>> {
    let folder = folder.map(|f| (f, "fashion-mnist"));
    let (train, test) = match folder {
        Some((folder, name)) => images(Some(folder), name, 10_000)?,
        None => images(None, "fashion", 0)?,
    };
    let (source, target) = train.split(0.5, &mut rng(5))?;
    let noise = |x: &Tensor| -> Outcome<Tensor> {
        Ok(GaussianNoise::new(0.4).apply(x, &mut rng(6))?.clamp(0.0, 1.0))
    };
    let blur =
        |x: &Tensor| -> Outcome<Tensor> { Ok(GaussianBlur::new(2.5, 2.5).apply(x, &mut rng(7))?) };
    let contrast = |x: &Tensor| -> Outcome<Tensor> {
        let mean = x.mean([1, 2, 3], true)?;
        Ok(x.sub(&mean)?.mul_scalar(0.25).add(&mean)?.add_scalar(0.15))
    };
    type Change<'a> = &'a dyn Fn(&Tensor) -> Outcome<Tensor>;
    let kinds: [(&str, Change<'_>); 3] =
        [("noise", &noise), ("blur", &blur), ("contrast", &contrast)];
    let pair = |(name, change): (&str, Change<'_>)| -> Outcome<Pair> {
        let of = |data: &Dataset| -> Outcome<Dataset> {
            halved(&data.with_features(&change(data.features())?)?)
        };
        Ok(Pair {
            name: format!("Fashion-MNIST, clean -> {name}"),
            source: halved(&source)?,
            target: of(&target)?,
            test: of(&test)?,
            augment: None,
        })
    };
    kinds.into_iter().map(pair).collect()
}

/// Two moons of points in the plane (scikit-learn's form, centred), turned by an
/// angle in degrees.
pub fn moons(n: usize, degrees: f32, seed: u64) -> Outcome<Dataset> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let noise = Tensor::<f32>::randn([n, 2], &mut rng).to_vec();
    let (sin, cos) = degrees.to_radians().sin_cos();
    let (mut x, mut labels) = (Vec::with_capacity(2 * n), Vec::with_capacity(n));
    for i in 0..n {
        let turn = rng.random_range(0.0..std::f32::consts::PI);
        let (a, b) = match i % 2 {
            0 => (turn.cos(), turn.sin()),
            _ => (1.0 - turn.cos(), 0.5 - turn.sin()),
        };
        let (a, b) = (a - 0.5 + 0.1 * noise[2 * i], b - 0.25 + 0.1 * noise[2 * i + 1]);
        x.extend([cos * a - sin * b, sin * a + cos * b]);
        labels.push(i % 2);
    }
    Ok(Dataset::classification(Tensor::from_vec(x, [n, 2])?, labels, ["upper", "lower"])?)
}
