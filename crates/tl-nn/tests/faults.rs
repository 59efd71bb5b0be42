//! What a full disk, a folder that cannot be written, a file that was cut off and a
//! process that dies in the middle of a save leave behind: the old file, and an error
//! that names it.
//!
//! The system's limit on the size of a file stands for the full disk. A write beyond
//! it fails, or, where the signal that comes with it is not ignored, the process dies
//! there: both at a known byte.
#![cfg(unix)]

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use std::{
    os::unix::{fs::PermissionsExt, process::CommandExt, process::ExitStatusExt},
    path::{Path, PathBuf},
    process::{Command, ExitStatus, Stdio},
};
use tl_nn::{
    Adam, Error, Forward, Linear, ModuleExt, Optimizer, Reduction, Result, StateDict, Tensor,
    TrainReport, Trainer, Weight, loss,
};

/// 40 KiB of a number.
fn weights(value: f32) -> StateDict {
    let mut dict = StateDict::new();
    dict.insert("w", Weight::new(&Tensor::full([10, 1024], value)));
    dict
}

fn model() -> Linear {
    Linear::new(64, 32, &mut ChaCha8Rng::seed_from_u64(0))
}

/// A run whose checkpoint has about 24 KiB.
fn train(model: &mut Linear, path: &Path, epochs: usize) -> Result<TrainReport> {
    let x = Tensor::randn([8, 64], &mut ChaCha8Rng::seed_from_u64(1));
    let y = Tensor::ones([8, 32]);
    Trainer::new(Optimizer::new(Adam::new(1e-2)), epochs).checkpoint(path).resume().fit(
        model,
        |_| [Ok::<_, Error>((x.clone(), y.clone()))],
        |model, (x, y), cx| Ok(loss::mse(&model.forward(x, cx)?, y, Reduction::Mean)?),
    )
}

/// What the children of these tests do; nothing by itself. The error is written to
/// `path` with `.error` at its end.
#[test]
fn child() {
    let Ok(what) = std::env::var("FAULT") else { return };
    let path = PathBuf::from(std::env::var_os("FAULT_PATH").unwrap());
    let result = match what.as_str() {
        "save" => weights(2.0).save(&path),
        "train" => train(&mut model(), &path, 4).map(drop),
        other => panic!("no fault `{other}`"),
    };
    let text = match result {
        Ok(()) => "none".to_owned(),
        Err(error @ Error::Io { .. }) => error.to_string(),
        Err(other) => format!("another kind: {other:?}"),
    };
    let report = std::env::var_os("FAULT_REPORT").unwrap();
    std::fs::write(report, text).unwrap();
}

/// Runs the child, where no file may grow beyond so many blocks of 1,024 bytes (512
/// in some shells).
fn limited(what: &str, path: &Path, blocks: usize, dies: bool) -> (ExitStatus, String) {
    let report = tempfile::NamedTempFile::new().unwrap();
    let ignore = if dies { "" } else { "trap '' XFSZ; " };
    let status = Command::new("sh")
        .arg("-c")
        .arg(format!("{ignore}ulimit -c 0; ulimit -f {blocks}; exec \"$0\" child --exact"))
        .arg(std::env::current_exe().unwrap())
        .env("FAULT", what)
        .env("FAULT_PATH", path)
        .env("FAULT_REPORT", report.path())
        .stdout(Stdio::null())
        .status()
        .unwrap();
    (status, std::fs::read_to_string(report.path()).unwrap())
}

/// The names in the folder of a file.
fn beside(path: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(path.parent().unwrap()).unwrap();
    entries.map(|e| e.unwrap().file_name().into_string().unwrap()).collect()
}

#[test]
fn a_full_disk_is_an_error_and_the_old_weights_stay() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("net.safetensors");
    weights(1.0).save(&path).unwrap();
    for blocks in [1, 2, 8, 16] {
        let (status, error) = limited("save", &path, blocks, false);
        assert!(status.success(), "{blocks}: {status}");
        assert!(error.contains("net.safetensors"), "{blocks}: {error}");
        assert_eq!(StateDict::open(&path).unwrap(), weights(1.0), "{blocks}");
        // Nor does a part of the new file take up what room there is.
        assert_eq!(beside(&path), ["net.safetensors"], "{blocks}");
    }
    // With room enough the same child saves.
    let (_, error) = limited("save", &path, 1024, false);
    assert_eq!(error, "none");
    assert_eq!(StateDict::open(&path).unwrap(), weights(2.0));
}

