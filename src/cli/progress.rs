//! A bar on a terminal; nothing elsewhere.

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// A bar on stderr with rate and, when `n_total` is known, the time left; hidden when stderr is no
/// terminal.
pub(super) fn bar(n_total: Option<u64>, what: &'static str) -> ProgressBar {
    let (bar, template) = match n_total {
        Some(n) => (
            ProgressBar::new(n),
            "{spinner} [{bar:30}] {pos}/{len} {msg}, {per_sec}, {eta} left",
        ),
        None => (
            ProgressBar::new_spinner(),
            "{spinner} {pos} {msg}, {per_sec}, {elapsed}",
        ),
    };
    bar.set_draw_target(ProgressDrawTarget::stderr_with_hz(5));
    let style = ProgressStyle::with_template(template).expect("a template that was tried");
    bar.set_style(style.progress_chars("=> "));
    bar.set_message(what);
    bar
}
