//! Tables.

use super::embedded;
use crate::{
    Dataset,
    read::csv::{Csv, Missing},
};

macro_rules! table {
    ($name:literal) => {
        include_bytes!(concat!("../../data/", $name, ".csv.gz")).as_slice()
    };
}

fn classes(bytes: &[u8], target: &str) -> Dataset {
    embedded(Csv::new().parse(bytes).and_then(|table| table.dataset(target, Missing::Error)))
}

/// 150 flowers of three species by the length and width of sepal and petal in
/// cm (Fisher 1936).
pub fn iris() -> Dataset {
    classes(table!("iris"), "class")
}

/// 178 wines of three cultivars by 13 chemical measurements (Forina et al.).
/// The scales differ: see [`Standardise`](crate::transform::Standardise).
pub fn wine() -> Dataset {
    classes(table!("wine"), "class")
}

/// 569 tumours, malignant or benign, by 30 measurements of cell nuclei
/// (Wolberg, Street and Mangasarian 1995).
pub fn breast_cancer() -> Dataset {
    classes(table!("breast-cancer"), "class")
}

/// 101 animals of seven types by 15 attributes that are 0 or 1 and the number
/// of legs (Forsyth 1990), and the name of each animal.
pub fn zoo() -> (Dataset, Vec<String>) {
    let table = embedded(Csv::new().parse(table!("zoo")));
    let names = embedded(table.texts("name"));
    (embedded(table.without(&["name"]).and_then(|t| t.dataset("type", Missing::Error))), names)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn they_are_what_the_documentation_says() {
        let (animals, names) = zoo();
        for (data, n, features, classes) in [
            (iris(), 150, 4, 3),
            (wine(), 178, 13, 3),
            (breast_cancer(), 569, 30, 2),
            (animals.clone(), 101, 16, 7),
        ] {
            data.validate().unwrap();
            assert_eq!(
                (data.len(), data.sample_shape(), data.classes()),
                (n, [features].as_slice(), classes)
            );
            assert_eq!(data.feature_names().len(), features);
        }
        assert_eq!(names[0], "aardvark");
        assert_eq!(animals.class_names()[animals.labels().unwrap()[0]], "mammal");
        let legs = animals.feature_names().iter().position(|n| n == "legs").unwrap();
        assert_eq!(animals.features().to_vec()[legs], 4.0);
        assert_eq!(iris().class_names(), ["setosa", "versicolor", "virginica"]);
    }
}
