//! Parquet files as rows of named texts, some hundred at a time.

use std::fs::File;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use arrow_array::RecordBatch;
use arrow_json::LineDelimitedWriter;
use arrow_schema::ArrowError;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

use super::ManifestError;
use super::rows::{MAX_LINE_BYTES, TableRow, bad_line, json_row};

/// Rows that are taken out of their columns together.
const BATCH_ROWS: usize = 256;

/// The rows of a file that people know as `name`: what JSON lines of the same columns would give. Nulls are as if
/// they were not there; dates and times are texts.
///
/// # Errors
/// [`ManifestError::Unreadable`] for what is no such file. Where it cannot be read on, that is the last in the
/// sequence.
pub(super) fn parquet_rows(
    name: &Path,
    file: File,
) -> Result<impl Iterator<Item = Result<TableRow, ManifestError>> + use<>, ManifestError> {
    let batches = ParquetRecordBatchReaderBuilder::try_new(file)
        .and_then(|builder| builder.with_batch_size(BATCH_ROWS).build())
        .map_err(|cause| ManifestError::Unreadable {
            path: name.to_owned(),
            // What is damaged, or of a kind that is not read, stays so.
            cause: io::Error::other(cause),
        })?;
    let name = name.to_owned();
    let (mut batches, mut n_rows, mut is_broken) = (batches, 0u64, false);
    let next_rows = move || {
        if is_broken {
            return None;
        }
        // Damaged columns can trip the library up.
        let read = catch_unwind(AssertUnwindSafe(|| {
            let batch = batches.next()?;
            Some(batch.and_then(|batch| rows_of(&name, &batch, n_rows)))
        }));
        let reason = match read {
            Ok(None) => return None,
            Ok(Some(Ok(rows))) => {
                n_rows += rows.len() as u64;
                return Some(rows);
            }
            Ok(Some(Err(cause))) => cause.to_string(),
            Err(_) => "its columns are damaged".to_owned(),
        };
        is_broken = true;
        let source_name = format!("{} behind line {n_rows}", name.display());
        Some(vec![Err(ManifestError::BrokenOff {
            source_name,
            reason,
        })])
    };
    Ok(std::iter::from_fn(next_rows).flatten())
}

/// The rows of `batch`, before which there were `n_before`.
fn rows_of(
    name: &Path,
    batch: &RecordBatch,
    n_before: u64,
) -> Result<Vec<Result<TableRow, ManifestError>>, ArrowError> {
    let mut lines = Vec::new();
    let mut writer = LineDelimitedWriter::new(&mut lines);
    writer.write(batch)?;
    writer.finish()?;
    drop(writer);
    let lines = lines.split(|byte| *byte == b'\n').take(batch.num_rows());
    let rows = (n_before + 1..).zip(lines).map(|(number, line)| {
        if line.len() > MAX_LINE_BYTES {
            let reason = format!("a row of more than {MAX_LINE_BYTES} bytes");
            return Err(bad_line(name, number, reason));
        }
        json_row(name, number, line)
    });
    Ok(rows.collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow_array::builder::{ListBuilder, StringBuilder};
    use arrow_array::{ArrayRef, Float64Array, StringArray};
    use parquet::arrow::ArrowWriter;
    use serde_json::{Value, json};
    use std::fs;
    use std::sync::Arc;

    fn batch(n: usize) -> RecordBatch {
        let mut photos = ListBuilder::new(StringBuilder::new());
        for row in 0..n {
            photos.values().append_value(format!("{row}.jpg"));
            photos.values().append_value("more.jpg");
            photos.append(true);
        }
        let ids: StringArray = (0..n).map(|row| Some(format!("L-{row}"))).collect();
        let prices: Float64Array = (0..n)
            .map(|row| (row % 2 == 0).then_some(row as f64 + 0.5))
            .collect();
        RecordBatch::try_from_iter([
            ("listing_id", Arc::new(ids) as ArrayRef),
            ("photos", Arc::new(photos.finish())),
            ("price", Arc::new(prices)),
        ])
        .expect("columns of one length")
    }

    fn write(path: &Path, batch: &RecordBatch) {
        let file = File::create(path).expect("a file");
        let mut writer = ArrowWriter::try_new(file, batch.schema(), None).expect("a schema");
        writer.write(batch).expect("written");
        writer.close().expect("closed");
    }

    fn read(path: &Path) -> Vec<Result<TableRow, ManifestError>> {
        let rows = parquet_rows(path, File::open(path).expect("there"));
        rows.expect("a Parquet file").collect()
    }

    #[test]
    fn columns_become_rows_as_json_lines_would() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("listings.parquet");
        write(&path, &batch(BATCH_ROWS + 3));
        let rows: Vec<_> = read(&path)
            .into_iter()
            .map(|row| row.expect("good"))
            .collect();
        assert_eq!(rows.len(), BATCH_ROWS + 3);
        let last = rows.last().expect("many");
        let number = BATCH_ROWS + 2;
        assert_eq!(
            Value::Object(last.fields.clone()),
            json!({"listing_id": format!("L-{number}"), "photos": [format!("{number}.jpg"), "more.jpg"], "price": number as f64 + 0.5})
        );
        assert!(
            last.source_name.ends_with("line 259"),
            "{}",
            last.source_name
        );
        assert!(!rows[1].fields.contains_key("price"), "null");
    }

    #[test]
    fn what_is_damaged_is_told_and_never_taken_for_all_there_is() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("listings.parquet");
        write(&path, &batch(5_000));
        let good = fs::read(&path).expect("there");
        // Without its end it is no Parquet file.
        fs::write(&path, &good[..good.len() / 2]).expect("written");
        let opened = parquet_rows(&path, File::open(&path).expect("there"));
        assert!(matches!(
            opened.err(),
            Some(ManifestError::Unreadable { .. })
        ));
        // Damaged pages: either all rows are there, or the last says that some are missing.
        for at in (8..good.len() / 2).step_by(97) {
            let mut bytes = good.clone();
            bytes[at..at + 8].fill(0xff);
            fs::write(&path, &bytes).expect("written");
            let rows = read(&path);
            let is_told = matches!(rows.last(), Some(Err(ManifestError::BrokenOff { .. })));
            assert!(
                is_told || rows.len() == 5_000,
                "{} rows, byte {at}",
                rows.len()
            );
        }
    }
}
