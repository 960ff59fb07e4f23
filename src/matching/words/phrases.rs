//! From lines that were read to the phrases in which a mark may stand.
//!
//! A mark may be one word of a line, several, or run on in the next box: beside it (curved or widely
//! spaced writing is found in pieces) or below it (stacked words).

use super::spelling::{Spelling, fold};
use super::{ReadWord, is_common_word};

/// Words in a phrase: long enough for "the north face" and one more.
const MAX_TOKENS: usize = 4;
/// Letters that stand one by one, in a phrase: widely spaced or curved writing.
const MAX_LETTERS: usize = 9;
/// Characters in a phrase.
const MAX_CHARS: usize = 40;
/// Words of a picture that are looked at, the largest writing first: a mark is not in the small print.
const MAX_PICTURE_TOKENS: usize = 64;
/// Phrases that are made of a picture.
const MAX_PHRASES: usize = 512;

/// Some words that stand next to each other.
#[derive(Debug, Clone)]
pub(super) struct Phrase {
    pub spelling: Spelling,
    /// As written, words separated by spaces.
    pub text: String,
    /// Words in it.
    pub n_tokens: usize,
    /// The longest of these words, characters.
    pub longest_token: usize,
    /// Whether it runs over more than one box.
    pub is_joined: bool,
    /// Least confidence of its boxes, `0..=1`.
    pub confidence: f32,
    /// Boxes, as positions in what was read.
    pub lines: Vec<usize>,
    /// A web address: only marks that are one are compared with it.
    pub is_address: bool,
    /// All its words are ordinary English: then it is itself, not another word misread.
    pub is_ordinary: bool,
}

pub(super) struct Token {
    line: usize,
    text: String,
    pub folded: String,
    n_chars: usize,
    pub is_address: bool,
    is_ordinary: bool,
    is_last: bool,
}

/// All phrases in `words`, single words first.
pub(super) fn phrases(words: &[ReadWord]) -> Vec<Phrase> {
    let tokens = all_tokens(words);
    let next = followers(words, &tokens);
    let mut paths: Vec<Vec<usize>> = (0..tokens.len()).map(|i| vec![i]).collect();
    let mut done = 0;
    while done < paths.len() && paths.len() < MAX_PHRASES {
        for &follower in &next[paths[done][paths[done].len() - 1]] {
            let path = &paths[done];
            if !path.contains(&follower) && may_grow(path, follower, &tokens) {
                paths.push([&path[..], &[follower]].concat());
            }
        }
        done += 1;
    }
    paths
        .iter()
        .map(|path| phrase(words, &tokens, path))
        .collect()
}

fn may_grow(path: &[usize], follower: usize, tokens: &[Token]) -> bool {
    let members = || path.iter().chain([&follower]).map(|&i| &tokens[i]);
    let n_chars: usize = members().map(|token| token.n_chars).sum();
    let is_spelled_out = members().all(|token| token.n_chars == 1);
    let most = if is_spelled_out {
        MAX_LETTERS
    } else {
        MAX_TOKENS
    };
    path.len() < most && n_chars <= MAX_CHARS && members().all(|token| !token.is_address)
}

fn phrase(words: &[ReadWord], tokens: &[Token], path: &[usize]) -> Phrase {
    let folded: String = path.iter().map(|&i| tokens[i].folded.as_str()).collect();
    let texts: Vec<&str> = path.iter().map(|&i| tokens[i].text.as_str()).collect();
    let mut lines: Vec<usize> = path.iter().map(|&i| tokens[i].line).collect();
    lines.dedup();
    let lengths = path.iter().map(|&i| tokens[i].n_chars);
    let confidence = lines.iter().map(|&line| words[line].confidence);
    Phrase {
        spelling: Spelling::of_folded(folded),
        text: texts.join(" "),
        n_tokens: path.len(),
        longest_token: lengths.max().unwrap_or(0),
        is_joined: lines.len() > 1,
        confidence: confidence.fold(1.0, f32::min).clamp(0.0, 1.0),
        lines,
        is_address: path.iter().any(|&i| tokens[i].is_address),
        is_ordinary: path.iter().all(|&i| tokens[i].is_ordinary),
    }
}

