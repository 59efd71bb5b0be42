//! Tasks to practise on and tasks of unseen classes.

use crate::shared::Outcome;
use std::path::Path;
use transfer_learning::{
    data::{Dataset, samples},
    maml::{Tasks, split_classes},
};

pub struct Source {
    pub name: String,
    pub way: usize,
    /// Every sample of the classes to practise on.
    pub practice: Dataset,
    pub train: Tasks,
    pub test: Tasks,
}

impl Source {
    /// Garments, or the characters in a folder. Which garments are unseen
    /// changes with the seed.
    pub fn load(folder: Option<&Path>, shot: usize, seed: u64) -> Outcome<Self> {
        match folder {
            None => Self::garments(shot, seed),
            Some(folder) => Self::characters(folder, shot),
        }
    }

    fn garments(shot: usize, seed: u64) -> Outcome<Self> {
        let (first, second) = samples::fashion_mnist();
        let parts = split_classes(&first.concat(&second)?, &[5, 5], seed)?;
        Ok(Self {
            name: "garments (Fashion-MNIST)".to_owned(),
            way: 5,
            train: Tasks::from_labels(&parts[0])?.way(5).shot(shot).query(10),
            test: Tasks::from_labels(&parts[1])?.way(5).shot(shot).query(15),
            practice: parts[0].clone(),
        })
    }

    /// The paper's classes by quarter turns for training; unturned Katakana for
    /// testing.
    fn characters(folder: &Path, shot: usize) -> Outcome<Self> {
        let read = |name: &str| -> Outcome<Dataset> { load_characters(&folder.join(name)) };
        let (practice, unseen) = (read("images_train")?, read("images_katakana")?);
        Ok(Self {
            name: "characters (Omniglot)".to_owned(),
            way: 5,
            train: Tasks::from_labels(&practice)?.way(5).shot(shot).query(10).rotated()?,
            test: Tasks::from_labels(&unseen)?.way(5).shot(shot).query(15),
            practice,
        })
    }
}

/// All characters of all alphabets below a folder, dark strokes as 1.
#[cfg(feature = "image")]
fn load_characters(folder: &Path) -> Outcome<Dataset> {
    use transfer_learning::{data::read::image_folder::ImageFolder, tensor::Tensor};
    let root = folder.join("images_background");
    let root = if root.is_dir() { root } else { folder.to_owned() };
    let mut alphabets: Vec<_> = std::fs::read_dir(&root)
        .map_err(|e| format!("{}: {e}", root.display()))?
        .collect::<Result<Vec<_>, _>>()?
        .into_iter()
        .map(|entry| entry.path())
        .filter(|path| path.is_dir())
        .collect();
    alphabets.sort();
    let (mut features, mut labels, mut names) = (Vec::new(), Vec::new(), Vec::new());
    for alphabet in alphabets {
        let part = ImageFolder::new(28, 28).grey().read(&alphabet)?;
        labels.extend(part.labels()?.iter().map(|label| label + names.len()));
        let name = alphabet.file_name().unwrap_or_default().to_string_lossy().into_owned();
        names.extend(part.class_names().iter().map(|class| format!("{name} {class}")));
        features.push(part.features().neg().add_scalar(1.0));
    }
    let features = Tensor::cat(&features.iter().collect::<Vec<_>>(), 0)?;
    Ok(Dataset::classification(features, labels, names)?)
}

#[cfg(not(feature = "image"))]
fn load_characters(folder: &Path) -> Outcome<Dataset> {
    Err(format!("reading {} needs `--features image`", folder.display()).into())
}
