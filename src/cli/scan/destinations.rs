//! Where results go, and in which form.

use std::path::{Path, PathBuf};

use anyhow::{Context, bail};

use super::Writers;
use crate::report::{CsvReport, JsonlReport, Output, ReportFormat};
use crate::scanning::Document;

/// One place for results.
#[derive(Debug, Clone)]
pub(super) struct Destination {
    pub path: PathBuf,
    pub format: ReportFormat,
    /// Whether bytes go straight to a reader.
    is_stream: bool,
}

/// All places for results.
#[derive(Debug)]
pub(super) struct Destinations {
    all: Vec<Destination>,
    /// Position of the file that rows under way and the summary stand beside.
    main: Option<usize>,
}

impl Destinations {
    /// `formats`: none, or one for each.
    pub(super) fn new(paths: &[PathBuf], formats: &[ReportFormat]) -> anyhow::Result<Self> {
        if !formats.is_empty() && formats.len() != paths.len() {
            bail!(
                "{} --format for {} --out: give one for each, or none",
                formats.len(),
                paths.len()
            );
        }
        let all = paths
            .iter()
            .enumerate()
            .map(|(i, path)| Destination::new(path, formats.get(i).copied()))
            .collect::<anyhow::Result<Vec<_>>>()?;
        for (i, destination) in all.iter().enumerate() {
            if all[..i].iter().any(|other| other.path == destination.path) {
                bail!("--out {} is given twice", destination.path.display());
            }
        }
        // Rows are JSON lines: they become the file itself when there is one of these.
        let files = || all.iter().enumerate().filter(|(_, d)| !d.is_stream);
        let main = files()
            .find(|(_, d)| d.format == ReportFormat::Jsonl)
            .or_else(|| files().next())
            .map(|(i, _)| i);
        Ok(Self { all, main })
    }

    /// The file that rows under way and the summary stand beside; `None` when all are streams.
    pub(super) fn main(&self) -> Option<&Destination> {
        self.main.map(|i| &self.all[i])
    }

    /// Whether that file holds the rows themselves.
    pub(super) fn main_is_rows(&self) -> bool {
        self.main()
            .is_some_and(|main| main.format == ReportFormat::Jsonl)
    }

    pub(super) fn are_there(&self) -> bool {
        self.all.iter().all(|d| d.is_stream || d.path.is_file())
    }

    /// Finds out before the work whether files can be made there.
    pub(super) fn check(&self) -> anyhow::Result<()> {
        for destination in self.all.iter().filter(|d| !d.is_stream) {
            // Dropped at once, and gone with that.
            drop(Output::create(&destination.path)?);
        }
        Ok(())
    }

    /// Whether rows must be kept for something that is written at the end.
    pub(super) fn need_rows(&self) -> bool {
        self.all.iter().any(|d| !d.is_live())
    }

    /// Writers of what a reader gets row by row.
    pub(super) fn open_live(&self) -> anyhow::Result<Writers<'static>> {
        let mut writers = Writers::new();
        for destination in self.all.iter().filter(|d| d.is_live()) {
            let output = Output::create(&destination.path)?;
            writers.push(match destination.format {
                ReportFormat::Csv => Box::new(CsvReport::new(output)?),
                _ => Box::new(JsonlReport::new(output)),
            });
        }
        Ok(writers)
    }

    /// What is made of the rows when all are there.
    pub(super) fn documents(&self) -> Vec<Document> {
        let is_rows = |i: usize| self.main == Some(i) && self.main_is_rows();
        let made = self.all.iter().enumerate();
        made.filter(|(i, d)| !d.is_live() && !is_rows(*i))
            .map(|(_, d)| d.document())
            .collect()
    }
}

impl Destination {
    pub(super) fn new(path: &Path, format: Option<ReportFormat>) -> anyhow::Result<Self> {
        let format = match format {
            Some(format) => format,
            None if path == Path::new("-") => ReportFormat::Jsonl,
            None => ReportFormat::of_path(path).with_context(|| {
                format!(
                    "{}: say with --format what to write: jsonl, csv, parquet or html",
                    path.display()
                )
            })?,
        };
        Ok(Self {
            path: path.to_owned(),
            format,
            is_stream: Output::is_stream(path),
        })
    }

    /// What is to be made there.
    pub(super) fn document(&self) -> Document {
        Document {
            path: self.path.clone(),
            format: self.format,
        }
    }

    /// Whether a reader gets it row by row.
    fn is_live(&self) -> bool {
        self.is_stream && matches!(self.format, ReportFormat::Jsonl | ReportFormat::Csv)
    }
}
