//! Folders of images: one folder a class, as torchvision's `ImageFolder`.

use crate::{Dataset, Error, Result};
use image::{DynamicImage, ImageReader, imageops::FilterType};
use std::path::{Path, PathBuf};
use tl_tensor::{Shape, Tensor};

const FORMAT: &str = "image";
/// No side of an image may be longer, so that a small file cannot ask for
/// gigabytes.
const MAX_SIDE: u32 = 16_384;

/// How the images become features of one shape.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ImageFolder {
    size: [usize; 2],
    grey: bool,
}

impl ImageFolder {
    /// Colour images, resized to `height` x `width` (bilinear, the whole image,
    /// whatever its proportions).
    pub fn new(height: usize, width: usize) -> Self {
        Self { size: [height, width], grey: false }
    }

    /// One channel, by the luma of ITU-R BT.709.
    #[must_use]
    pub fn grey(mut self) -> Self {
        self.grey = true;
        self
    }

    /// Reads `folder/<class>/<image>` for all `.png`, `.jpg` and `.jpeg` files:
    /// features `[n, channels, height, width]`, 0 to 1; classes are the folders
    /// in alphabetical order. Files whose names begin with a dot are left out.
    ///
    /// # Errors
    /// A folder that cannot be read or has no class; a class without images; a
    /// file that is damaged or larger than 16,384 pixels a side.
    pub fn read(&self, folder: impl AsRef<Path>) -> Result<Dataset> {
        let folder = folder.as_ref();
        self.check()?;
        let mut classes = Vec::new();
        let (mut files, mut labels) = (Vec::new(), Vec::new());
        for class in entries(folder, Path::is_dir)? {
            let images = entries(&class, |file| file.is_file() && is_image(file))?;
            if images.is_empty() {
                let problem = "holds no .png, .jpg or .jpeg file";
                return Err(Error::malformed("image folder", problem).at(&class));
            }
            labels.extend(std::iter::repeat_n(classes.len(), images.len()));
            files.extend(images);
            classes.push(name(&class));
        }
        if classes.is_empty() {
            let problem = "holds no folder; expected one for each class";
            return Err(Error::malformed("image folder", problem).at(folder));
        }
        Dataset::classification(self.tensor(&self.decode_all(&files)?)?, labels, classes)
    }

    /// Reads one image as [`read`](Self::read) does: `[1, channels, height,
    /// width]`, 0 to 1.
    ///
    /// # Errors
    /// A file that is not there, is damaged or larger than 16,384 pixels a side.
    pub fn read_one(&self, file: impl AsRef<Path>) -> Result<Tensor> {
        self.check()?;
        self.tensor(&[self.decode(file.as_ref())?])
    }

    fn check(&self) -> Result<()> {
        if self.size.iter().any(|&side| side == 0 || side > MAX_SIDE as usize) {
            let expected = format!("1 to {MAX_SIDE} pixels a side");
            return Err(Error::argument("image folder", "size", self.size, expected));
        }
        Ok(())
    }

    fn tensor(&self, images: &[Vec<f32>]) -> Result<Tensor> {
        let [height, width] = self.size;
        let channels = if self.grey { 1 } else { 3 };
        let shape = Shape::new(&[images.len(), channels, height, width])?;
        Ok(Tensor::from_vec(images.concat(), shape)?)
    }

    #[cfg(feature = "rayon")]
    fn decode_all(&self, files: &[PathBuf]) -> Result<Vec<Vec<f32>>> {
        use rayon::prelude::*;
        files.par_iter().map(|file| self.decode(file)).collect()
    }

    #[cfg(not(feature = "rayon"))]
    fn decode_all(&self, files: &[PathBuf]) -> Result<Vec<Vec<f32>>> {
        files.iter().map(|file| self.decode(file)).collect()
    }

