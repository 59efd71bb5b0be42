//! A rank dies; the job starts again on other ranks and gives the same bits.

mod common;

use common::{DETERMINISTIC, Setting, train};
use tl_dist::{Collective, Error, Reduction, Result, Solo, Threads};

/// Trains on `ranks`, of which `dies` fails, then goes on with `later` ranks.
fn interrupted(ranks: usize, dies: (usize, usize), later: usize) -> (Vec<u32>, Vec<u64>) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("run.safetensors");
    let setting = Setting { checkpoint: Some(&path), ..Setting::new(DETERMINISTIC) };
    let killed =
        Setting { dies: Some(dies), checkpoint: Some(&path), ..Setting::new(DETERMINISTIC) };
    let error = Threads::run(ranks, |world| train(world, &killed)).unwrap_err();
    assert!(error.to_string().contains("the power went out"), "{error}");
    assert!(path.exists());
    Threads::run(later, |world| train(world, &setting)).unwrap().remove(0)
}

#[test]
fn a_run_goes_on_with_other_ranks_bit_for_bit() {
    let whole = train(&Solo, &Setting::new(DETERMINISTIC)).unwrap();
    // 5 steps an epoch, a checkpoint every 2: in an epoch and after one.
    for (ranks, dies, later) in [(4, (3, 3), 2), (2, (0, 7), 4), (4, (1, 9), 1), (1, (0, 4), 3)] {
        assert_eq!(interrupted(ranks, dies, later), whole, "{ranks} ranks, then {later}");
    }
}

#[test]
fn only_rank_0_keeps_a_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("run.safetensors");
    let setting = Setting { checkpoint: Some(&path), ..Setting::new(DETERMINISTIC) };
    Threads::run(3, |world| train(world, &setting)).unwrap();
    let files: Vec<_> = std::fs::read_dir(folder.path()).unwrap().collect();
    assert_eq!(files.len(), 1);
}

#[test]
fn another_number_of_micro_shards_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("run.safetensors");
    let with = |shards| Setting {
        checkpoint: Some(&path),
        ..Setting::new(Reduction::Deterministic { shards })
    };
    train(&Solo, &with(8)).unwrap();
    let error = Threads::run(2, |world| train(world, &with(4))).unwrap_err();
    assert!(error.to_string().contains("shards is 4; expected 8"), "{error}");
}

#[test]
fn a_damaged_checkpoint_is_an_error_on_all_ranks() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("run.safetensors");
    std::fs::write(&path, b"not a checkpoint").unwrap();
    let setting = Setting { checkpoint: Some(&path), ..Setting::new(DETERMINISTIC) };
    let errors = Threads::run::<_, Error>(2, |world| Ok(train(world, &setting).is_err()));
    assert_eq!(errors.unwrap(), [true, true]);
}

#[test]
fn the_others_learn_who_died() {
    let setting = Setting { dies: Some((1, 2)), ..Setting::new(DETERMINISTIC) };
    let seen = Threads::run::<_, Error>(3, |world| {
        let result: Result<_> = train(world, &setting);
        Ok((world.rank(), result.unwrap_err().to_string()))
    });
    for (rank, message) in seen.unwrap() {
        let expected =
            if rank == 1 { "the power went out" } else { "left while the others were in" };
        assert!(message.contains(expected), "{rank}: {message}");
    }
}
