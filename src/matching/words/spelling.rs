//! Spelling: what two words have in common once case, accents, punctuation and look-alikes are gone.

use unicode_normalization::UnicodeNormalization;

/// A word reduced to what a reader would call the same word.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Spelling {
    /// Lower case letters and digits, compatibility forms and Latin accents removed.
    pub folded: String,
    /// `folded` with glyphs that cameras and imitators confuse (0/o, 1/l/i, 5/s, …) made equal.
    pub skeleton: String,
    /// Characters of `skeleton`.
    pub n_chars: usize,
}

impl Spelling {
    pub fn of(text: &str) -> Self {
        Self::of_folded(fold(text))
    }

    /// The spelling of letters that [`fold`] gave.
    pub fn of_folded(folded: String) -> Self {
        let skeleton = skeleton(&folded);
        Self {
            n_chars: skeleton.chars().count(),
            folded,
            skeleton,
        }
    }

    /// How much the word says: an ideograph counts as two letters.
    pub fn weight(&self) -> usize {
        self.folded
            .chars()
            .map(|c| 1 + usize::from(is_ideograph(c)))
            .sum()
    }

    pub fn is_ideographic(&self) -> bool {
        !self.folded.is_empty() && self.folded.chars().all(is_ideograph)
    }

    pub fn is_number(&self) -> bool {
        self.folded.chars().all(|c| c.is_numeric())
    }
}

/// Lower case letters and digits of `text`, without Latin, Greek or Cyrillic accents.
pub(super) fn fold(text: &str) -> String {
    text.chars()
        // Compatibility decomposition would turn ™ into the letters tm.
        .filter(|c| !matches!(c, '™' | '℠' | '®' | '©' | '℗'))
        .nfkd()
        .filter(|c| !('\u{300}'..='\u{36f}').contains(c))
        .flat_map(char::to_lowercase)
        .flat_map(plain_letters)
        .filter(|c| c.is_alphanumeric())
        .nfc()
        .collect()
}

/// Letters that Unicode does not decompose, as they are commonly transcribed.
fn plain_letters(c: char) -> impl Iterator<Item = char> {
    let (first, second) = match c {
        'ß' => ('s', Some('s')),
        'æ' => ('a', Some('e')),
        'œ' => ('o', Some('e')),
        'þ' => ('t', Some('h')),
        'ø' => ('o', None),
        'đ' | 'ð' => ('d', None),
        'ł' => ('l', None),
        'ħ' => ('h', None),
        'ı' => ('i', None),
        'ς' => ('σ', None),
        '$' => ('s', None),
        '€' => ('e', None),
        '|' => ('l', None),
        other => (other, None),
    };
    std::iter::once(first).chain(second)
}

fn skeleton(folded: &str) -> String {
    let single: String = folded
        .chars()
        .map(|c| match c {
            '0' | 'ο' | 'о' => 'o',
            '1' | 'i' => 'l',
            '5' => 's',
            '8' => 'b',
            '2' => 'z',
            '9' | 'q' => 'g',
            other => other,
        })
        .collect();
    single.replace("rn", "m").replace("vv", "w")
}

/// Least insertions, deletions, substitutions and swaps of neighbours that turn one skeleton into the
/// other; look-alikes cost nothing here.
pub(super) fn edits(a: &Spelling, b: &Spelling) -> usize {
    strsim::osa_distance(&a.skeleton, &b.skeleton)
}

/// Likeness, `0..=1`, of two words that are `edits` apart.
pub(super) fn likeness(a: &Spelling, b: &Spelling, edits: usize) -> f32 {
    let longest = a.n_chars.max(b.n_chars).max(1) as f32;
    // A look-alike is a quarter of an edit, so that the true spelling always wins.
    let lookalikes = if edits == 0 && a.folded != b.folded {
        0.25 * lookalikes(a, b) as f32
    } else {
        0.0
    };
    (1.0 - (edits as f32 + lookalikes) / longest).max(0.0)
}

fn lookalikes(a: &Spelling, b: &Spelling) -> usize {
    let differing = a
        .folded
        .chars()
        .zip(b.folded.chars())
        .filter(|(p, q)| p != q);
    differing.count().max(1)
}

pub(super) fn is_ideograph(c: char) -> bool {
    matches!(c, '\u{3040}'..='\u{30ff}' | '\u{3400}'..='\u{9fff}' | '\u{ac00}'..='\u{d7af}' | '\u{f900}'..='\u{faff}')
}

/// Which letters a skeleton has once, and which twice or more.
pub(super) fn letter_set(spelling: &Spelling) -> u64 {
    spelling.skeleton.chars().fold(0, |set, c| {
        let letter = match c {
            'a'..='z' => c as u64 - 'a' as u64,
            other => 26 + u64::from(other as u32 % 6),
        };
        let (once, twice) = (1 << letter, 1 << (letter + 32));
        set | if set & once == 0 { once } else { twice }
    })
}

/// Whether words with these letter sets may be `allowed` edits apart: an edit brings at most one
/// letter and takes away at most one.
pub(super) fn may_be_alike(a: u64, b: u64, allowed: usize) -> bool {
    (a & !b).count_ones() as usize <= allowed && (b & !a).count_ones() as usize <= allowed
}
