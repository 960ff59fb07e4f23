//! Verdicts and summaries as text for a terminal.

use std::fmt::Write as _;
use std::io::{self, Write};

use super::Summary;
use super::text::{clip_start, columns, pad_end, pad_start, visible, wrap};
use super::words::{count, counted, duration, kind_words, place, share, stage_line};
use crate::domain::{Finding, PhotoVerdict, Verdict, percent};

/// How text is laid out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TextStyle {
    /// Columns of a line, 40 at least.
    pub width: usize,
    /// Whether verdicts are coloured; only for a terminal.
    pub colour: bool,
}

impl Default for TextStyle {
    fn default() -> Self {
        Self {
            width: 80,
            colour: false,
        }
    }
}

/// Brands that a summary names.
const MAX_BRANDS: usize = 20;
/// Reasons of failures, and groups of photos, that a summary names.
const MAX_REASONS: usize = 10;
const MAX_GROUPS: usize = 5;
/// Columns before the text that belongs to a verdict: the longest of its words and two spaces.
const INDENT: usize = 9;
/// Columns of a probability and the two spaces behind it.
const PROBABILITY: usize = 10;

/// Writes what is said of one photo: the verdict and the photo's name, the findings with their
/// reasons, and the milliseconds of each stage. A failure is its own short entry.
///
/// # Errors
/// Those of `out`.
pub fn write_photo(
    out: &mut dyn Write,
    photo: &str,
    outcome: Result<&PhotoVerdict, &str>,
    style: TextStyle,
) -> io::Result<()> {
    out.write_all(photo_text(photo, outcome, style).as_bytes())
}

fn photo_text(photo: &str, outcome: Result<&PhotoVerdict, &str>, style: TextStyle) -> String {
    let width = style.width.max(40);
    let mut text = Text {
        text: String::new(),
        width,
        colour: style.colour,
    };
    let (word, paint) = match outcome.map(|photo| photo.verdict) {
        Ok(Verdict::Flagged) => ("FLAGGED", Paint::Red),
        Ok(Verdict::Review) => ("REVIEW", Paint::Yellow),
        Ok(Verdict::Clear) => ("CLEAR", Paint::Green),
        Err(_) => ("FAILED", Paint::Red),
    };
    let name = clip_start(&visible(photo), width - INDENT);
    let gap = " ".repeat(INDENT - columns(word));
    text.line(&format!("{}{gap}{name}", text.painted(word, paint)));
    match outcome {
        Ok(verdict) => text.verdict(verdict),
        Err(error) => text.paragraph(INDENT, &visible(error)),
    }
    text.text
}

/// Text under way.
struct Text {
    text: String,
    width: usize,
    colour: bool,
}

#[derive(Clone, Copy)]
enum Paint {
    Red,
    Yellow,
    Green,
    Faint,
}

impl Text {
    fn painted(&self, text: &str, paint: Paint) -> String {
        if !self.colour {
            return text.to_owned();
        }
        let code = match paint {
            Paint::Red => "1;31",
            Paint::Yellow => "1;33",
            Paint::Green => "32",
            Paint::Faint => "2",
        };
        format!("\u{1b}[{code}m{text}\u{1b}[0m")
    }

    fn line(&mut self, line: &str) {
        self.text.push_str(line.trim_end());
        self.text.push('\n');
    }

    /// Wrapped text behind `indent` spaces.
    fn paragraph(&mut self, indent: usize, text: &str) {
        for line in wrap(text, self.width - indent) {
            self.line(&format!("{}{line}", " ".repeat(indent)));
        }
    }

    fn verdict(&mut self, photo: &PhotoVerdict) {
        for finding in &photo.findings {
            self.finding(finding, photo.photo_size);
        }
        for line in wrap(&stage_line(&photo.timings_ms), self.width - INDENT) {
            let faint = self.painted(&line, Paint::Faint);
            self.line(&format!("{}{faint}", " ".repeat(INDENT)));
        }
    }

