//! Many marks, arranged so that a picture's words find theirs without being compared with all.

use std::collections::{BTreeMap, HashMap};
use std::ops::Bound;

use super::phrases::{self, Phrase};
use super::spelling::{Spelling, edits, letter_set, likeness, may_be_alike};
use super::{FLOOR, MIN_PART_WEIGHT, ReadWord, WordMatch, is_common_word};

/// Words of many marks, arranged for a quick search.
#[derive(Debug, Clone, Default)]
pub struct WordMarks {
    marks: Vec<Mark>,
    /// Marks by exact spelling, and by spelling with look-alikes made equal.
    by_folded: HashMap<String, usize>,
    by_skeleton: HashMap<String, Vec<usize>>,
    /// Marks by length of their skeleton: all, and those of several words.
    by_length: [Vec<Bucket>; 2],
    longest: usize,
    /// Marks by skeleton and by reversed skeleton, for words that are cut off.
    by_beginning: BTreeMap<String, usize>,
    by_end: BTreeMap<String, usize>,
}

#[derive(Debug, Clone)]
struct Mark {
    spelling: Spelling,
    weight: usize,
    /// Positions in the caller's list.
    positions: Vec<usize>,
    n_tokens: usize,
    is_common: bool,
    is_address: bool,
}

/// Marks of one length: letter sets side by side, so that most are ruled out in one sweep.
#[derive(Debug, Clone, Default)]
struct Bucket {
    letter_sets: Vec<u64>,
    marks: Vec<usize>,
}

impl WordMarks {
    /// Arranges `marks` (names, aliases, other scripts, in any form). Those without a letter or digit,
    /// and those of a single letter, never match.
    pub fn new<S: AsRef<str>>(marks: &[S]) -> Self {
        let mut index = Self::default();
        for (position, mark) in marks.iter().enumerate() {
            index.add(position, mark.as_ref());
        }
        index
    }

    fn add(&mut self, position: usize, text: &str) {
        let spelling = Spelling::of(text);
        let weight = spelling.weight();
        if weight < 2 {
            return;
        }
        if let Some(&known) = self.by_folded.get(&spelling.folded) {
            self.marks[known].positions.push(position);
            return;
        }
        let mark = self.marks.len();
        let n_chars = spelling.n_chars;
        self.by_folded.insert(spelling.folded.clone(), mark);
        let alike = self.by_skeleton.entry(spelling.skeleton.clone());
        alike.or_default().push(mark);
        self.longest = self.longest.max(n_chars);
        let reversed = spelling.skeleton.chars().rev().collect();
        self.by_beginning.insert(spelling.skeleton.clone(), mark);
        self.by_end.insert(reversed, mark);
        let letters = letter_set(&spelling);
        self.marks.push(Mark::new(text, spelling, weight, position));
        let n_indexes = 1 + usize::from(self.marks[mark].n_tokens > 1);
        for by_length in &mut self.by_length[..n_indexes] {
            if by_length.len() <= n_chars {
                by_length.resize(n_chars + 1, Bucket::default());
            }
            by_length[n_chars].letter_sets.push(letters);
            by_length[n_chars].marks.push(mark);
        }
    }

    /// All positions in the list whose spelling is that of `mark`, itself included; empty when it is
    /// not a position that matches.
    pub fn same_spelling(&self, mark: usize) -> &[usize] {
        let found = self
            .marks
            .iter()
            .find(|known| known.positions.contains(&mark));
        found.map_or(&[], |known| &known.positions)
    }

    /// The strongest match in a picture.
    pub fn best_match(&self, words: &[ReadWord]) -> Option<WordMatch> {
        self.matches(words).into_iter().next()
    }

    /// The best match of every mark that stands in a picture or nearly so, strongest first.
    pub fn matches(&self, words: &[ReadWord]) -> Vec<WordMatch> {
        let mut best: HashMap<usize, WordMatch> = HashMap::new();
        if self.marks.is_empty() {
            return Vec::new();
        }
        for phrase in phrases::phrases(words) {
            self.compare(&phrase, &mut |mark, found| {
                let found = self.word_match(mark, &phrase, words, found);
                let stronger = |known: &WordMatch| known.strength() < found.strength();
                if found.similarity >= FLOOR && best.get(&mark).is_none_or(stronger) {
                    best.insert(mark, found);
                }
            });
        }
        let mut matches: Vec<WordMatch> = best.into_values().collect();
        matches.sort_by(|a, b| {
            let by_strength = b.strength().total_cmp(&a.strength());
            by_strength
                .then(b.weight.cmp(&a.weight))
                .then(a.mark.cmp(&b.mark))
        });
        matches
    }