    fn decode(&self, file: &Path) -> Result<Vec<f32>> {
        let image = open(file).map_err(|e| e.at(file))?;
        let [height, width] = self.size.map(|s| s as u32);
        let image = image.resize_exact(width, height, FilterType::Triangle);
        let (bytes, channels) = if self.grey {
            (image.into_luma8().into_raw(), 1)
        } else {
            (image.into_rgb8().into_raw(), 3)
        };
        let pixels = bytes.len() / channels;
        let mut planes = vec![0.0; bytes.len()];
        for (i, &byte) in bytes.iter().enumerate() {
            planes[(i % channels) * pixels + i / channels] = f32::from(byte) / 255.0;
        }
        Ok(planes)
    }
}

fn open(file: &Path) -> Result<DynamicImage> {
    let mut reader = ImageReader::open(file)?.with_guessed_format()?;
    let mut limits = image::Limits::default();
    (limits.max_image_width, limits.max_image_height) = (Some(MAX_SIDE), Some(MAX_SIDE));
    reader.limits(limits);
    reader.decode().map_err(|e| Error::malformed(FORMAT, e.to_string()))
}

fn is_image(file: &Path) -> bool {
    let known =
        |e: &std::ffi::OsStr| ["png", "jpg", "jpeg"].iter().any(|k| e.eq_ignore_ascii_case(k));
    file.extension().is_some_and(known)
}

fn name(path: &Path) -> String {
    path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default()
}

/// What is in a folder and passes, sorted by name, without hidden files.
fn entries(folder: &Path, passes: impl Fn(&Path) -> bool) -> Result<Vec<PathBuf>> {
    let mut all = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(|e| Error::from(e).at(folder))? {
        let path = entry.map_err(|e| Error::from(e).at(folder))?.path();
        if !name(&path).starts_with('.') && passes(&path) {
            all.push(path);
        }
    }
    all.sort();
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;
    use image::{Rgb, RgbImage};

    #[test]
    fn classes_are_folders_and_damage_is_named() {
        let root = tempfile::tempdir().unwrap();
        for (class, colour) in [("red", [255, 0, 0]), ("blue", [0, 0, 255])] {
            let folder = root.path().join(class);
            std::fs::create_dir(&folder).unwrap();
            for i in 0..2 {
                RgbImage::from_pixel(6, 4, Rgb(colour))
                    .save(folder.join(format!("{i}.png")))
                    .unwrap();
            }
            std::fs::write(folder.join("notes.txt"), "x").unwrap();
        }
        let data = ImageFolder::new(2, 3).read(root.path()).unwrap();
        assert_eq!(data.class_names(), ["blue", "red"]);
        assert_eq!(data.features().dims(), [4, 3, 2, 3]);
        let first = data.features().to_vec();
        assert_eq!((first[0], first[12], first[17]), (0.0, 1.0, 1.0));
        let grey = ImageFolder::new(2, 3).grey().read(root.path()).unwrap();
        assert_eq!(grey.features().dims(), [4, 1, 2, 3]);
        let one = ImageFolder::new(2, 3).read_one(root.path().join("blue/0.png")).unwrap();
        assert_eq!(one.to_vec(), first[..18]);
        let e = ImageFolder::new(2, 3).read_one(root.path().join("no.png")).unwrap_err();
        assert!(e.to_string().contains("no.png"), "{e}");

        std::fs::write(root.path().join("red/bad.jpg"), b"not an image").unwrap();
        let e = ImageFolder::new(2, 3).read(root.path()).unwrap_err().to_string();
        assert!(e.contains("bad.jpg"), "{e}");
        std::fs::create_dir(root.path().join("empty")).unwrap();
        let e = ImageFolder::new(2, 3).read(root.path()).unwrap_err().to_string();
        assert!(e.contains("empty"), "{e}");
        assert!(ImageFolder::new(0, 3).read(root.path()).is_err());
        assert!(ImageFolder::new(2, 3).read(root.path().join("red")).is_err());
    }
}
