//! One JSON object a line for each photo.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{Output, ReportError, ScanWriter, Summary};
use crate::domain::{
    Finding, Listing, PhotoMark, PhotoVerdict, ScanStamp, ScannedPhoto, Seller, StageTimings,
    Verdict, Work,
};

/// What is written of one photo. Every field is always there, in this order; what does not apply is
/// `null` (`findings`: empty). Fields may be added, at the end or within objects.
///
/// | field | |
/// |---|---|
/// | `listing_id` | text, the marketplace's id of the offer |
/// | `photo` | text, the photo's location as the manifest gave it |
/// | `sha256` | text, 64 lower-case hex digits of the file; `null` when it could not be read |
/// | `verdict` | `"Clear"`, `"Review"`, `"Flagged"`; `null` when the photo failed |
/// | `findings` | list of [`Finding`], most probable first |
/// | `photo_size` | `[width, height]` of the upright photo, pixels |
/// | `timings_ms` | object, [`StageTimings`] |
/// | `error` | text, why the photo failed; `null` otherwise |
/// | `listing` | object: `seller` when known, then every other field of the listing as it came |
/// | `key` | text, [`ScannedPhoto::key`]: tells the row from all others, and is the same when it is made again |
/// | `model`, `registry`, `registry_revision` | [`ScanStamp`]: with what the verdict was made |
/// | `mark` | text, [`PhotoMark`], by which nearly equal photos are found; `null` when the photo failed |
/// | `work` | `"computed"`, `"cached"`, `"earlier"`: [`Work`] |
/// | `read_ms` | number, milliseconds until the bytes were there |
#[derive(Debug, Serialize)]
pub struct PhotoRecord<'a> {
    listing_id: &'a str,
    photo: &'a str,
    sha256: Option<&'a str>,
    verdict: Option<Verdict>,
    findings: &'a [Finding],
    photo_size: Option<[u32; 2]>,
    timings_ms: Option<StageTimings>,
    error: Option<&'a str>,
    listing: ListingRest<'a>,
    #[serde(flatten)]
    origin: RowOrigin<'a>,
}

/// What tells a row from all others, and how it came to be.
#[derive(Debug, Serialize)]
pub(super) struct RowOrigin<'a> {
    key: String,
    #[serde(flatten)]
    stamp: &'a ScanStamp,
    mark: Option<String>,
    work: Work,
    read_ms: f64,
}

impl<'a> RowOrigin<'a> {
    pub(super) fn of(scanned: &'a ScannedPhoto) -> Self {
        Self {
            key: scanned.key(),
            stamp: &scanned.stamp,
            mark: scanned.mark.map(|mark| mark.to_hex()),
            work: scanned.work,
            read_ms: scanned.read_ms,
        }
    }
}

/// The fields of a listing that the record does not name itself.
#[derive(Debug, Serialize)]
pub(super) struct ListingRest<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    seller: Option<&'a Seller>,
    #[serde(flatten)]
    other: &'a Map<String, Value>,
}

impl<'a> ListingRest<'a> {
    pub(super) fn of(listing: &'a Listing) -> Self {
        Self {
            seller: listing.seller.as_ref(),
            other: &listing.other,
        }
    }
}

impl<'a> PhotoRecord<'a> {
    /// The record of `scanned`.
    pub fn new(scanned: &'a ScannedPhoto) -> Self {
        let judged = scanned.outcome.as_ref().ok();
        Self {
            listing_id: &scanned.listing.listing_id,
            photo: &scanned.photo,
            sha256: scanned.sha256.as_deref(),
            verdict: judged.map(|photo| photo.verdict),
            findings: judged.map_or(&[], |photo| &photo.findings),
            photo_size: judged.map(|photo| photo.photo_size),
            timings_ms: judged.map(|photo| photo.timings_ms),
            error: scanned.outcome.as_ref().err().map(String::as_str),
            listing: ListingRest::of(&scanned.listing),
            origin: RowOrigin::of(scanned),
        }
    }

    /// The record as one line, without its end.
    pub fn to_line(&self) -> String {
        serde_json::to_string(self).expect("keys are texts and no field's form can fail")
    }
}

/// A record as it is read again.
#[derive(Deserialize)]
struct ReadRecord {
    listing_id: String,
    photo: String,
    sha256: Option<String>,
    verdict: Option<Verdict>,
    findings: Vec<Finding>,
    photo_size: Option<[u32; 2]>,
    timings_ms: Option<StageTimings>,
    error: Option<String>,
    listing: ReadListing,
    #[serde(flatten)]
    stamp: ScanStamp,
    mark: Option<String>,
    work: Work,
    read_ms: f64,
}

#[derive(Deserialize)]
struct ReadListing {
    #[serde(default)]
    seller: Option<Seller>,
    #[serde(flatten)]
    other: Map<String, Value>,
}

