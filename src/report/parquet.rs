//! A row for each photo in columns, for DuckDB, Spark, pandas and the like.

use std::io;
use std::sync::Arc;

use arrow_json::reader::{Decoder, ReaderBuilder};
use arrow_schema::{ArrowError, DataType, Field, Fields, Schema};
use parquet::arrow::ArrowWriter;
use parquet::basic::Compression;
use parquet::errors::ParquetError;
use parquet::file::properties::WriterProperties;
use serde::Serialize;
use serde_json::Value;

use super::jsonl::{ListingRest, RowOrigin};
use super::words::{LISTING_COLUMNS, listing_field};
use super::{Output, ReportError, ScanWriter, Summary};
use crate::domain::{AssetKind, Finding, FindingKind, ScannedPhoto, StageTimings, Verdict};

/// Rows that are made into columns together; they lie in memory until then.
const BATCH_ROWS: usize = 1024;
/// Rows of a row group, which readers read at once. Its columns lie in memory, compressed, until it is full.
const GROUP_ROWS: usize = 64 * 1024;

/// The columns. New ones come at the end. What does not apply is null; `findings` is empty then.
///
/// | column | type | |
/// |---|---|---|
/// | `listing_id`, `photo`, `sha256`, `verdict`, `error` | text | as in the JSON lines |
/// | `findings` | list of structs | as in the JSON lines, `region` a struct of `x, y, w, h`, `measurements` a JSON object as text |
/// | `photo_width`, `photo_height` | int32 | pixels of the upright photo |
/// | `timings_ms` | struct of doubles | milliseconds per stage |
/// | `title` … `currency`, `quantity` | text | the listing's fields; what is no text, as JSON |
/// | `seller_id`, `seller_name`, `seller_country` | text | |
/// | `listing` | text | a JSON object: `seller`, then every field of the listing as it came |
/// | `key`, `model`, `registry`, `mark`, `work` | text | as in the JSON lines |
/// | `registry_revision` | int64 | |
/// | `read_ms` | double | |
pub fn parquet_schema() -> Schema {
    let text = |name: &str| Field::new(name, DataType::Utf8, true);
    let always = |name: &str| Field::new(name, DataType::Utf8, false);
    let number = |name: &str, kind: DataType| Field::new(name, kind, true);
    let region = ["x", "y", "w", "h"].map(|side| Field::new(side, DataType::Float32, false));
    let reason = Field::new("item", DataType::Utf8, false);
    let finding: Fields = vec![
        Field::new("asset_id", DataType::Int64, false),
        always("asset"),
        always("brand"),
        always("asset_kind"),
        always("kind"),
        Field::new("region", DataType::Struct(region.to_vec().into()), false),
        Field::new("probability", DataType::Float64, false),
        Field::new("authorised_seller", DataType::Boolean, false),
        Field::new("reasons", DataType::List(Arc::new(reason)), false),
        always("measurements"),
    ]
    .into();
    let finding = Field::new("item", DataType::Struct(finding), false);
    let stages = ["prepare", "embed", "find_candidates", "verify", "judge"]
        .map(|stage| Field::new(stage, DataType::Float64, false));
    let mut fields = vec![
        always("listing_id"),
        always("photo"),
        text("sha256"),
        text("verdict"),
        Field::new("findings", DataType::List(Arc::new(finding)), false),
        number("photo_width", DataType::Int32),
        number("photo_height", DataType::Int32),
        number("timings_ms", DataType::Struct(stages.to_vec().into())),
        text("error"),
    ];
    fields.extend(LISTING_COLUMNS.map(text));
    fields.extend(["seller_id", "seller_name", "seller_country"].map(text));
    fields.extend(["listing", "key", "model", "registry"].map(always));
    fields.push(Field::new("registry_revision", DataType::Int64, false));
    fields.extend([text("mark"), always("work")]);
    fields.push(Field::new("read_ms", DataType::Float64, false));
    Schema::new(fields)
}

/// A row, in the form of [`parquet_schema`].
#[derive(Serialize)]
struct Row<'a> {
    listing_id: &'a str,
    photo: &'a str,
    sha256: Option<&'a str>,
    verdict: Option<Verdict>,
    findings: Vec<FindingColumns<'a>>,
    photo_width: Option<u32>,
    photo_height: Option<u32>,
    timings_ms: Option<StageTimings>,
    error: Option<&'a str>,
    #[serde(flatten)]
    fields: serde_json::Map<String, Value>,
    seller_id: Option<&'a str>,
    seller_name: Option<&'a str>,
    seller_country: Option<&'a str>,
    listing: String,
    #[serde(flatten)]
    origin: RowOrigin<'a>,
}