fn all_tokens(words: &[ReadWord]) -> Vec<Token> {
    let mut tokens: Vec<Token> = Vec::new();
    let mut largest_first: Vec<usize> = (0..words.len()).collect();
    let height = |line: usize| Frame::of(&words[line].quad).height;
    largest_first.sort_by(|&a, &b| height(b).total_cmp(&height(a)));
    for line in largest_first {
        let before = tokens.len();
        tokens.extend(line_tokens(line, &words[line].text));
        tokens.truncate(MAX_PICTURE_TOKENS);
        if tokens.len() > before
            && let Some(last) = tokens.last_mut()
        {
            last.is_last = true;
        }
    }
    tokens
}

/// The words of one line.
pub(super) fn tokens(word: &ReadWord) -> Vec<Token> {
    line_tokens(0, &word.text)
}

fn line_tokens(line: usize, text: &str) -> Vec<Token> {
    let chunks: Vec<&str> = text.split_whitespace().collect();
    let mut tokens = Vec::new();
    for (i, chunk) in chunks.iter().enumerate() {
        let beside_at = [i.wrapping_sub(1), i + 1]
            .iter()
            .any(|&j| chunks.get(j) == Some(&"@"));
        if chunk.contains('@') || beside_at {
            continue;
        }
        let after_www = i > 0 && fold(chunks[i - 1]) == "www";
        if is_address(chunk) || after_www {
            tokens.push(token(line, chunk, true));
            continue;
        }
        let parts = chunk.split(|c: char| !is_word_char(c));
        tokens.extend(parts.map(|part| token(line, part, false)));
    }
    tokens.retain(|token| !token.folded.is_empty());
    tokens
}

fn token(line: usize, text: &str, is_address: bool) -> Token {
    let folded = fold(text);
    Token {
        line,
        text: text.to_owned(),
        is_ordinary: is_common_word(&folded),
        n_chars: folded.chars().count(),
        folded,
        is_address,
        is_last: false,
    }
}

/// Apostrophes belong to a word ("McDonald's"), as do signs that stand for letters ("$").
fn is_word_char(c: char) -> bool {
    c.is_alphanumeric()
        || matches!(
            c,
            '\'' | '’' | '´' | '`' | '$' | '€' | '|' | '\u{300}'..='\u{36f}'
        )
}

/// Endings of names in the web that are seen on goods and pictures.
const TOP_LEVELS: [&str; 40] = [
    "app", "asia", "at", "au", "be", "biz", "br", "ca", "ch", "cn", "co", "com", "cz", "de", "dk",
    "edu", "es", "eu", "fi", "fr", "gov", "hk", "in", "info", "io", "it", "jp", "kr", "net", "nl",
    "no", "org", "pl", "ru", "se", "shop", "store", "tv", "uk", "us",
];

/// Whether a chunk without spaces is (part of) a web address.
fn is_address(chunk: &str) -> bool {
    let chunk = chunk.to_lowercase();
    if chunk.contains("://") || chunk.starts_with("www") && chunk.len() > 3 {
        return true;
    }
    let host = chunk.split(['/', ':', '?']).next().unwrap_or_default();
    let host = host.trim_matches(|c: char| !c.is_alphanumeric());
    host.rsplit_once('.').is_some_and(|(name, top)| {
        let n_letters = name.chars().filter(|c| c.is_alphanumeric()).count();
        n_letters >= 2 && TOP_LEVELS.contains(&top)
    })
}

