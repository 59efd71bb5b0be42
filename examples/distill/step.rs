//! What a step of training costs with a teacher's stored outputs, with the
//! teacher itself, and without; and what integers save.

use crate::{nets, shared::Outcome};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use std::time::Instant;
use transfer_learning::{
    data::Dataset,
    distill::{Distill, Int8Linear, Int8Network, Storage, TeacherCache, kd},
    nn::{
        AdamW, Conv2d, CrossEntropy, Ctx, Forward, Indices, Linear, ModuleExt, Optimizer,
        Sequential, Tensor,
    },
    tensor::Conv,
};

/// Something whose time counts.
type Work<'a> = &'a mut dyn FnMut() -> Outcome;

/// The median seconds of each, in turns, after one time for nothing.
fn medians<const N: usize>(times: usize, mut works: [Work<'_>; N]) -> Outcome<[f64; N]> {
    let mut all = [const { Vec::new() }; N];
    for i in 0..=times {
        for (work, seconds) in works.iter_mut().zip(&mut all) {
            let start = Instant::now();
            work()?;
            if i > 0 {
                seconds.push(start.elapsed().as_secs_f64());
            }
        }
    }
    Ok(all.map(|mut seconds| {
        seconds.sort_by(f64::total_cmp);
        seconds[seconds.len() / 2]
    }))
}

/// Prints all ratios.
pub fn run(quick: bool) -> Outcome {
    let times = if quick { 1 } else { 9 };
    let rng = &mut ChaCha8Rng::seed_from_u64(0);
    println!("A step of 128 samples, 800x800 student, 1200x1200 teacher:");
    let x = Tensor::uniform([2560, 1, 28, 28], 0.0, 1.0, rng);
    let labels: Vec<usize> = (0..2560).map(|i| i % 10).collect();
    let data = Dataset::classification(x, labels, (0..10).map(|d| d.to_string()))?;
    let mut teacher = nets::wide(1200, [0.0; 2], 1);
    teacher.freeze("**")?;
    let cache = TeacherCache::compute(&[&teacher], &data)?;
    let epoch = |way: &Distill, student: &mut Sequential| -> Outcome {
        way.clone().budget(1, 128).fit_stored(&cache, student, &data)?;
        Ok(())
    };
    let student = || nets::wide(800, [0.0; 2], 2);
    let (recipe, [mut alone, mut taught, mut own]) =
        (Distill::kd(20.0), [student(), student(), student()]);
    let few = data.features().narrow(0, 0, 128)?.contiguous();
    let y = Indices::from((0..128).map(|i| i % 10).collect::<Vec<_>>());
    let mut optimizer = Optimizer::new(AdamW::new(3e-3));
    let [plain, cached, live] = medians(
        times,
        [
            &mut || epoch(&recipe.without_teacher(), &mut alone),
            &mut || epoch(&recipe, &mut taught),
            &mut || {
                for _ in 0..20 {
                    let said = teacher.forward(&few, &mut Ctx::eval())?;
                    let logits = own.forward(&few, &mut Ctx::train(0))?;
                    let hard = CrossEntropy::new().loss(&logits, &y)?.mul_scalar(0.1);
                    let loss = hard.add(&kd(&logits, &said, 20.0)?.mul_scalar(0.9))?;
                    optimizer.step(&mut own, &loss.backward()?)?;
                }
                Ok(())
            },
        ],
    )?;
    let each = 1e3 / 20.0;
    println!("  labels alone    {:8.3} ms", plain * each);
    println!("  stored teacher  {:8.3} ms, {:.3} of it", cached * each, cached / plain);
    println!("  live teacher    {:8.3} ms, {:.3} of it", live * each, live / plain);
    let folder = std::env::temp_dir().join("tl-distill-step.safetensors");
    cache.save(&folder, Storage::F16)?;
    println!("  the file in half precision: {} bytes", std::fs::metadata(&folder)?.len());
    std::fs::remove_file(&folder)?;

    println!("Integers, ms in f32 and in int8:");
    let compare =
        |name: &str, exact: &dyn Fn() -> Outcome, small: &dyn Fn() -> Outcome| -> Outcome {
            let [a, b] = medians(15 * times, [&mut || exact(), &mut || small()])?;
            println!("  {name:36} {:8.3} {:8.3}  {:.2} times", a * 1e3, b * 1e3, a / b);
            Ok(())
        };
    for (rows, inputs, outputs) in
        [(1, 1200, 1200), (32, 1200, 1200), (128, 384, 1536), (1024, 768, 768)]
    {
        let mut layer = Linear::new(inputs, outputs, rng);
        layer.freeze("**")?;
        let x = Tensor::randn([rows, inputs], rng);
        let small = Int8Linear::new(&layer)?.calibrated(&x)?;
        let pass = |m: &dyn Fn(&mut Ctx) -> transfer_learning::nn::Result<Tensor>| -> Outcome {
            std::hint::black_box(m(&mut Ctx::eval())?);
            Ok(())
        };
        let name = format!("linear, {rows} x {inputs} to {outputs}");
        compare(&name, &|| pass(&|cx| layer.forward(&x, cx)), &|| {
            pass(&|cx| small.forward(&x, cx))
        })?;
    }
    let conv = |from, to, rng: &mut ChaCha8Rng| {
        Conv2d::new(from, to, 3, rng).options(Conv::new().padding(1))
    };
    let wide = Sequential::new().push(conv(64, 64, rng)).push(conv(64, 64, rng));
    let nets = [
        ("garment teacher", nets::teacher(0), 1, 28),
        ("tiny student", nets::tiny(0), 1, 28),
        ("1200x1200 perceptron", nets::wide(1200, [0.0; 2], 0), 1, 28),
        ("two convolutions 64 to 64, 28x28", wide, 64, 28),
    ];
    for (name, mut net, channels, size) in nets {
        net.freeze("**")?;
        for n in [1, 32] {
            let x = Tensor::uniform([n, channels, size, size], 0.0, 1.0, rng);
            let small = Int8Network::new(&net, &x)?;
            let run = |m: &dyn Fn(&mut Ctx) -> transfer_learning::nn::Result<Tensor>| -> Outcome {
                std::hint::black_box(m(&mut Ctx::eval())?);
                Ok(())
            };
            let name = format!("{name}, batch {n}");
            compare(&name, &|| run(&|cx| net.forward(&x, cx)), &|| {
                run(&|cx| small.forward(&x, cx))
            })?;
        }
    }
    Ok(())
}
