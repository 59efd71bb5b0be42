//! BERT's tokenizer.

use std::{collections::HashMap, path::Path};
use tl_nn::{Error, Result};
use unicode_normalization::UnicodeNormalization;
use unicode_properties::{GeneralCategory, GeneralCategoryGroup, UnicodeGeneralCategory};

/// BERT's tokenizer: splits at white space and punctuation, around every CJK
/// character, then each word greedily into the longest pieces of a vocabulary
/// (Schuster and Nakajima 2012). An uncased one makes letters small and takes
/// accents off first.
///
/// ```
/// use tl_models::WordPiece;
/// let vocab = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "eat", "##ing", "!"];
/// let tokenizer = WordPiece::new(vocab.map(String::from), true)?;
/// assert_eq!(tokenizer.encode("Éating!", 128), [2, 4, 5, 6, 3]);
/// # Ok::<(), tl_nn::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct WordPiece {
    ids: HashMap<String, usize>,
    uncased: bool,
    pad: usize,
    unknown: usize,
    first: usize,
    last: usize,
}

/// Longer words are unknown, as in the original.
const LONGEST_WORD: usize = 100;

impl WordPiece {
    /// A tokenizer with this vocabulary; the place of a piece is its id.
    ///
    /// # Errors
    /// `[PAD]`, `[UNK]`, `[CLS]` or `[SEP]` is not in it.
    pub fn new(vocabulary: impl IntoIterator<Item = String>, uncased: bool) -> Result<Self> {
        let ids: HashMap<String, usize> =
            vocabulary.into_iter().enumerate().map(|(i, piece)| (piece, i)).collect();
        let special = |piece: &str| {
            ids.get(piece).copied().ok_or_else(|| {
                let got = format!("one of {} pieces without {piece}", ids.len());
                Error::argument("WordPiece", "vocabulary", got, "the `vocab.txt` of a BERT model")
            })
        };
        let (pad, unknown) = (special("[PAD]")?, special("[UNK]")?);
        let (first, last) = (special("[CLS]")?, special("[SEP]")?);
        Ok(Self { ids, uncased, pad, unknown, first, last })
    }

    /// Reads a `vocab.txt`: a piece on each line.
    ///
    /// # Errors
    /// It cannot be read, or is not one.
    pub fn open(path: impl AsRef<Path>, uncased: bool) -> Result<Self> {
        let path = path.as_ref();
        let text = std::fs::read_to_string(path)
            .map_err(|source| Error::Io { path: path.to_owned(), source })?;
        Self::new(text.lines().map(str::to_owned), uncased)
    }

    /// The id for padding.
    pub fn pad_id(&self) -> usize {
        self.pad
    }

    /// The ids of a text between `[CLS]` and `[SEP]`, at most `longest` in
    /// all (never fewer than these two).
    pub fn encode(&self, text: &str, longest: usize) -> Vec<usize> {
        let mut ids = vec![self.first];
        let room = longest.saturating_sub(1).max(1);
        for word in self.words(text) {
            if ids.len() >= room {
                break;
            }
            self.pieces(&word, &mut ids);
        }
        ids.truncate(room);
        ids.push(self.last);
        ids
    }

    fn words(&self, text: &str) -> Vec<String> {
        let clean = text.chars().filter_map(|c| match c {
            '\t' | '\n' | '\r' => Some(' '),
            '\0' | '\u{fffd}' => None,
            c if c.general_category_group() == GeneralCategoryGroup::Other => None,
            c if c.is_whitespace() => Some(' '),
            c => Some(c),
        });
        let spaced = clean.flat_map(|c| {
            let around = is_cjk(c).then_some(' ');
            around.into_iter().chain([c]).chain(around)
        });
        let text: String = if self.uncased {
            let marks = |c: &char| c.general_category() != GeneralCategory::NonspacingMark;
            spaced.nfd().filter(marks).flat_map(char::to_lowercase).collect()
        } else {
            spaced.collect()
        };
        let mut words = Vec::new();
        for part in text.split_whitespace() {
            let mut word = String::new();
            for c in part.chars() {
                if is_punctuation(c) {
                    words.extend((!word.is_empty()).then(|| std::mem::take(&mut word)));
                    words.push(c.to_string());
                } else {
                    word.push(c);
                }
            }
            words.extend((!word.is_empty()).then_some(word));
        }
        words
    }

    fn pieces(&self, word: &str, ids: &mut Vec<usize>) {
        let ends: Vec<usize> = word.char_indices().map(|(i, c)| i + c.len_utf8()).collect();
        let before = ids.len();
        let mut start = 0;
        while start < word.len() && ends.len() <= LONGEST_WORD {
            let longest = ends.iter().rev().take_while(|&&end| end > start).find_map(|&end| {
                let piece = &word[start..end];
                let id = match start {
                    0 => self.ids.get(piece),
                    _ => self.ids.get(&format!("##{piece}")),
                };
                id.map(|&id| (id, end))
            });
            let Some((id, end)) = longest else { break };
            ids.push(id);
            start = end;
        }
        if start < word.len() {
            ids.truncate(before);
            ids.push(self.unknown);
        }
    }
}

fn is_punctuation(c: char) -> bool {
    c.is_ascii_punctuation() || c.general_category_group() == GeneralCategoryGroup::Punctuation
}

fn is_cjk(c: char) -> bool {
    matches!(u32::from(c),
        0x4e00..=0x9fff | 0x3400..=0x4dbf | 0x20000..=0x2a6df | 0x2a700..=0x2b73f
        | 0x2b740..=0x2b81f | 0x2b820..=0x2ceaf | 0xf900..=0xfaff | 0x2f800..=0x2fa1f)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tokenizer() -> WordPiece {
        let vocab = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "un", "##able", "a", "中", ",", "##b"];
        WordPiece::new(vocab.map(String::from), true).unwrap()
    }

    #[test]
    fn words_split_into_the_longest_pieces() {
        let t = tokenizer();
        assert_eq!(t.encode("Unable, AB", 99), [2, 4, 5, 8, 6, 9, 3]);
        assert_eq!(t.encode("a中a\u{0}\n", 99), [2, 6, 7, 6, 3]);
        assert_eq!(t.encode("unx", 99), [2, 1, 3]);
        assert_eq!(t.encode("", 99), [2, 3]);
        assert_eq!(t.encode(&"a".repeat(101), 999), [2, 1, 3]);
    }

    #[test]
    fn long_texts_are_cut_before_the_last_token() {
        assert_eq!(tokenizer().encode("a a a a", 4), [2, 6, 6, 3]);
        assert_eq!(tokenizer().encode("a a", 0), [2, 3]);
    }

    #[test]
    fn a_vocabulary_without_special_tokens_is_refused() {
        let error = WordPiece::new(["a".to_owned()], true).unwrap_err().to_string();
        assert!(error.contains("[PAD]"), "{error}");
    }
}
