//! Words that stand on a registered picture and in a photo: of two flavours of one line only the right
//! one names its own.

use super::ReadWord;
use super::phrases::tokens;
use super::spelling::{Spelling, edits, likeness};

/// Shorter words are read into anything, and say little: of 1,020 pairs of packs of one line that words
/// tell apart, .925 are decided rightly, with words of four letters .892.
const MIN_WEIGHT: usize = 5;
/// Likeness from which two words are the same, misread.
const SAME: f32 = 0.6;

/// The words of a registered picture, each spelling once.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct PictureWords {
    spellings: Vec<Spelling>,
}

impl PictureWords {
    /// The words in `read` that are long enough to count; addresses and numbers are left out.
    pub fn of(read: &[ReadWord]) -> Self {
        let mut spellings: Vec<Spelling> = read
            .iter()
            .flat_map(tokens)
            .filter(|token| !token.is_address)
            .map(|token| Spelling::of_folded(token.folded))
            .filter(|spelling| spelling.weight() >= MIN_WEIGHT && !spelling.is_number())
            .collect();
        spellings.sort_by(|a, b| a.folded.cmp(&b.folded));
        spellings.dedup();
        Self { spellings }
    }

    /// Whether there is nothing to compare.
    pub fn is_empty(&self) -> bool {
        self.spellings.is_empty()
    }

    /// Letters of these words that `photo`'s words have too: each word's length times its likeness to
    /// the most similar of the other's, where that is similar enough. 0 when nothing is shared.
    pub fn shared_letters(&self, photo: &Self) -> f32 {
        let shared = self.spellings.iter().map(|mine| {
            let alike = photo
                .spellings
                .iter()
                .map(|other| likeness(mine, other, edits(mine, other)))
                .filter(|&likeness| likeness >= SAME)
                .fold(0.0, f32::max);
            alike * mine.weight() as f32
        });
        shared.sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(lines: &[&str]) -> PictureWords {
        let read: Vec<ReadWord> = lines
            .iter()
            .map(|line| ReadWord {
                text: (*line).to_owned(),
                confidence: 0.9,
                quad: [[0.0; 2]; 4],
            })
            .collect();
        PictureWords::of(&read)
    }

    #[test]
    fn the_flavour_that_is_named_shares_more() {
        let photo = words(&["Trop1cana", "GOLDEN GRAPEFRUIT", "grapefruit"]);
        let golden = words(&["TROPICANA", "Golden Grapefruit"]);
        let apple = words(&["TROPICANA", "Pressed Apple"]);
        let (right, wrong) = (golden.shared_letters(&photo), apple.shared_letters(&photo));
        assert!((8.0..9.0).contains(&wrong), "{wrong}");
        assert!((right - wrong - 16.0).abs() < 1e-4, "{right} {wrong}");
    }

    #[test]
    fn misread_words_count_for_less_and_other_words_not_at_all() {
        let photo = words(&["grapedruit", "orange"]);
        let shared = |line: &str| words(&[line]).shared_letters(&photo);
        assert!(
            (8.5..9.5).contains(&shared("grapefruit")),
            "{}",
            shared("grapefruit")
        );
        assert_eq!(shared("mandarin"), 0.0);
        assert_eq!(shared("ORANGE"), 6.0);
    }

    #[test]
    fn short_words_numbers_and_addresses_are_nothing_to_compare() {
        for line in [
            "the 1 l",
            "20050 31415",
            "www.example.com",
            "a@example.com",
            "",
        ] {
            assert!(words(&[line]).is_empty(), "{line}");
        }
        assert!(!words(&["Juice 1 l"]).is_empty());
    }

    #[test]
    fn a_word_counts_once_however_often_it_stands_there() {
        let once = words(&["Orange"]);
        assert_eq!(
            words(&["orange", "ORANGE juice"]).shared_letters(&once),
            6.0
        );
    }
}
