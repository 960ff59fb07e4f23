//! Text for a terminal: columns counted, lines broken, nothing that could steer the terminal.

use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

/// Columns that `text` takes on a terminal.
pub(super) fn columns(text: &str) -> usize {
    UnicodeWidthStr::width(text)
}

/// `text` on one line with everything invisible made visible: control characters could steer the
/// terminal, and marks of writing direction could make one file name look like another.
pub fn visible(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        if matches!(c, '\n' | '\r' | '\t') {
            shown.push(' ');
        } else if c.is_control() || is_hidden(c) {
            shown.extend(c.escape_unicode());
        } else {
            shown.push(c);
        }
    }
    shown
}

/// Marks of writing direction, zero-width and line separators. The joiner U+200D stays: emoji and
/// Indic scripts need it.
fn is_hidden(c: char) -> bool {
    matches!(c, '\u{61c}' | '\u{200b}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

/// `text` cut to at most `max` columns, with `…` where something is missing. The end is kept rather
/// than the beginning: that is where file names differ.
pub(super) fn clip_start(text: &str, max: usize) -> String {
    if columns(text) <= max {
        return text.to_owned();
    }
    let mut kept = text.len();
    for (at, _) in text.char_indices().rev() {
        if columns(&text[at..]) + 1 > max {
            break;
        }
        kept = at;
    }
    format!("…{}", &text[kept..])
}

/// `text` broken into lines of at most `max` columns (at least 10), between words where possible.
pub fn wrap(text: &str, max: usize) -> Vec<String> {
    let max = max.max(10);
    let mut lines = Vec::new();
    let mut line = String::new();
    for word in text.split_whitespace() {
        let gap = usize::from(!line.is_empty());
        if columns(&line) + gap + columns(word) > max && !line.is_empty() {
            lines.push(std::mem::take(&mut line));
        }
        if !line.is_empty() {
            line.push(' ');
        }
        for c in word.chars() {
            // Only a word longer than a whole line is broken inside.
            if columns(&line) + c.width().unwrap_or(0) > max {
                lines.push(std::mem::take(&mut line));
            }
            line.push(c);
        }
    }
    if !line.is_empty() || lines.is_empty() {
        lines.push(line);
    }
    lines
}

/// `text` with spaces behind it up to `width` columns.
pub(super) fn pad_end(text: &str, width: usize) -> String {
    format!("{text}{}", " ".repeat(width.saturating_sub(columns(text))))
}

/// `text` with spaces before it up to `width` columns.
pub(super) fn pad_start(text: &str, width: usize) -> String {
    format!("{}{text}", " ".repeat(width.saturating_sub(columns(text))))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn nothing_can_steer_the_terminal() {
        assert_eq!(visible("a\u{1b}[2Jb\nc"), "a\\u{1b}[2Jb c");
        assert_eq!(visible("gpj.\u{202e}exe"), "gpj.\\u{202e}exe");
        assert_eq!(visible("緑茶 ½ л"), "緑茶 ½ л");
    }

    #[test]
    fn wide_characters_count_twice() {
        assert_eq!(columns("緑茶"), 4);
        assert_eq!(pad_end("緑茶", 6), "緑茶  ");
        assert_eq!(pad_start("é", 3), "  é");
        assert_eq!(clip_start("photos/緑茶.jpg", 9), "…緑茶.jpg");
        assert_eq!(clip_start("photos/緑茶.jpg", 8), "…茶.jpg");
    }

    #[test]
    fn lines_break_between_words() {
        assert_eq!(wrap("one two  three", 10), ["one two", "three"]);
        assert_eq!(wrap("abcdefghijklmno", 10), ["abcdefghij", "klmno"]);
        assert_eq!(wrap("", 10), [""]);
    }

    proptest! {
        #[test]
        fn no_line_is_too_long_and_nothing_is_lost(text in "\\PC{0,120}", max in 10usize..60) {
            let lines = wrap(&text, max);
            for line in &lines {
                prop_assert!(columns(line) <= max, "{line:?} has {} of {max}", columns(line));
            }
            let squeeze = |t: &str| t.split_whitespace().collect::<String>();
            prop_assert_eq!(squeeze(&lines.concat()), squeeze(&text));
        }

        #[test]
        fn what_is_visible_holds_no_control(text in any::<String>()) {
            prop_assert!(visible(&text).chars().all(|c| !c.is_control()));
        }
    }
}
