//! Why, in words and numbers that a person can check.

use super::{FoundWord, Verified};
use crate::domain::Measurements;

/// Hash distance up to which the pictures as such agree.
pub const NEAR_HASH: f32 = 64.0;
/// Agreeing points from which they are worth a word.
pub const NOTABLE_INLIERS: f32 = 6.0;
/// Shared letters from which they are worth a word: two short words.
const NOTABLE_LETTERS: f32 = 10.0;
/// Likeness of words from which they are worth a word.
pub const NOTABLE_WORD: f32 = 0.6;

/// One sentence for each kind of evidence there is, strongest kinds first.
pub(super) fn reasons(verified: &Verified) -> Vec<String> {
    let m = &verified.candidate.measured;
    let sentences = [
        hash_sentence(m),
        geometry_sentence(verified),
        word_sentence(verified),
        shared_sentence(m),
        window_sentence(m),
        cells_sentence(m),
        rival_sentence(m),
        whole_sentence(m),
        margin_sentence(m),
    ];
    sentences.into_iter().flatten().collect()
}

impl Verified {
    /// The word that comes closest to a word mark, if it comes close enough to be worth a word.
    pub fn notable_word(&self) -> Option<&FoundWord> {
        let word = self.candidate.word.as_ref();
        word.filter(|word| word.found.strength() >= NOTABLE_WORD)
    }
}

fn hash_sentence(m: &Measurements) -> Option<String> {
    let distance = m.hash_distance.filter(|&d| d <= NEAR_HASH)?;
    Some(format!(
        "{} of 256 hash bits equal, best of eight flips and turns",
        256.0 - distance
    ))
}

fn geometry_sentence(verified: &Verified) -> Option<String> {
    let m = &verified.candidate.measured;
    let inliers = m.inliers.filter(|&n| n >= NOTABLE_INLIERS)?;
    let mirrored = if verified.is_mirrored() {
        "mirrored "
    } else {
        ""
    };
    let coverage = m.reference_coverage.map_or(String::new(), |share| {
        format!(", spanning {:.0} % of the reference", 100.0 * share)
    });
    let agreement = m.ncc.map_or(String::new(), |ncc| {
        format!("; brightness correlates {ncc:.2} after alignment")
    });
    Some(format!(
        "{inliers:.0} points agree under one {mirrored}transform{coverage}{agreement}"
    ))
}

fn word_sentence(verified: &Verified) -> Option<String> {
    let word = verified.notable_word()?;
    let (text, mark) = (&word.found.text, &word.mark);
    let sentence = if word.found.near_miss() {
        let n = word.found.edit_distance;
        let letters = if n == 1 { "letter" } else { "letters" };
        format!("the word {text:?} misses the word mark {mark:?} by {n} {letters}")
    } else if word.found.exact {
        format!("the word mark {mark:?} is read")
    } else {
        format!(
            "the word {text:?} is {:.2} like the word mark {mark:?}",
            word.found.similarity
        )
    };
    let look = verified.candidate.measured.word_look;
    let look = look.map_or(String::new(), |look| {
        format!(", and what is drawn there is {look:+.2} above chance like the reference")
    });
    Some(sentence + &look)
}

fn shared_sentence(m: &Measurements) -> Option<String> {
    let letters = m.shared_letters.filter(|&n| n >= NOTABLE_LETTERS)?;
    let margin = m.shared_margin.map_or(String::new(), |margin| {
        format!(", {margin:+.0} against the nearest other brand")
    });
    Some(format!(
        "{letters:.0} letters of the words on the reference are read there{margin}"
    ))
}

fn window_sentence(m: &Measurements) -> Option<String> {
    let similarity = m.window_similarity?;
    let area = m.view_area.map_or(0.0, |share| 100.0 * share);
    Some(match m.window_lift {
        Some(lift) => format!(
            "a window of {area:.0} % of the photo is {similarity:.2} similar, {lift:+.2} above chance"
        ),
        None => format!("a window of {area:.0} % of the photo is {similarity:.2} similar"),
    })
}

fn cells_sentence(m: &Measurements) -> Option<String> {
    let agreement = m.cell_agreement?;
    let margin = m.cell_margin.map_or(String::new(), |margin| {
        format!(", {margin:+.2} against the nearest other brand")
    });
    Some(format!(
        "laid over that window, its cells agree {agreement:.2}{margin}"
    ))
}

fn rival_sentence(m: &Measurements) -> Option<String> {
    let lead = m.rival_lead?;
    let (size, direction) = (lead.abs(), if lead < 0.0 { "worse" } else { "better" });
    Some(format!(
        "where it differs from what else fits there, it agrees {size:.2} {direction} than that"
    ))
}

fn whole_sentence(m: &Measurements) -> Option<String> {
    let similarity = m.whole_similarity?;
    Some(match m.whole_lift {
        Some(lift) => {
            format!("the whole pictures are {similarity:.2} similar, {lift:+.2} above chance")
        }
        None => format!("the whole pictures are {similarity:.2} similar"),
    })
}

fn margin_sentence(m: &Measurements) -> Option<String> {
    let margin = m.window_margin.or(m.whole_margin)?;
    Some(if margin >= 0.0 {
        format!("the nearest other brand is {margin:.2} less similar")
    } else {
        format!("another brand is {:.2} more similar", -margin)
    })
}
