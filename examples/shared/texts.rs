//! Texts that `tools/fetch-data` brings: rated snippets, and messages of news groups.

use super::Outcome;
use std::path::Path;

/// A snippet of a review or the like that twenty people rated, -4 to 4 (Hutto and
/// Gilbert 2014).
pub struct Rated {
    /// Snippets of one document share this.
    pub document: String,
    /// The mean of the ratings.
    pub rating: f64,
    /// What was rated.
    pub text: String,
}

impl Rated {
    /// Bad (0) or good (1); neither within 0.5 of 0.
    pub fn polarity(&self) -> Option<usize> {
        (self.rating.abs() > 0.5).then_some(usize::from(self.rating > 0.0))
    }

    /// One document in four is for testing, with all of its snippets.
    pub fn for_testing(&self) -> bool {
        let hash = |h: u64, b| h.wrapping_mul(31) + u64::from(b);
        self.document.bytes().fold(7, hash) % 4 == 0
    }
}

/// Tab-separated lines of an identifier (the document's before `_`), a rating and a
/// text. Lines with less are left out.
pub fn rated(file: &Path) -> Outcome<Vec<Rated>> {
    let mut all = Vec::new();
    for (number, line) in text(file)?.lines().enumerate() {
        let fields: Vec<&str> = line.splitn(3, '\t').map(str::trim).collect();
        let [id, rating, text] = fields[..] else { continue };
        let wrong = |e| format!("{}, line {}: {e}", file.display(), number + 1);
        let document = id.split('_').next().unwrap_or(id).to_owned();
        let rating = rating.parse().map_err(wrong)?;
        if !text.is_empty() {
            all.push(Rated { document, rating, text: text.to_owned() });
        }
    }
    Ok(all)
}

/// Words that carriers and mail programs leave: they tell who wrote, not what.
const TRACES: [&str; 14] = [
    "edu", "com", "org", "net", "gov", "uk", "ca", "cs", "writes", "article", "wrote", "subject",
    "email", "mail",
];

/// A message of 20 Newsgroups.
pub struct Message {
    /// Such as `rec.autos`.
    pub group: String,
    /// At most 80 words.
    pub text: String,
}

/// Lines of a group and a message, separated by a tab. They are one line of words each,
/// so the subject cannot be told from the text: the first twelve words, where it stands,
/// are cut off, and with them most of it. Words of mail addresses are cut out;
/// quotations and signatures stay, so some of the label still leaks. What has fewer
/// than ten words then is left out.
pub fn messages(file: &Path) -> Outcome<Vec<Message>> {
    let mut all = Vec::new();
    for line in text(file)?.lines() {
        let Some((group, message)) = line.split_once('\t') else { continue };
        let words = message.split_whitespace().skip(12).filter(|w| !TRACES.contains(w));
        let words: Vec<&str> = words.take(80).collect();
        if words.len() >= 10 {
            all.push(Message { group: group.to_owned(), text: words.join(" ") });
        }
    }
    Ok(all)
}

fn text(file: &Path) -> Outcome<String> {
    let bytes = std::fs::read(file).map_err(|e| format!("{}: {e}", file.display()))?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}