    fn finding(&mut self, finding: &Finding, [width, height]: [u32; 2]) {
        let deep = INDENT + PROBABILITY;
        let headline = format!(
            "{}: {}, {} ({})",
            kind_words(finding.kind),
            visible(&finding.brand),
            visible(&finding.asset),
            finding.asset_kind
        );
        let mut lines = wrap(&headline, self.width - deep).into_iter();
        let probability = pad_start(&percent(finding.probability), PROBABILITY - 2);
        let first = lines.next().unwrap_or_default();
        self.line(&format!("{}{probability}  {first}", " ".repeat(INDENT)));
        for line in lines {
            self.line(&format!("{}{line}", " ".repeat(deep)));
        }
        self.paragraph(
            deep,
            &format!("{} of {width} × {height}", place(&finding.region)),
        );
        if finding.authorised_seller {
            self.paragraph(deep, "authorised seller: raises no verdict");
        }
        for reason in &finding.reasons {
            let mut mark = "- ";
            for line in wrap(&visible(reason), self.width - deep - 2) {
                self.line(&format!("{}{mark}{line}", " ".repeat(deep)));
                mark = "  ";
            }
        }
    }
}

/// Writes the counts of a scan, its rate, and the mean milliseconds of each stage.
///
/// # Errors
/// Those of `out`.
pub fn write_summary(out: &mut dyn Write, summary: &Summary, style: TextStyle) -> io::Result<()> {
    out.write_all(summary_text(summary, style).as_bytes())
}

fn summary_text(summary: &Summary, style: TextStyle) -> String {
    let width = style.width.max(40);
    let mut text = format!(
        "{} in {}, {:.1} photos/s\n",
        counted(summary.n_photos, "photo", "photos"),
        duration(summary.elapsed),
        summary.photos_per_s()
    );
    let verdicts = [
        ("flagged", summary.n_flagged),
        ("review", summary.n_review),
        ("clear", summary.n_clear),
        ("failed", summary.n_failed),
    ];
    count_rows(&mut text, &verdicts, summary.n_photos, width);
    if summary.n_findings > 0 {
        let _ = writeln!(
            text,
            "{}",
            counted(summary.n_findings, "finding", "findings")
        );
        let kinds: Vec<_> = summary
            .by_kind
            .iter()
            .map(|(&kind, &n)| (kind_words(kind), n))
            .collect();
        count_rows(&mut text, &kinds, summary.n_findings, width);
        let brands = summary.top_brands(MAX_BRANDS);
        let _ = match summary.by_brand.len() {
            all if all > brands.len() => {
                writeln!(text, "the {MAX_BRANDS} foremost of {all} brands")
            }
            all => writeln!(text, "{}", counted(all as u64, "brand", "brands")),
        };
        count_rows(&mut text, &brands, summary.n_findings, width);
    }
    if summary.n_authorised > 0 {
        let _ = writeln!(
            text,
            "{} at authorised sellers, not counted above",
            counted(summary.n_authorised, "finding", "findings")
        );
    }
    work_rows(&mut text, summary, width);
    reuse_rows(&mut text, summary, width);
    if let Some(mean) = summary.mean_ms() {
        for line in wrap(&format!("mean per photo {}", stage_line(&mean)), width) {
            let _ = writeln!(text, "{line}");
        }
    }
    cost_rows(&mut text, summary, width);
    text
}

/// How verdicts were come by, when not all in one way, and why there are none.
fn work_rows(text: &mut String, summary: &Summary, width: usize) {
    if summary.n_cached + summary.n_earlier > 0 {
        let rows = [
            ("computed", summary.n_computed),
            ("cached: the same bytes before", summary.n_cached),
            ("skipped: known from an earlier scan", summary.n_earlier),
        ];
        count_rows(text, &rows, summary.n_photos, width);
    }
    if summary.n_resumed > 0 {
        let n_resumed = counted(summary.n_resumed, "photo was", "photos were");
        let _ = writeln!(text, "{n_resumed} done before the scan went on");
    }
    let mut failures: Vec<_> = summary
        .failures
        .iter()
        .map(|(r, &n)| (r.as_str(), n))
        .collect();
    failures.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(b.0)));
    failures.truncate(MAX_REASONS);
    if !failures.is_empty() {
        let _ = writeln!(
            text,
            "{} because",
            counted(summary.n_failed, "failure", "failures")
        );
        count_rows(text, &failures, summary.n_failed, width);
    }
}

