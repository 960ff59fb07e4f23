//! Texts that nobody needs whole.

/// The first `max_chars` characters of a text, with … for what is left out.
pub fn shortened(text: &str, max_chars: usize) -> String {
    match text.char_indices().nth(max_chars) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}
