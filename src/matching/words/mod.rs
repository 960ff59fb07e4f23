//! Words read in a picture against the words that marks show.
//!
//! Pure spelling and boxes: it knows neither pictures nor assets. The caller keeps a list of marks and
//! gets back positions in it.

mod index;
mod ordinary;
mod phrases;
mod shared;
mod spelling;

pub use index::WordMarks;
pub use ordinary::is_common_word;
pub use shared::PictureWords;

/// A line of text that was read in a picture.
#[derive(Debug, Clone, PartialEq)]
pub struct ReadWord {
    /// What it says.
    pub text: String,
    /// How sure the reader is, `0..=1`.
    pub confidence: f32,
    /// Corners in pixels, in reading order: the text runs from the first to the second, the fourth
    /// lies below the first.
    pub quad: [[f32; 2]; 4],
}

/// A mark whose word stands in the picture, or nearly so.
#[derive(Debug, Clone, PartialEq)]
pub struct WordMatch {
    /// Position of the mark in the list; of several with the same spelling the first, see
    /// [`WordMarks::same_spelling`].
    pub mark: usize,
    /// The words in the picture, as read.
    pub text: String,
    /// Likeness of the spellings, `0..=1`: 1 less edits over the length of the longer; look-alike
    /// glyphs (0/O, 1/l/I, 5/S, …) are a quarter of an edit.
    pub similarity: f32,
    /// Same letters and digits; case, accents and punctuation aside.
    pub exact: bool,
    /// Letters added, left out, replaced or swapped, look-alikes not counted.
    pub edit_distance: usize,
    /// How sure the reader is of the words, `0..=1`.
    pub confidence: f32,
    /// The mark is an ordinary English word: without likeness to the picture it proves nothing.
    pub is_common_word: bool,
    /// Either the mark is part of a longer word ("STARBUCKSCOFFEE"), or the word a part of the mark
    /// ("STARB": hidden, bent or cut off).
    pub is_part: bool,
    /// Letters and digits of the mark; an ideograph counts twice.
    pub weight: usize,
    /// Where: corners in pixels around all boxes that take part.
    pub quad: [[f32; 2]; 4],
}

/// Evidence alone from here, if nothing speaks against it.
pub const STRONG: f32 = 0.75;
/// Matches below this are not reported.
const FLOOR: f32 = 0.5;
/// What an ordinary word is worth at most, just too little to stand alone.
const ORDINARY_STRENGTH: f32 = 0.7;
/// The same for marks of two letters, which are read into anything.
const TWO_LETTER_STRENGTH: f32 = 0.6;
/// Near misses are altered marks only when the mark is long enough for chance not to make them.
const MIN_ALTERED_WEIGHT: usize = 5;
/// An imitation is written to be read.
const MIN_ALTERED_CONFIDENCE: f32 = 0.7;
/// Shortest mark that is looked for inside a longer word.
const MIN_PART_WEIGHT: usize = 5;

impl WordMatch {
    /// What the match is worth as evidence, `0..=1`: similarity lowered for doubtful reading, for
    /// short marks and for ordinary words. From [`STRONG`] on it can stand alone.
    pub fn strength(&self) -> f32 {
        let trust = (0.4 + 0.7 * self.confidence).min(1.0);
        let limit = match (self.is_common_word, self.weight) {
            (_, ..=2) => TWO_LETTER_STRENGTH,
            (true, _) => ORDINARY_STRENGTH,
            (false, _) => 1.0,
        };
        self.similarity * trust * limit
    }

    /// Whether the word looks like an imitation of the mark ("ADIBAS"): one or two letters off a mark
    /// of at least five, clearly read, and no word of its own.
    pub fn near_miss(&self) -> bool {
        (1..=2).contains(&self.edit_distance)
            && !self.is_part
            && self.weight >= MIN_ALTERED_WEIGHT
            && self.confidence >= MIN_ALTERED_CONFIDENCE
    }
}

#[cfg(test)]
mod tests;
