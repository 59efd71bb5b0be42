//! A folder of pictures for those who have none at hand.

use crate::shared::Outcome;
use std::{
    fs,
    path::{Path, PathBuf},
};
use transfer_learning::data::samples;

/// Writes garments of Fashion-MNIST as `folder/<class>/<number>.png`, 30 of a
/// class, or 12 in a short run.
pub fn write(folder: &Path, quick: bool) -> Outcome<PathBuf> {
    let (train, _) = samples::fashion_mnist();
    let (labels, pixels) = (train.labels()?, train.features().to_vec());
    let &[_, height, width] = train.sample_shape() else { return Err("no pictures".into()) };
    let mut written = vec![0; train.classes()];
    for (picture, &label) in pixels.chunks_exact(height * width).zip(labels) {
        if written[label] == if quick { 12 } else { 30 } {
            continue;
        }
        let class = folder.join(train.class_names()[label].replace('/', "-"));
        fs::create_dir_all(&class)?;
        let bytes = picture.iter().map(|p| (p * 255.0) as u8).collect();
        let picture = image::GrayImage::from_raw(width as u32, height as u32, bytes)
            .ok_or("a picture of another size")?;
        picture.save(class.join(format!("{:02}.png", written[label])))?;
        written[label] += 1;
    }
    Ok(folder.to_owned())
}
