//! The peak memory that a report names. A binary of its own: measurements are of the
//! whole process.

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use tl_finetune::{FineTuneReport, Peak};
use tl_nn::{Flatten, Linear, Sequential, Tensor};
use tl_tensor::peak_bytes;

#[test]
fn a_way_does_not_hide_behind_an_earlier_one() {
    let rng = || ChaCha8Rng::seed_from_u64(0);
    let net = Sequential::new().push(Flatten).push(Linear::new(64, 10, &mut rng()));
    let (_, test) = tl_data::samples::digits().k_shot(20, &mut rng()).unwrap();
    let mut report = FineTuneReport::new("digits");
    let mut run = |way: &str, numbers: usize| {
        let train = || {
            drop(Tensor::<f32>::ones([numbers]));
            Ok(net.clone())
        };
        report.run(way, &test, train).unwrap();
    };
    run("large", 1 << 20);
    run("small", 1 << 16);
    // Beside another measurement there is none of its own, and no waiting for it.
    let ((), _) = peak_bytes(|| run("within", 1 << 16));
    let peak = |way: usize| report.ways[way].peak;
    assert_eq!(peak(0), Peak::Measured(4 << 20));
    assert_eq!(peak(1), Peak::Measured(4 << 16));
    assert_eq!(peak(2), Peak::Estimated(4 * 4 * 650));
}
