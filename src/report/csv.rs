//! A row for each finding, for spreadsheets.

use csv::{QuoteStyle, WriterBuilder};
use serde_json::{Map, Value};

use super::words::{LISTING_COLUMNS, listing_field, value_words};
use super::{Output, ReportError, ScanWriter, Summary};
use crate::domain::{Finding, Listing, PhotoVerdict, ScannedPhoto};

/// The header. A photo with several findings has several rows; one without a finding, or one that
/// failed, has a single row with the finding's cells empty. New columns come before `other`.
///
/// | columns | |
/// |---|---|
/// | `listing_id` … `sha256` | as in the JSON lines |
/// | `verdict` | of the photo: `Clear`, `Review`, `Flagged`; empty when it failed |
/// | `kind` … `authorised_seller` | the finding; `probability` 0 to 1, `authorised_seller` `true` or `false` |
/// | `box_x` … `box_h` | the finding's place, pixels of the upright photo |
/// | `reasons` | joined by ` \| ` |
/// | `photo_width`, `photo_height`, `total_ms` | pixels; milliseconds over all stages |
/// | `error` | why the photo failed |
/// | `title` … `seller_country` | the listing's fields |
/// | `key` … `work` | as in the JSON lines; rows of one photo have the same key |
/// | `other` | the listing's and seller's unknown fields, as one JSON object |
///
/// A text that a spreadsheet could take for a formula (`=`, `+`, `-`, `@`, tab or line break come
/// first, if need be behind `'` and spaces) gets one `'` in front, so that removing it gives the text.
pub const CSV_COLUMNS: [&str; 36] = [
    "listing_id",
    "photo",
    "sha256",
    "verdict",
    "kind",
    "probability",
    "brand",
    "asset",
    "asset_id",
    "asset_kind",
    "authorised_seller",
    "box_x",
    "box_y",
    "box_w",
    "box_h",
    "reasons",
    "photo_width",
    "photo_height",
    "total_ms",
    "error",
    "title",
    "url",
    "marketplace",
    "brand_claimed",
    "price",
    "currency",
    "quantity",
    "seller_id",
    "seller_name",
    "seller_country",
    "key",
    "model",
    "registry_revision",
    "mark",
    "work",
    "other",
];

/// Writes [`CSV_COLUMNS`].
#[derive(Debug)]
pub struct CsvReport {
    output: Output,
}

impl CsvReport {
    /// Writes the header to `output`.
    ///
    /// # Errors
    /// [`ReportError`] when it cannot be written.
    pub fn new(mut output: Output) -> Result<Self, ReportError> {
        output.write_record(&encode([CSV_COLUMNS.map(String::from).to_vec()]))?;
        Ok(Self { output })
    }
}

impl ScanWriter for CsvReport {
    fn write(&mut self, scanned: &ScannedPhoto) -> Result<(), ReportError> {
        self.output.write_record(&encode(rows(scanned)))
    }

    fn finish(self: Box<Self>, _summary: &Summary) -> Result<(), ReportError> {
        self.output.finish()
    }
}

fn encode(rows: impl IntoIterator<Item = Vec<String>>) -> Vec<u8> {
    let mut writer = WriterBuilder::new()
        .quote_style(QuoteStyle::Necessary)
        .from_writer(Vec::new());
    for row in rows {
        writer
            .write_record(&row)
            .expect("memory takes every row of the same length");
    }
    writer.into_inner().expect("memory takes everything")
}

/// The rows of one photo, one at least.
fn rows(scanned: &ScannedPhoto) -> Vec<Vec<String>> {
    let judged = scanned.outcome.as_ref().ok();
    match judged.map_or(&[][..], |photo| &photo.findings) {
        [] => vec![row(scanned, judged, None)],
        findings => findings
            .iter()
            .map(|finding| row(scanned, judged, Some(finding)))
            .collect(),
    }
}

fn row(
    scanned: &ScannedPhoto,
    judged: Option<&PhotoVerdict>,
    finding: Option<&Finding>,
) -> Vec<String> {
    let mut cells = vec![
        guarded(&scanned.listing.listing_id),
        guarded(&scanned.photo),
        scanned.sha256.clone().unwrap_or_default(),
        judged
            .map(|photo| photo.verdict.to_string())
            .unwrap_or_default(),
    ];
    match finding {
        Some(finding) => cells.extend(finding_cells(finding)),
        None => cells.extend(std::iter::repeat_n(String::new(), N_FINDING_CELLS)),
    }
    let [width, height] = match judged {
        Some(photo) => photo.photo_size.map(|side| side.to_string()),
        None => Default::default(),
    };
    let ms = judged.map(|photo| format!("{:.3}", photo.timings_ms.total()));
    let error = scanned.outcome.as_ref().err().map(|e| guarded(e));
    cells.extend([
        width,
        height,
        ms.unwrap_or_default(),
        error.unwrap_or_default(),
    ]);
    cells.extend(listing_cells(&scanned.listing));
    cells.extend([
        scanned.key(),
        guarded(&scanned.stamp.model.0),
        scanned.stamp.registry_revision.to_string(),
        scanned.mark.map(|mark| mark.to_hex()).unwrap_or_default(),
        scanned.work.as_str().to_owned(),
        unknown_fields(&scanned.listing),
    ]);
    cells
}

/// From `kind` to `reasons`.
const N_FINDING_CELLS: usize = 12;

fn finding_cells(finding: &Finding) -> [String; N_FINDING_CELLS] {
    let region = &finding.region;
    [
        finding.kind.to_string(),
        format!("{:.6}", finding.probability),
        guarded(&finding.brand),
        guarded(&finding.asset),
        finding.asset_id.to_string(),
        finding.asset_kind.to_string(),
        finding.authorised_seller.to_string(),
        region.x.to_string(),
        region.y.to_string(),
        region.w.to_string(),
        region.h.to_string(),
        guarded(&finding.reasons.join(" | ")),
    ]
}