    fn word_match(
        &self,
        mark: usize,
        phrase: &Phrase,
        words: &[ReadWord],
        found: Found,
    ) -> WordMatch {
        let mark = &self.marks[mark];
        WordMatch {
            mark: mark.positions[0],
            text: phrase.text.clone(),
            similarity: found.similarity,
            exact: found.exact,
            edit_distance: found.edits,
            confidence: phrase.confidence,
            is_common_word: mark.is_common,
            is_part: found.is_part,
            weight: mark.weight,
            quad: around(phrase.lines.iter().map(|&line| &words[line].quad)),
        }
    }

    /// Calls `report` with every mark that `phrase` is like.
    fn compare(&self, phrase: &Phrase, report: &mut impl FnMut(usize, Found)) {
        if phrase.spelling.folded.is_empty() {
            return;
        }
        if let Some(alike) = self.by_skeleton.get(&phrase.spelling.skeleton) {
            for &mark in alike
                .iter()
                .filter(|&&mark| self.marks[mark].may_be(phrase))
            {
                report(mark, Found::whole(&self.marks[mark].spelling, phrase, 0));
            }
        }
        if phrase.is_address || phrase.spelling.is_number() {
            return;
        }
        // A word that is one mark is no misspelling of another.
        let is_mark = self.by_folded.contains_key(&phrase.spelling.folded);
        if !phrase.is_ordinary && !is_mark {
            self.compare_spellings(phrase, report);
        }
        if phrase.n_tokens == 1 {
            self.compare_parts(phrase, report);
        }
        if phrase.n_tokens == 1 && !phrase.is_ordinary && phrase.spelling.n_chars >= MIN_PART_WEIGHT
        {
            let reversed: String = phrase.spelling.skeleton.chars().rev().collect();
            self.compare_whole(&phrase.spelling.skeleton, &self.by_beginning, report);
            self.compare_whole(&reversed, &self.by_end, report);
        }
    }

    /// Marks of which only the beginning (or, in reversed order, the end) stands in the picture.
    fn compare_whole(
        &self,
        part: &str,
        marks: &BTreeMap<String, usize>,
        report: &mut impl FnMut(usize, Found),
    ) {
        let n_chars = part.chars().count();
        let from_here = marks.range::<str, _>((Bound::Excluded(part), Bound::Unbounded));
        for (_, &mark) in from_here.take_while(|(whole, _)| whole.starts_with(part)) {
            let whole = self.marks[mark].spelling.n_chars;
            if !self.marks[mark].is_address {
                report(
                    mark,
                    Found::part(n_chars as f32 / whole as f32, whole - n_chars),
                );
            }
        }
    }

    /// Marks that are a few edits away.
    fn compare_spellings(&self, phrase: &Phrase, report: &mut impl FnMut(usize, Found)) {
        let n_chars = phrase.spelling.n_chars;
        let letters = letter_set(&phrase.spelling);
        let most = max_edits(self.longest);
        // Long runs of words are no misreading of a single one.
        let is_run = phrase.n_tokens > 2 && phrase.longest_token > 1;
        let by_length = &self.by_length[usize::from(is_run)];
        let lengths = n_chars.saturating_sub(most)..=n_chars + most;
        for length in lengths {
            let allowed = max_edits(length);
            if length.abs_diff(n_chars) > allowed {
                continue;
            }
            // Short words become each other in two steps; only whole ones are worth that.
            let is_vague = length < 8 && (phrase.n_tokens > 1 || n_chars < 5);
            let allowed = if is_vague { allowed.min(1) } else { allowed };
            let Some(bucket) = by_length.get(length) else {
                break;
            };
            for (&set, &mark) in bucket.letter_sets.iter().zip(&bucket.marks) {
                if !may_be_alike(set, letters, allowed) {
                    continue;
                }
                let known = &self.marks[mark];
                let edits = edits(&known.spelling, &phrase.spelling);
                if (1..=allowed).contains(&edits) && known.may_be(phrase) {
                    report(mark, Found::whole(&known.spelling, phrase, edits));
                }
            }
        }
    }

