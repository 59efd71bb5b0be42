//! A teacher's outputs for a data set, computed on several ranks.

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use tl_data::samples;
use tl_dist::{Error, Threads, map_rows};
use tl_distill::TeacherCache;
use tl_nn::{Act, Flatten, Linear, Sequential};

#[test]
fn shared_inference_gives_what_the_cache_holds() {
    let mut rng = ChaCha8Rng::seed_from_u64(4);
    let teacher = Sequential::new()
        .push(Flatten)
        .push(Linear::new(64, 32, &mut rng))
        .push(Act::Relu)
        .push(Linear::new(32, 10, &mut rng));
    let data = samples::digits();
    let cache = TeacherCache::compute(&[&teacher], &data).unwrap();
    for ranks in [1, 2, 4, 9] {
        let shared = Threads::run(ranks, |world| {
            map_rows(world, data.len(), 256, |rows| {
                let x = data.features().narrow(0, rows.start, rows.len())?.contiguous();
                tl_distill::outputs(&teacher, &x).map_err(|e| Error::Nn(tl_nn::Error::other(e)))
            })
        });
        for outputs in shared.unwrap() {
            assert_eq!(outputs.dims(), [1797, 10]);
            assert_eq!(outputs.to_vec(), cache.outputs()[0].to_vec(), "{ranks} ranks");
        }
    }
}