#[derive(Serialize)]
struct FindingColumns<'a> {
    asset_id: i64,
    asset: &'a str,
    brand: &'a str,
    asset_kind: AssetKind,
    kind: FindingKind,
    region: Sides,
    probability: f64,
    authorised_seller: bool,
    reasons: &'a [String],
    measurements: String,
}

#[derive(Serialize)]
struct Sides {
    x: f32,
    y: f32,
    w: f32,
    h: f32,
}

impl<'a> Row<'a> {
    fn new(scanned: &'a ScannedPhoto) -> Self {
        let listing = &scanned.listing;
        let seller = listing.seller.as_ref();
        let judged = scanned.outcome.as_ref().ok();
        let fields = LISTING_COLUMNS.iter().filter_map(|name| {
            Some((
                (*name).to_owned(),
                Value::String(listing_field(listing, name)?),
            ))
        });
        Self {
            listing_id: &listing.listing_id,
            photo: &scanned.photo,
            sha256: scanned.sha256.as_deref(),
            verdict: judged.map(|photo| photo.verdict),
            findings: judged
                .map_or(&[][..], |photo| &photo.findings)
                .iter()
                .map(FindingColumns::new)
                .collect(),
            photo_width: judged.map(|photo| photo.photo_size[0]),
            photo_height: judged.map(|photo| photo.photo_size[1]),
            timings_ms: judged.map(|photo| photo.timings_ms),
            error: scanned.outcome.as_ref().err().map(String::as_str),
            fields: fields.collect(),
            seller_id: seller.and_then(|s| s.id.as_deref()),
            seller_name: seller.and_then(|s| s.name.as_deref()),
            seller_country: seller.and_then(|s| s.country.as_deref()),
            listing: serde_json::to_string(&ListingRest::of(listing)).expect("keys are texts"),
            origin: RowOrigin::of(scanned),
        }
    }
}

impl<'a> FindingColumns<'a> {
    fn new(finding: &'a Finding) -> Self {
        let region = finding.region;
        Self {
            asset_id: finding.asset_id.0,
            asset: &finding.asset,
            brand: &finding.brand,
            asset_kind: finding.asset_kind,
            kind: finding.kind,
            region: Sides {
                x: region.x,
                y: region.y,
                w: region.w,
                h: region.h,
            },
            probability: finding.probability,
            authorised_seller: finding.authorised_seller,
            reasons: &finding.reasons,
            measurements: serde_json::to_string(&finding.measurements).expect("numbers are JSON"),
        }
    }
}

/// Writes [`parquet_schema`].
pub struct ParquetReport {
    destination: String,
    decoder: Decoder,
    n_waiting: usize,
    writer: ArrowWriter<Output>,
}

impl ParquetReport {
    /// Writes to `output`.
    ///
    /// # Errors
    /// [`ReportError`] when nothing can be written there.
    pub fn new(output: Output) -> Result<Self, ReportError> {
        let destination = output.destination().to_owned();
        let schema = Arc::new(parquet_schema());
        let decoder = ReaderBuilder::new(Arc::clone(&schema))
            .with_batch_size(BATCH_ROWS)
            .build_decoder()
            .map_err(|cause| columns(&destination, &cause))?;
        let properties = WriterProperties::builder()
            .set_compression(Compression::SNAPPY)
            .set_max_row_group_row_count(Some(GROUP_ROWS))
            .build();
        let writer = ArrowWriter::try_new(output, schema, Some(properties))
            .map_err(|cause| failed(&destination, cause))?;
        Ok(Self {
            destination,
            decoder,
            n_waiting: 0,
            writer,
        })
    }

    fn write_waiting(&mut self) -> Result<(), ReportError> {
        self.n_waiting = 0;
        let batch = self.decoder.flush();
        if let Some(batch) = batch.map_err(|cause| columns(&self.destination, &cause))? {
            let written = self.writer.write(&batch);
            written.map_err(|cause| failed(&self.destination, cause))?;
        }
        Ok(())
    }
}

impl ScanWriter for ParquetReport {
    fn write(&mut self, scanned: &ScannedPhoto) -> Result<(), ReportError> {
        let row = Row::new(scanned);
        let taken = self.decoder.serialize(std::slice::from_ref(&row));
        taken.map_err(|cause| columns(&self.destination, &cause))?;
        self.n_waiting += 1;
        if self.n_waiting == BATCH_ROWS {
            self.write_waiting()?;
        }
        Ok(())
    }