    /// Marks inside a longer word: "STARBUCKSCOFFEE".
    fn compare_parts(&self, phrase: &Phrase, report: &mut impl FnMut(usize, Found)) {
        let text = &phrase.spelling.folded;
        let ends: Vec<usize> = text
            .char_indices()
            .map(|(i, _)| i)
            .chain([text.len()])
            .collect();
        for (i, &start) in ends.iter().enumerate() {
            for &end in &ends[i + 1..] {
                if end - start == text.len() {
                    continue;
                }
                let Some(&mark) = self.by_folded.get(&text[start..end]) else {
                    continue;
                };
                let similarity = self.marks[mark].part_likeness(text, start, end);
                if similarity > 0.0 {
                    report(mark, Found::part(similarity, 0));
                }
            }
        }
    }
}

/// What comparing one mark with one phrase gave.
struct Found {
    similarity: f32,
    exact: bool,
    edits: usize,
    is_part: bool,
}

impl Found {
    fn whole(mark: &Spelling, phrase: &Phrase, edits: usize) -> Self {
        // Boxes that only happen to stand together are not quite a word.
        let joined = if phrase.is_joined { 0.97 } else { 1.0 };
        Self {
            similarity: joined * likeness(mark, &phrase.spelling, edits),
            exact: mark.folded == phrase.spelling.folded,
            edits,
            is_part: edits > 0 && is_cut_off(&mark.skeleton, &phrase.spelling.skeleton),
        }
    }

    fn part(similarity: f32, edits: usize) -> Self {
        Self {
            similarity,
            exact: false,
            edits,
            is_part: true,
        }
    }
}

impl Mark {
    fn new(text: &str, spelling: Spelling, weight: usize, position: usize) -> Self {
        let as_read = ReadWord {
            text: text.to_owned(),
            confidence: 1.0,
            quad: [[0.0; 2]; 4],
        };
        let tokens = phrases::tokens(&as_read);
        Self {
            weight,
            positions: vec![position],
            n_tokens: tokens.len(),
            is_common: is_common_word(&spelling.folded),
            is_address: tokens.iter().any(|token| token.is_address),
            spelling,
        }
    }

    /// Whether the phrase has the shape of this mark: short marks must stand alone and in one piece,
    /// web addresses are compared with web addresses.
    fn may_be(&self, phrase: &Phrase) -> bool {
        if self.is_address != phrase.is_address {
            return false;
        }
        let in_one_piece = phrase.n_tokens == self.n_tokens && !phrase.is_joined;
        let spelled_out = phrase.longest_token == 1 && self.weight > 3;
        match self.weight {
            ..=4 => in_one_piece || spelled_out,
            _ => true,
        }
    }

    /// Likeness when this mark stands at `start..end` of the word `text`; 0 when that is chance.
    fn part_likeness(&self, text: &str, start: usize, end: usize) -> f32 {
        if self.is_address {
            return 0.0;
        }
        if self.spelling.is_ideographic() {
            return if self.weight >= 4 { 0.9 } else { 0.0 };
        }
        if self.weight < MIN_PART_WEIGHT || is_common_word(text) {
            return 0.0;
        }
        let explained = |rest: &str| {
            rest.is_empty()
                || rest.chars().all(char::is_numeric)
                || rest.len() > 2 && is_common_word(rest)
        };
        if explained(&text[..start]) && explained(&text[end..]) {
            return 0.9;
        }
        let share = (end - start) as f32 / text.len() as f32;
        FLOOR + 0.25 * share - 0.05
    }
}

/// Whether `part` is the beginning or the end of `whole`.
fn is_cut_off(whole: &str, part: &str) -> bool {
    whole.starts_with(part) || whole.ends_with(part)
}

/// Most edits at which a mark of `n_chars` characters is still recognised.
fn max_edits(n_chars: usize) -> usize {
    match n_chars {
        ..=4 => 0,
        5..=7 => 2,
        _ => 3,
    }
}

/// The box around several; a single one is kept as it is.
fn around<'a>(mut quads: impl Iterator<Item = &'a [[f32; 2]; 4]>) -> [[f32; 2]; 4] {
    let Some(&first) = quads.next() else {
        return [[0.0; 2]; 4];
    };
    let mut rest = quads.peekable();
    if rest.peek().is_none() {
        return first;
    }
    let (mut low, mut high) = (first[0], first[0]);
    for corner in first.into_iter().chain(rest.flatten().copied()) {
        for axis in 0..2 {
            low[axis] = low[axis].min(corner[axis]);
            high[axis] = high[axis].max(corner[axis]);
        }
    }
    [low, [high[0], low[1]], high, [low[0], high[1]]]
}
