//! Characters of alphabets, from a folder.

use crate::shared::Outcome;
use std::path::Path;
use transfer_learning::data::Dataset;

/// Characters, and the alphabet of each.
pub struct Characters {
    pub data: Dataset,
    pub alphabet_of: Vec<usize>,
}

impl Characters {
    /// How many alphabets.
    pub fn alphabets(&self) -> usize {
        self.alphabet_of.last().map_or(0, |last| last + 1)
    }
}

/// All characters of the alphabets below a folder whose name is to be kept, 28x28, dark
/// strokes as 1.
#[cfg(feature = "image")]
pub fn read(folder: &Path, keep: impl Fn(&str) -> bool) -> Outcome<Characters> {
    use transfer_learning::{data::read::image_folder::ImageFolder, tensor::Tensor};
    let root = folder.join("images_background");
    let root = if root.is_dir() { root } else { folder.to_owned() };
    let mut folders: Vec<_> = std::fs::read_dir(&root)
        .map_err(|e| format!("{}: {e}", root.display()))?
        .collect::<Result<Vec<_>, _>>()?
        .into_iter()
        .map(|entry| entry.path())
        .filter(|path| path.is_dir())
        .filter(|path| keep(&path.file_name().unwrap_or_default().to_string_lossy()))
        .collect();
    folders.sort();
    if folders.is_empty() {
        return Err(format!("{}: no such alphabet there", root.display()).into());
    }
    let (mut features, mut labels, mut names) = (Vec::new(), Vec::new(), Vec::new());
    let mut alphabet_of = Vec::new();
    for (number, folder) in folders.iter().enumerate() {
        let part = ImageFolder::new(28, 28).grey().read(folder)?;
        labels.extend(part.labels()?.iter().map(|label| label + names.len()));
        let name = folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
        names.extend(part.class_names().iter().map(|class| format!("{name} {class}")));
        features.push(part.features().neg().add_scalar(1.0));
        alphabet_of.resize(names.len(), number);
    }
    let features = Tensor::cat(&features.iter().collect::<Vec<_>>(), 0)?;
    Ok(Characters { data: Dataset::classification(features, labels, names)?, alphabet_of })
}

#[cfg(not(feature = "image"))]
pub fn read(folder: &Path, _: impl Fn(&str) -> bool) -> Outcome<Characters> {
    Err(format!("reading {} needs `--features image`", folder.display()).into())
}
