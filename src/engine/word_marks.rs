//! Which words stand for which assets.

use std::collections::HashMap;

use crate::domain::{Asset, AssetId};
use crate::matching::words::{ReadWord, WordMarks, WordMatch, is_common_word};
use crate::ocr::Word;

/// Letters that a part of a brand's name must have to stand for the brand.
const MIN_PART_CHARS: usize = 4;

/// A word of the photo that comes close to a word mark of an asset.
#[derive(Debug, Clone, PartialEq)]
pub struct FoundWord {
    /// The word mark.
    pub mark: String,
    /// How the word compares with it.
    pub found: WordMatch,
}

/// The word marks of all assets.
#[derive(Debug, Default)]
pub(super) struct AssetWords {
    marks: WordMarks,
    /// For each mark the words themselves and whose they are.
    owners: Vec<(String, AssetId)>,
}

impl AssetWords {
    pub fn new<'a>(assets: impl Iterator<Item = &'a Asset>) -> Self {
        let mut owners: Vec<(String, AssetId)> = assets
            .flat_map(|asset| words_of(asset).into_iter().map(|word| (word, asset.id)))
            .collect();
        // Of a map's order nothing may remain.
        owners.sort();
        let words: Vec<&str> = owners.iter().map(|(word, _)| word.as_str()).collect();
        Self {
            marks: WordMarks::new(&words),
            owners,
        }
    }

    /// The strongest match of each asset.
    pub fn matches(&self, words: &[Word]) -> HashMap<AssetId, FoundWord> {
        let mut best = HashMap::new();
        // Strongest first: what comes first for an asset stays.
        for found in self.marks.matches(&as_read(words)) {
            for &position in self.marks.same_spelling(found.mark) {
                let (mark, asset) = &self.owners[position];
                best.entry(*asset).or_insert_with(|| FoundWord {
                    mark: mark.clone(),
                    found: found.clone(),
                });
            }
        }
        best
    }
}

/// What the reader says, as the comparison of words takes it.
pub(super) fn as_read<'a>(words: impl IntoIterator<Item = &'a Word>) -> Vec<ReadWord> {
    words
        .into_iter()
        .map(|word| ReadWord {
            text: word.text.clone(),
            confidence: word.confidence,
            quad: word.quad,
        })
        .collect()
}

/// What is registered as word mark, the brand's name, and those parts of a longer name that are no
/// ordinary words: of "Oatly Natural Oatghurt" both ends.
///
/// Not the asset's name: it is often a file's.
fn words_of(asset: &Asset) -> Vec<String> {
    let brand = asset.draft.brand.replace(['-', '_'], " ");
    let mut words = asset.draft.word_marks.clone();
    let is_telling = |part: &&str| part.chars().count() >= MIN_PART_CHARS && !is_common_word(part);
    words.extend(
        brand
            .split_whitespace()
            .filter(is_telling)
            .map(str::to_owned),
    );
    words.push(brand);
    words.sort();
    words.dedup();
    words
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{AssetDraft, AssetKind};

    fn asset(id: i64, brand: &str, word_marks: &[&str]) -> Asset {
        let mut draft = AssetDraft::new(brand, "IMG_1", AssetKind::Logo);
        draft.word_marks = word_marks.iter().map(|&w| w.to_owned()).collect();
        Asset {
            id: AssetId(id),
            draft,
            enabled: true,
            n_pictures: 1,
            created_at: String::new(),
        }
    }

    fn word(text: &str) -> Word {
        Word {
            text: text.to_owned(),
            confidence: 0.98,
            quad: [[0.0, 0.0], [90.0, 0.0], [90.0, 20.0], [0.0, 20.0]],
        }
    }

    #[test]
    fn telling_parts_of_a_name_stand_for_it_and_ordinary_ones_do_not() {
        let words = words_of(&asset(1, "Oatly-Natural-Oatghurt", &[]));
        assert_eq!(words, ["Oatghurt", "Oatly", "Oatly Natural Oatghurt"]);
    }

    #[test]
    fn a_word_is_found_for_every_asset_that_has_it() {
        let assets = [
            asset(1, "Zumbra", &[]),
            asset(2, "Zumbra", &["Кварц"]),
            asset(3, "Other", &[]),
        ];
        let words = AssetWords::new(assets.iter());
        let found = words.matches(&[word("ZUMBRA")]);
        assert!(found[&AssetId(1)].found.exact && found[&AssetId(2)].found.exact);
        assert!(!found.contains_key(&AssetId(3)));
        assert!(words.matches(&[word("unrelated")]).is_empty());
    }
}