/// Reads a line that [`PhotoRecord::to_line`] wrote. The names of the listing's other photos are not in
/// it.
///
/// # Errors
/// What is wrong with it, in words.
pub fn read_record(line: &[u8]) -> Result<ScannedPhoto, String> {
    let read: ReadRecord = serde_json::from_slice(line).map_err(|cause| cause.to_string())?;
    let outcome = match (read.verdict, read.photo_size, read.timings_ms, read.error) {
        (Some(verdict), Some(photo_size), Some(timings_ms), None) => Ok(PhotoVerdict {
            verdict,
            findings: read.findings,
            photo_size,
            timings_ms,
        }),
        (None, _, _, Some(error)) => Err(error),
        _ => return Err("neither a whole verdict nor an error".to_owned()),
    };
    let mark = read
        .mark
        .map(|text| PhotoMark::from_hex(&text).ok_or_else(|| format!("the mark {text:?} is none")));
    Ok(ScannedPhoto {
        listing: Arc::new(Listing {
            listing_id: read.listing_id,
            photos: Vec::new(),
            seller: read.listing.seller,
            other: read.listing.other,
        }),
        photo: read.photo,
        sha256: read.sha256,
        mark: mark.transpose()?,
        work: read.work,
        read_ms: read.read_ms,
        stamp: Arc::new(read.stamp),
        outcome,
    })
}

/// Writes a [`PhotoRecord`] a line.
#[derive(Debug)]
pub struct JsonlReport {
    output: Output,
}

impl JsonlReport {
    /// Writes to `output`.
    pub fn new(output: Output) -> Self {
        Self { output }
    }
}

impl ScanWriter for JsonlReport {
    fn write(&mut self, scanned: &ScannedPhoto) -> Result<(), ReportError> {
        let mut line = PhotoRecord::new(scanned).to_line();
        line.push('\n');
        self.output.write_record(line.as_bytes())
    }

    fn finish(self: Box<Self>, _summary: &Summary) -> Result<(), ReportError> {
        self.output.finish()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::samples;
    use super::*;

    #[test]
    fn records_keep_their_form() {
        for (idx, scanned) in samples::scan().iter().enumerate() {
            insta::assert_json_snapshot!(format!("record_{idx}"), PhotoRecord::new(scanned));
        }
    }

    #[test]
    fn records_are_read_back() {
        for scanned in samples::scan() {
            let line = PhotoRecord::new(&scanned).to_line();
            let mut read = read_record(line.as_bytes()).expect("a record");
            assert_eq!(read.key(), scanned.key());
            Arc::make_mut(&mut read.listing).photos = scanned.listing.photos.clone();
            assert_eq!(read, scanned);
            for n in 0..line.len() {
                assert!(read_record(&line.as_bytes()[..n]).is_err(), "{n}");
            }
        }
    }

    #[test]
    fn a_failure_has_every_field_too() {
        let keys = |line: &str| {
            let value: Map<String, Value> = serde_json::from_str(line).expect("JSON");
            value.keys().cloned().collect::<Vec<_>>()
        };
        let scan = samples::scan();
        let failed = scan.iter().find(|s| s.outcome.is_err()).expect("a failure");
        assert_eq!(
            keys(&PhotoRecord::new(failed).to_line()),
            keys(&PhotoRecord::new(&scan[0]).to_line())
        );
    }

    #[test]
    fn a_scan_becomes_a_file_of_lines() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("out.jsonl");
        let output = Output::create(&path).expect("creatable");
        let mut report = Box::new(JsonlReport::new(output));
        for scanned in samples::scan() {
            report.write(&scanned).expect("writable");
        }
        report.finish(&samples::summary()).expect("finished");
        let text = std::fs::read_to_string(&path).expect("there");
        assert_eq!(text.lines().count(), samples::scan().len());
        assert!(text.ends_with('\n'));
    }

    proptest! {
        #[test]
        fn any_text_comes_back(texts in prop::collection::vec(any::<String>(), 4)) {
            let mut scanned = samples::scan().remove(0);
            scanned.listing = Arc::new(Listing {
                listing_id: texts[0].clone(),
                other: Map::from_iter([(format!("x{}", texts[1]), texts[2].clone().into())]),
                ..Listing::default()
            });
            scanned.outcome = Err(texts[3].clone());
            let line = PhotoRecord::new(&scanned).to_line();
            prop_assert!(!line.contains(['\n', '\r']));
            let value: Value = serde_json::from_str(&line).expect("JSON");
            prop_assert_eq!(value["listing_id"].as_str(), Some(texts[0].as_str()));
            prop_assert_eq!(value["error"].as_str(), Some(texts[3].as_str()));
            let other = &value["listing"][format!("x{}", texts[1])];
            prop_assert_eq!(other.as_str(), Some(texts[2].as_str()));
        }
    }
}
