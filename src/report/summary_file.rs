//! The summary of a finished scan for programs: `DEST.summary.json`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use jiff::civil::Date;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::spool::{ScanIdentity, beside, read_json, write_json};
use super::{ReportError, Summary};

/// What stands in `DEST.summary.json`. That it is there means that the scan is finished.
///
/// | field | |
/// |---|---|
/// | `scan` | [`ScanIdentity`]: what was scanned, with which network, registry and settings |
/// | `n_photos` | rows; `n_flagged`, `n_review`, `n_clear` and `n_failed` add up to it, as do `n_computed`, `n_cached` and `n_earlier` |
/// | `failures` | reason → how often |
/// | `n_findings`, `by_kind`, `by_brand`, `n_authorised` | findings; those at authorised sellers are counted apart |
/// | `elapsed_s`, `n_resumed`, `photos_per_s` | wall clock since the scan began or went on, photos that were done before, rate since |
/// | `stages` | `read`, `decode`, `embed`, `search`, `verify`, `judge` → `core_seconds`, `share` |
/// | `core_hours_per_million` | of photos like these |
/// | `peak_memory_bytes` | of the process; `null` where the system does not say |
/// | `reuse` | largest groups of photos that come again: [`ReuseGroup`](super::ReuseGroup) |
/// | `n_reuse_forgotten` | photos left out of these groups because there were too many |
/// | `parts` | of a merged scan, the files that it was made of |
/// | `began_on` | the day on which the first row was made; `null` when nobody knows |
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SummaryFile {
    /// What was scanned, and with what.
    pub scan: ScanIdentity,
    /// Rows.
    pub n_photos: u64,
    /// Rows without a verdict.
    pub n_failed: u64,
    /// All other fields.
    #[serde(flatten)]
    pub rest: BTreeMap<String, Value>,
}

impl SummaryFile {
    /// The summary of a scan.
    pub fn new(scan: ScanIdentity, summary: &Summary, parts: &[String]) -> Self {
        let stages: serde_json::Map<String, Value> = summary
            .stage_costs()
            .iter()
            .map(|cost| {
                let figures = json!({"core_seconds": cost.core_seconds, "share": cost.share});
                (cost.stage.to_owned(), figures)
            })
            .collect();
        let by_kind: BTreeMap<_, _> = summary
            .by_kind
            .iter()
            .map(|(k, n)| (k.as_str(), n))
            .collect();
        let rest = json!({
            "n_flagged": summary.n_flagged,
            "n_review": summary.n_review,
            "n_clear": summary.n_clear,
            "n_computed": summary.n_computed,
            "n_cached": summary.n_cached,
            "n_earlier": summary.n_earlier,
            "failures": summary.failures,
            "n_findings": summary.n_findings,
            "n_authorised": summary.n_authorised,
            "by_kind": by_kind,
            "by_brand": summary.by_brand,
            "elapsed_s": summary.elapsed.as_secs_f64(),
            "n_resumed": summary.n_resumed,
            "photos_per_s": summary.photos_per_s(),
            "stages": stages,
            "core_hours_per_million": summary.core_hours_per_million(),
            "peak_memory_bytes": peak_memory_bytes(),
            "reuse": summary.reuse,
            "n_reuse_forgotten": summary.n_reuse_forgotten,
            "parts": parts,
            "began_on": null,
        });
        let Value::Object(rest) = rest else {
            unreachable!("written as an object");
        };
        Self {
            scan,
            n_photos: summary.n_photos,
            n_failed: summary.n_failed,
            rest: rest.into_iter().collect(),
        }
    }

    /// Says on which day the first row was made.
    #[must_use]
    pub fn begun_on(mut self, day: Option<Date>) -> Self {
        self.rest.insert("began_on".to_owned(), json!(day));
        self
    }

    /// The day on which the first row was made; `None` when nobody knows.
    pub fn began_on(&self) -> Option<Date> {
        self.rest.get("began_on")?.as_str()?.parse().ok()
    }

    /// Where the summary of the results at `destination` stands.
    pub fn path_of(destination: &Path) -> PathBuf {
        beside(destination, ".summary.json")
    }

    /// Writes it, whole or not at all.
    ///
    /// # Errors
    /// [`ReportError`].
    pub fn write(&self, destination: &Path) -> Result<(), ReportError> {
        write_json(&Self::path_of(destination), self)
    }

    /// Reads it; `None` when it is not there, or is none.
    ///
    /// # Errors
    /// [`ReportError::Read`].
    pub fn read(destination: &Path) -> Result<Option<Self>, ReportError> {
        read_json(&Self::path_of(destination))
    }
}

/// Most memory that this process has had, as Linux counts it.
fn peak_memory_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kilobytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kilobytes * 1024)
}

#[cfg(test)]
mod tests {
    use super::super::samples;
    use super::*;

    #[test]
    fn it_is_read_back_and_its_counts_add_up() {
        let folder = tempfile::tempdir().expect("a folder");
        let destination = folder.path().join("out.jsonl");
        assert_eq!(SummaryFile::read(&destination).expect("absent"), None);
        let scan = ScanIdentity {
            shard: "2/8".parse().ok(),
            ..samples::identity()
        };
        let file = SummaryFile::new(scan, &samples::summary(), &[]);
        assert_eq!(file.began_on(), None);
        let day = jiff::civil::date(2026, 11, 29);
        let file = file.begun_on(Some(day));
        file.write(&destination).expect("written");
        let read = SummaryFile::read(&destination)
            .expect("there")
            .expect("a summary");
        assert_eq!((&read.scan, read.n_photos), (&file.scan, file.n_photos));
        assert_eq!(read.began_on(), Some(day));
        let n = |name: &str| read.rest[name].as_u64().expect("a count");
        assert_eq!(
            n("n_flagged") + n("n_review") + n("n_clear") + read.n_failed,
            read.n_photos
        );
        assert_eq!(
            n("n_computed") + n("n_cached") + n("n_earlier"),
            read.n_photos
        );
        if cfg!(target_os = "linux") {
            assert!(n("peak_memory_bytes") > 1 << 20);
        }
    }
}
