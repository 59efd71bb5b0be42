//! The public operations, read from the sources.

use std::{collections::BTreeSet, fs, path::Path};

/// Public functions under `src/ops` that have no derivative to check: they
/// make tensors, compare, or set options.
pub const WITHOUT_DERIVATIVE: &[&str] = &[
    // Making tensors, from nothing or from other data.
    "full",
    "zeros",
    "ones",
    "scalar",
    "eye",
    "arange",
    "linspace",
    "from_vec",
    "from_slice",
    "randn",
    "uniform",
    "from_array",
    "to_array",
    "view",
    "one_hot",
    // Comparisons and positions: constants.
    "eq",
    "ne",
    "lt",
    "le",
    "gt",
    "ge",
    "eq_scalar",
    "ne_scalar",
    "lt_scalar",
    "le_scalar",
    "gt_scalar",
    "ge_scalar",
    "any",
    "all",
    "argmax",
    "argmin",
    "argsort",
    "nonzero",
    "map_constant",
    // It negates the gradient on purpose; its own test is in tests/autodiff.rs.
    "gradient_reversal",
    // Options of convolutions, pools, attention, cross entropy, triangles.
    "new",
    "stride",
    "strides",
    "padding",
    "parts",
    "paddings",
    "dilation",
    "dilations",
    "groups",
    "sized",
    "count_padding",
    "bias",
    "keep",
    "causal",
    "scale",
    "weight",
    "ignore_index",
    "label_smoothing",
    "reduction",
    "lower",
    "upper",
    "transposed",
    "unit_diagonal",
];

/// Every public function under `src/ops`, also those that a macro's table makes.
pub fn public_operations() -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    visit(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src/ops"), &mut names);
    assert!(names.len() > 120, "the sources were not read: {names:?}");
    names
}

fn visit(folder: &Path, names: &mut BTreeSet<String>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            visit(&path, names);
        } else {
            let text = fs::read_to_string(&path).unwrap();
            let code = text.split("#[cfg(test)]").next().unwrap_or_default();
            names.extend(code.lines().filter_map(function));
            for table in ["unary! {", "binary! {", "comparison! {"] {
                for part in code.split(table).skip(1) {
                    let rows = part.lines().take_while(|line| *line != "}");
                    names.extend(rows.flat_map(row));
                }
            }
        }
    }
}

/// The name in `pub fn name(..` or `pub fn name<..`.
fn function(line: &str) -> Option<String> {
    let rest = line.trim_start().strip_prefix("pub fn ")?;
    let end = rest.find(['(', '<'])?;
    (!rest.starts_with('$')).then(|| rest[..end].to_owned())
}

/// The names in a row of a macro's table: `mul Mul;`, `exp Exp();`,
/// `eq eq_scalar ==;`.
fn row(line: &str) -> Vec<String> {
    let words: Vec<&str> =
        line.trim().split([' ', ';', '(']).filter(|word| !word.is_empty()).collect();
    let name =
        |w: &&str| w.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
    let indented = line.starts_with("    ") && !line.starts_with("     ");
    match words.as_slice() {
        [a, b, ..] if indented && name(a) && b.starts_with(|c: char| c.is_ascii_uppercase()) => {
            vec![(*a).to_owned()]
        }
        [a, b, op]
            if indented && name(a) && name(b) && "== != < <= > >=".split(' ').any(|o| o == *op) =>
        {
            vec![(*a).to_owned(), (*b).to_owned()]
        }
        _ => Vec::new(),
    }
}