#[test]
fn a_process_that_dies_while_it_saves_leaves_the_old_weights() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("net.safetensors");
    weights(1.0).save(&path).unwrap();
    for blocks in [1, 2, 8, 16] {
        let (status, error) = limited("save", &path, blocks, true);
        assert!(status.signal().is_some(), "{blocks}: {status}");
        assert_eq!(error, "", "{blocks}");
        assert_eq!(StateDict::open(&path).unwrap(), weights(1.0), "{blocks}");
    }
    // What is left of the dead is in no one's way.
    weights(2.0).save(&path).unwrap();
    assert_eq!(StateDict::open(&path).unwrap(), weights(2.0));
}

#[test]
fn a_run_goes_on_after_its_disk_was_full() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("run.safetensors");
    train(&mut model(), &path, 2).unwrap();
    let before = std::fs::read(&path).unwrap();
    for dies in [false, true] {
        let (status, error) = limited("train", &path, 4, dies);
        assert_eq!(status.success(), !dies, "{status}");
        assert!(dies || error.contains("run.safetensors"), "{error}");
        assert_eq!(std::fs::read(&path).unwrap(), before);
    }
    let (mut resumed, mut whole) = (model(), model());
    train(&mut resumed, &path, 4).unwrap();
    train(&mut whole, &folder.path().join("other.safetensors"), 4).unwrap();
    assert_eq!(resumed.state_dict(), whole.state_dict());
}

#[test]
fn a_checkpoint_cut_off_anywhere_is_refused_and_nothing_changes() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("run.safetensors");
    train(&mut model(), &path, 2).unwrap();
    let whole = std::fs::read(&path).unwrap();
    for cut in (0..whole.len()).step_by(397).chain([whole.len() - 1]) {
        std::fs::write(&path, &whole[..cut]).unwrap();
        let mut own = model();
        let error = train(&mut own, &path, 4).unwrap_err();
        assert!(matches!(error, Error::Format { .. }), "{cut}: {error:?}");
        assert!(error.to_string().contains("run.safetensors"), "{cut}: {error}");
        assert_eq!(own.state_dict(), model().state_dict(), "{cut}");
        assert_eq!(std::fs::read(&path).unwrap(), &whole[..cut], "{cut}");
    }
}

/// As someone to whom permissions apply: root, whom they do not stop, becomes nobody.
#[test]
fn a_folder_that_cannot_be_written_is_an_error_and_the_old_weights_stay() {
    let room = tempfile::tempdir().unwrap();
    let mode = |path: &Path, mode| {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    };
    mode(room.path(), 0o755);
    let (folder, program) = (room.path().join("locked"), room.path().join("program"));
    std::fs::create_dir(&folder).unwrap();
    std::fs::copy(std::env::current_exe().unwrap(), &program).unwrap();
    mode(&program, 0o755);
    let report = room.path().join("report");
    std::fs::write(&report, "").unwrap();
    mode(&report, 0o666);
    let path = folder.join("net.safetensors");
    weights(1.0).save(&path).unwrap();
    mode(&path, 0o644);
    mode(&folder, 0o555);

    let mut command = Command::new(&program);
    command.args(["child", "--exact"]).current_dir(room.path());
    command.env("FAULT", "save").env("FAULT_PATH", &path).env("FAULT_REPORT", &report);
    let may_write_anyway = tempfile::tempfile_in(&folder).is_ok();
    if may_write_anyway {
        command.uid(65_534);
    }
    let status = command.stdout(Stdio::null()).status().unwrap();
    let error = std::fs::read_to_string(&report).unwrap();
    let names = beside(&path);
    mode(&folder, 0o755);
    assert!(status.success(), "{status}");
    assert!(error.contains("net.safetensors"), "{error}");
    assert_eq!(names, ["net.safetensors"]);
    assert_eq!(StateDict::open(&path).unwrap(), weights(1.0));
}
