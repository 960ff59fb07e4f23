//! An error in one line, with what led to it.

use std::error::Error;

/// An error and its causes, outermost first, with colons between. Many messages repeat their cause; those
/// come once.
pub fn with_causes(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let said = cause.to_string();
        if !text.contains(&said) {
            text = format!("{text}: {said}");
        }
        next = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use std::io;

    use thiserror::Error;

    use super::*;

    #[derive(Debug, Error)]
    #[error("reading the list")]
    struct Outer(#[source] io::Error);

    #[derive(Debug, Error)]
    #[error("reading the list: {0}")]
    struct Repeating(#[source] io::Error);

    #[test]
    fn a_cause_is_said_once() {
        let no_space = || io::Error::other("no space");
        let expected = "reading the list: no space";
        assert_eq!(with_causes(&Outer(no_space())), expected);
        assert_eq!(with_causes(&Repeating(no_space())), expected);
        assert_eq!(with_causes(&no_space()), "no space");
    }
}
