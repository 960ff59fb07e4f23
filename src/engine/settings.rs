//! What an engine is opened with.

use std::path::PathBuf;

use serde::Serialize;
use utoipa::ToSchema;

use crate::matching::policy::Policy;

/// Everything an engine needs to know; `config` makes it from flags and environment.
#[derive(Debug, Clone)]
pub struct EngineSettings {
    /// Data folder.
    pub home: PathBuf,
    /// Folder with the networks that read words.
    pub models: PathBuf,
    /// Card of the embedding network.
    pub model_card: PathBuf,
    /// Fitted judge.
    pub judge: PathBuf,
    /// Photos worked on at once.
    pub n_threads: usize,
    /// Probabilities → verdict.
    pub policy: Policy,
    /// Sources of evidence in use.
    pub stages: Stages,
}

impl EngineSettings {
    /// Where large indexes are saved; all of it can be made again.
    pub fn index_folder(&self) -> PathBuf {
        self.home.join("index")
    }

    /// Card of the descriptors of pictures that nobody has registered.
    pub fn background_path(&self) -> PathBuf {
        self.models.join("background.toml")
    }
}

/// The stages of the pipeline, in their order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum PipelineStage {
    /// Bytes to pixels.
    Prepare,
    /// Pixels to vectors, hash and words.
    Embed,
    /// Assets worth a look.
    FindCandidates,
    /// A closer look.
    Verify,
    /// Probabilities.
    Judge,
}

impl PipelineStage {
    /// All stages, in their order.
    pub const ALL: [Self; 5] = [
        Self::Prepare,
        Self::Embed,
        Self::FindCandidates,
        Self::Verify,
        Self::Judge,
    ];
}

/// Sources of evidence; all but for measuring what each is worth.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stages {
    /// Whole picture against whole picture.
    pub whole: bool,
    /// Windows of the photo against references.
    pub windows: bool,
    /// The best window against the reference, cell by cell.
    pub cells: bool,
    /// Picture hashes.
    pub hash: bool,
    /// Local features under one transform.
    pub geometry: bool,
    /// Words read in the photo.
    pub words: bool,
}

impl Stages {
    /// The names of the stages.
    pub const NAMES: [&str; 6] = ["whole", "windows", "cells", "hash", "geometry", "words"];

    /// Everything on.
    pub fn all() -> Self {
        Self {
            whole: true,
            windows: true,
            cells: true,
            hash: true,
            geometry: true,
            words: true,
        }
    }

    /// Everything off.
    pub fn none() -> Self {
        Self {
            whole: false,
            windows: false,
            cells: false,
            hash: false,
            geometry: false,
            words: false,
        }
    }

    /// The switch called `name`, one of [`Stages::NAMES`].
    pub fn by_name(&mut self, name: &str) -> Option<&mut bool> {
        match name {
            "whole" => Some(&mut self.whole),
            "windows" => Some(&mut self.windows),
            "cells" => Some(&mut self.cells),
            "hash" => Some(&mut self.hash),
            "geometry" => Some(&mut self.geometry),
            "words" => Some(&mut self.words),
            _ => None,
        }
    }
}