fn reuse_rows(text: &mut String, summary: &Summary, width: usize) {
    let shown = &summary.reuse[..summary.reuse.len().min(MAX_GROUPS)];
    if shown.is_empty() {
        return;
    }
    let _ = writeln!(text, "photos that come again most");
    for group in shown {
        let listings = counted(group.n_listings, "listing", "listings");
        let sellers = match group.n_sellers {
            0 => String::new(),
            n => format!(", {}", counted(n, "seller", "sellers")),
        };
        let name = clip_start(&visible(&group.photo), width / 2);
        for line in wrap(&format!("{name}: {listings}{sellers}"), width - 2) {
            let _ = writeln!(text, "  {line}");
        }
    }
}

fn cost_rows(text: &mut String, summary: &Summary, width: usize) {
    let Some(hours) = summary.core_hours_per_million() else {
        return;
    };
    let stages: Vec<_> = summary
        .stage_costs()
        .iter()
        .map(|cost| format!("{} {}", cost.stage, percent(cost.share)))
        .collect();
    let line = format!(
        "{hours:.1} core-hours for a million photos: {}",
        stages.join(", ")
    );
    for line in wrap(&line, width) {
        let _ = writeln!(text, "{line}");
    }
}

/// Rows of a name, a count and its share of `whole`, all aligned.
fn count_rows(text: &mut String, rows: &[(&str, u64)], whole: u64, width: usize) {
    let rows: Vec<_> = rows
        .iter()
        .map(|&(name, n)| (clip_start(&visible(name), width - 24), count(n), n))
        .collect();
    let name_columns = rows.iter().map(|row| columns(&row.0)).max().unwrap_or(0);
    let count_columns = rows.iter().map(|row| columns(&row.1)).max().unwrap_or(0);
    for (name, shown, n) in rows {
        let _ = writeln!(
            text,
            "  {}  {}  {}",
            pad_end(&name, name_columns),
            pad_start(&shown, count_columns),
            pad_start(&percent(share(n, whole)), 8)
        );
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::samples;
    use super::*;

    fn scan_text(style: TextStyle) -> String {
        let mut text = Vec::new();
        for scanned in samples::scan() {
            let outcome = scanned.outcome.as_ref().map_err(String::as_str);
            write_photo(&mut text, &scanned.photo, outcome, style).expect("memory");
        }
        String::from_utf8(text).expect("UTF-8")
    }

    #[test]
    fn photos_read_well() {
        insta::assert_snapshot!(scan_text(TextStyle::default()));
    }

    #[test]
    fn no_line_is_wider_than_the_terminal() {
        for width in [40, 57, 80, 132] {
            let text = scan_text(TextStyle {
                width,
                colour: false,
            });
            for line in text.lines() {
                assert!(columns(line) <= width, "{width}: {line:?}");
            }
        }
    }

    #[test]
    fn colour_changes_nothing_but_colour() {
        let plain = scan_text(TextStyle::default());
        let coloured = scan_text(TextStyle {
            colour: true,
            ..TextStyle::default()
        });
        assert_ne!(plain, coloured);
        let mut stripped = coloured;
        for code in ["1;31", "1;33", "32", "2", "0"] {
            stripped = stripped.replace(&format!("\u{1b}[{code}m"), "");
        }
        assert_eq!(stripped, plain);
    }

    #[test]
    fn a_title_cannot_steer_the_terminal() {
        let text = photo_text(
            "\u{1b}]0;x\u{7}.jpg",
            Err("bad\u{1b}[2J"),
            TextStyle::default(),
        );
        assert!(
            !text.contains('\u{1b}') && !text.contains('\u{7}'),
            "{text:?}"
        );
    }

    #[test]
    fn summaries_read_well() {
        let mut summary = samples::summary();
        summary.elapsed = Duration::from_millis(1_250);
        insta::assert_snapshot!(summary_text(&summary, TextStyle::default()));
    }

    #[test]
    fn long_brand_lists_say_what_is_missing() {
        let mut summary = Summary {
            n_findings: 50,
            ..Summary::default()
        };
        for idx in 0..50 {
            summary.by_brand.insert(format!("brand {idx:02}"), 1);
        }
        let text = summary_text(&summary, TextStyle::default());
        assert!(text.contains("the 20 foremost of 50 brands"), "{text}");
        assert!(
            text.contains("brand 19") && !text.contains("brand 20"),
            "{text}"
        );
    }
}