fn listing_cells(listing: &Listing) -> Vec<String> {
    let mut cells: Vec<_> = LISTING_COLUMNS
        .iter()
        .map(|name| match listing.other.get(*name) {
            // A price of -5 is a number, not a formula.
            Some(Value::Number(number)) => number.to_string(),
            _ => guarded(&listing_field(listing, name).unwrap_or_default()),
        })
        .collect();
    let seller = listing.seller.as_ref();
    for fact in [
        seller.and_then(|s| s.id.as_ref()),
        seller.and_then(|s| s.name.as_ref()),
        seller.and_then(|s| s.country.as_ref()),
    ] {
        cells.push(guarded(fact.map_or("", String::as_str)));
    }
    cells
}

/// The fields without a column as one JSON object, those of the seller under `seller`; empty when
/// there are none.
fn unknown_fields(listing: &Listing) -> String {
    let mut rest: Map<String, Value> = listing
        .other
        .iter()
        .filter(|(name, _)| !LISTING_COLUMNS.contains(&name.as_str()))
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect();
    if let Some(seller) = listing.seller.as_ref().filter(|s| !s.other.is_empty()) {
        rest.insert("seller".into(), seller.other.clone().into());
    }
    if rest.is_empty() {
        return String::new();
    }
    value_words(&Value::Object(rest)).unwrap_or_default()
}

/// `text` with a `'` in front when a spreadsheet would compute it. The characters are those of the
/// OWASP page on CSV injection, with the full-width forms that Excel takes for the ASCII ones in
/// some locales; spaces and byte order marks before them are dropped by some importers.
pub fn guarded(text: &str) -> String {
    let first = text
        .trim_start_matches(['\'', ' ', '\u{feff}'])
        .chars()
        .next();
    let is_formula = matches!(
        first,
        Some('=' | '+' | '-' | '@' | '\t' | '\r' | '\n' | '＝' | '＋' | '－' | '＠')
    );
    if is_formula {
        format!("'{text}")
    } else {
        text.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use proptest::prelude::*;

    use super::super::samples;
    use super::*;

    /// What a reader that knows the rule gets back.
    fn unguarded(cell: &str) -> &str {
        match cell.strip_prefix('\'') {
            Some(rest) if guarded(rest) == cell => rest,
            _ => cell,
        }
    }

    fn parsed(bytes: &[u8]) -> Vec<Vec<String>> {
        csv::ReaderBuilder::new()
            .has_headers(false)
            .from_reader(bytes)
            .records()
            .map(|record| record.expect("CSV").iter().map(str::to_owned).collect())
            .collect()
    }

    #[test]
    fn files_keep_their_form() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("out.csv");
        let output = Output::create(&path).expect("creatable");
        let mut report = Box::new(CsvReport::new(output).expect("writable"));
        for scanned in samples::scan() {
            report.write(&scanned).expect("writable");
        }
        report.finish(&samples::summary()).expect("finished");
        let bytes = std::fs::read(&path).expect("there");
        let rows = parsed(&bytes);
        assert_eq!(rows[0], CSV_COLUMNS);
        // The photo with two findings has two rows.
        assert_eq!(rows.len(), 1 + samples::scan().len() + 1);
        insta::assert_snapshot!(String::from_utf8(bytes).expect("UTF-8"));
    }

    #[test]
    fn formulas_are_defused() {
        for (text, cell) in [
            ("=HYPERLINK(\"http://x\")", "'=HYPERLINK(\"http://x\")"),
            ("+1", "'+1"),
            ("-1", "'-1"),
            ("@SUM(A1)", "'@SUM(A1)"),
            ("\t=1", "'\t=1"),
            ("\r=1", "'\r=1"),
            ("＝1", "'＝1"),
            ("'=1", "''=1"),
            ("  =1", "'  =1"),
            ("\u{feff}=1", "'\u{feff}=1"),
            ("'tis", "'tis"),
            ("a=1", "a=1"),
            ("", ""),
        ] {
            assert_eq!(guarded(text), cell);
            assert_eq!(unguarded(cell), text);
        }
    }

    #[test]
    fn numbers_stay_numbers() {
        let mut listing = Listing::default();
        listing.other.insert("price".into(), (-5).into());
        listing.other.insert("quantity".into(), "-5".into());
        let cells = listing_cells(&listing);
        assert_eq!((cells[4].as_str(), cells[6].as_str()), ("-5", "'-5"));
    }

    proptest! {
        #[test]
        fn any_text_comes_back_and_none_is_a_formula(
            texts in prop::collection::vec("(?s)['=+@\\-\t\r\n,\"]{0,2}.{0,20}", 4)
        ) {
            let mut scanned = samples::scan().remove(0);
            scanned.listing = Arc::new(Listing {
                listing_id: texts[0].clone(),
                other: Map::from_iter([("title".into(), texts[1].clone().into())]),
                ..Listing::default()
            });
            scanned.photo = texts[2].clone();
            scanned.outcome = Err(texts[3].clone());
            let header = vec![CSV_COLUMNS.map(String::from).to_vec()];
            let rows = parsed(&encode(header.into_iter().chain(rows(&scanned))));
            prop_assert_eq!(rows.len(), 2);
            let back = [0, 20, 1, 19].map(|column| rows[1][column].as_str());
            for (cell, text) in back.iter().zip(&texts) {
                prop_assert_eq!(unguarded(cell), text);
                prop_assert!(!cell.starts_with(['=', '+', '-', '@', '\t', '\r']));
            }
        }
    }
}