    fn finish(mut self: Box<Self>, _summary: &Summary) -> Result<(), ReportError> {
        self.write_waiting()?;
        let destination = self.destination;
        let output = self.writer.into_inner();
        output
            .map_err(|cause| failed(&destination, cause))?
            .finish()
    }
}

fn columns(destination: &str, cause: &ArrowError) -> ReportError {
    ReportError::Columns {
        destination: destination.to_owned(),
        reason: cause.to_string(),
    }
}

/// A failure to write is one of the disk's or of the reader's, as for every other report.
fn failed(destination: &str, cause: ParquetError) -> ReportError {
    match cause {
        ParquetError::External(cause) => match cause.downcast::<io::Error>() {
            Ok(cause) => ReportError::from_write(destination, 0, *cause),
            Err(other) => ReportError::Columns {
                destination: destination.to_owned(),
                reason: other.to_string(),
            },
        },
        other => ReportError::Columns {
            destination: destination.to_owned(),
            reason: other.to_string(),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::super::samples;
    use super::*;
    use arrow_array::cast::AsArray;
    use arrow_array::types::{Float64Type, Int32Type};
    use arrow_array::{Array, RecordBatch};
    use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
    use std::fs::File;
    use std::path::Path;

    fn written(scan: &[ScannedPhoto], path: &Path) -> Vec<RecordBatch> {
        let output = Output::create(path).expect("creatable");
        let mut report = Box::new(ParquetReport::new(output).expect("writable"));
        for scanned in scan {
            report.write(scanned).expect("written");
        }
        report.finish(&samples::summary()).expect("finished");
        let builder = ParquetRecordBatchReaderBuilder::try_new(File::open(path).expect("there"));
        let reader = builder.expect("Parquet").build().expect("columns");
        reader.map(|batch| batch.expect("a batch")).collect()
    }

    #[test]
    fn rows_come_back_with_their_types() {
        let folder = tempfile::tempdir().expect("a folder");
        let scan = samples::scan();
        let batches = written(&scan, &folder.path().join("out.parquet"));
        let batch = &batches[0];
        assert_eq!(batch.num_rows(), scan.len());
        assert_eq!(batch.schema().fields(), parquet_schema().fields());
        let column = |name: &str| batch.column_by_name(name).expect("a column");
        let text = |name: &str, row: usize| column(name).as_string::<i32>().value(row).to_owned();
        for (row, scanned) in scan.iter().enumerate() {
            assert_eq!(text("listing_id", row), scanned.listing.listing_id);
            assert_eq!(text("photo", row), scanned.photo);
            assert_eq!(text("key", row), scanned.key());
            assert_eq!(column("verdict").is_null(row), scanned.outcome.is_err());
            assert_eq!(column("error").is_null(row), scanned.outcome.is_ok());
        }
        assert_eq!(
            column("photo_width").as_primitive::<Int32Type>().value(0),
            1024
        );
        assert_eq!(text("price", 0), "11.9");
        let listing: Value = serde_json::from_str(&text("listing", 0)).expect("JSON");
        assert_eq!(listing["warehouse"]["row"], 7);
        assert_eq!(listing["seller"]["since"], 2019);
        let findings = column("findings").as_list::<i32>();
        let sizes: Vec<_> = (0..scan.len())
            .map(|row| findings.value_length(row))
            .collect();
        assert_eq!(sizes, [2, 1, 1, 0, 0]);
        let of_first = findings.value(0);
        let probabilities = of_first.as_struct().column_by_name("probability");
        let probabilities = probabilities
            .expect("a column")
            .as_primitive::<Float64Type>();
        assert_eq!(probabilities.value(0), 0.9724);
    }

    #[test]
    fn many_rows_and_none_make_a_file_too() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("out.parquet");
        let scan: Vec<_> = samples::scan()
            .into_iter()
            .cycle()
            .take(2 * BATCH_ROWS + 7)
            .collect();
        let n_rows: usize = written(&scan, &path)
            .iter()
            .map(RecordBatch::num_rows)
            .sum();
        assert_eq!(n_rows, scan.len());
        assert!(
            written(&[], &path)
                .iter()
                .all(|batch| batch.num_rows() == 0)
        );
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_full_disk_is_told_as_such() {
        let output = Output::create(Path::new("/dev/full")).expect("a device");
        let mut report = Box::new(ParquetReport::new(output).expect("buffered"));
        for scanned in samples::scan() {
            report.write(&scanned).expect("buffered");
        }
        let error = report.finish(&samples::summary()).expect_err("no space");
        assert!(matches!(error, ReportError::DiskFull { .. }), "{error}");
    }
}