/// For every token, those that may continue it.
fn followers(words: &[ReadWord], tokens: &[Token]) -> Vec<Vec<usize>> {
    let mut first_of = vec![None; words.len()];
    for (i, token) in tokens.iter().enumerate().rev() {
        first_of[token.line] = Some(i);
    }
    let frames: Vec<Frame> = words.iter().map(|word| Frame::of(&word.quad)).collect();
    (0..tokens.len())
        .map(|i| match tokens[i].is_last {
            false => vec![i + 1],
            true => next_lines(tokens[i].line, &frames)
                .into_iter()
                .filter_map(|line| first_of[line])
                .collect(),
        })
        .collect()
}

/// The nearest line that runs on from `line`, and the nearest below it.
fn next_lines(line: usize, frames: &[Frame]) -> Vec<usize> {
    let this = &frames[line];
    let nearest = |is_next: &dyn Fn(&Frame) -> bool, from: [f32; 2], to: fn(&Frame) -> [f32; 2]| {
        let others = (0..frames.len()).filter(|&other| other != line && is_next(&frames[other]));
        others.min_by(|&a, &b| {
            let distance = |i: usize| length(between(from, to(&frames[i])));
            distance(a).total_cmp(&distance(b))
        })
    };
    let beside = nearest(&|other| this.runs_on_in(other), this.end, |other| {
        other.start
    });
    let below = nearest(&|other| this.is_above(other), this.centre, |other| {
        other.centre
    });
    beside
        .into_iter()
        .chain(below.filter(|_| beside != below))
        .collect()
}

/// A box as text sees it.
struct Frame {
    start: [f32; 2],
    end: [f32; 2],
    centre: [f32; 2],
    /// Unit vector in which the text runs.
    along: [f32; 2],
    width: f32,
    height: f32,
}

impl Frame {
    fn of(quad: &[[f32; 2]; 4]) -> Self {
        let [tl, tr, br, bl] = *quad;
        let (start, end) = (middle(tl, bl), middle(tr, br));
        let run = between(start, end);
        let width = length(run);
        Self {
            start,
            end,
            centre: middle(start, end),
            along: if width > 0.0 {
                run.map(|v| v / width)
            } else {
                [1.0, 0.0]
            },
            width,
            height: length(between(tl, bl)),
        }
    }

    fn is_similar(&self, other: &Self, height_ratio: f32, cosine: f32) -> bool {
        let (low, high) = (self.height.min(other.height), self.height.max(other.height));
        let turn = self.along[0] * other.along[0] + self.along[1] * other.along[1];
        low > 0.0 && high <= height_ratio * low && turn >= cosine
    }

    /// Whether `other` begins where this ends, at about the same size, turned by 45° at most.
    fn runs_on_in(&self, other: &Self) -> bool {
        let gap = between(self.end, other.start);
        let forwards = gap[0] * self.along[0] + gap[1] * self.along[1];
        let reach = self.height.max(other.height);
        self.is_similar(other, 2.0, 0.7) && length(gap) <= 1.2 * reach && forwards >= -0.5 * reach
    }

    /// Whether `other` is the next line of the same column.
    fn is_above(&self, other: &Self) -> bool {
        let offset = between(self.centre, other.centre);
        let across = offset[1] * self.along[0] - offset[0] * self.along[1];
        let along = offset[0] * self.along[0] + offset[1] * self.along[1];
        let pitch = (self.height + other.height) / 2.0;
        let overlap = (self.width + other.width) / 2.0 - along.abs();
        self.is_similar(other, 3.0, 0.9)
            && across >= 0.5 * pitch
            && across <= 2.0 * pitch
            && overlap >= 0.5 * self.width.min(other.width)
    }
}

fn middle(a: [f32; 2], b: [f32; 2]) -> [f32; 2] {
    [(a[0] + b[0]) / 2.0, (a[1] + b[1]) / 2.0]
}

fn between(a: [f32; 2], b: [f32; 2]) -> [f32; 2] {
    [b[0] - a[0], b[1] - a[1]]
}

fn length(v: [f32; 2]) -> f32 {
    v[0].hypot(v[1])
}
