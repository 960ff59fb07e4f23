//! What an answer depends on beside the photo and the registry, so that two runs can be compared.

use std::collections::BTreeMap;
use std::path::Path;
use std::{env, fs, io};

use serde::{Deserialize, Serialize};

use super::{Engine, EngineError};
use crate::domain::{FileDigest, ModelId};
use crate::embed::ModelCard;
use crate::runtime;

/// The program and the files that answers are made with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fingerprint {
    /// Version of touchstone.
    pub touchstone: String,
    /// The embedding network.
    pub model: ModelId,
    /// SHA-256 of each file by its role: `judge`, `model_card`, `network`, `whole_card`,
    /// `ocr_card`, `background_card`. A card names the hashes of the files beside it, which are checked when they
    /// are loaded. A role without a file is left out.
    pub files: BTreeMap<String, FileDigest>,
    /// SHA-256 of the ONNX Runtime library; `None` when it is not found.
    pub onnxruntime: Option<FileDigest>,
    /// Processor and system, with those features of the processor that change how sums are rounded:
    /// `x86_64-linux avx2 fma`.
    pub machine: String,
}

impl Engine {
    /// What this engine's answers depend on.
    ///
    /// # Errors
    /// [`EngineError::Unreadable`] for a file that is there but cannot be read.
    pub fn fingerprint(&self) -> Result<Fingerprint, EngineError> {
        let settings = self.settings();
        let mut files = BTreeMap::new();
        let mut add = |role: &str, path: &Path| -> Result<(), EngineError> {
            if let Some(digest) = digest_of(path)? {
                files.insert(role.to_owned(), digest);
            }
            Ok(())
        };
        add("judge", &settings.judge)?;
        add("model_card", &settings.model_card)?;
        if settings.model_card.is_file() {
            let card = ModelCard::read(&settings.model_card)?;
            if let Some(whole) = &card.output.whole {
                add("whole_card", &settings.model_card.with_file_name(whole))?;
            }
            add("network", &settings.model_card.with_file_name(card.file))?;
        }
        if settings.stages.words {
            add("ocr_card", &settings.models.join("ocr/card.toml"))?;
        }
        add("background_card", &settings.background_path())?;
        let library = runtime::library_path().ok();
        Ok(Fingerprint {
            touchstone: env!("CARGO_PKG_VERSION").to_owned(),
            model: self.model().clone(),
            files,
            onnxruntime: library.map(|p| digest_of(&p)).transpose()?.flatten(),
            machine: machine(),
        })
    }
}

impl Engine {
    /// SHA-256 of the judge's file; `None` when there is none.
    pub(super) fn judge_digest(&self) -> Result<Option<FileDigest>, EngineError> {
        digest_of(&self.settings().judge)
    }
}

/// `None` when there is no such file.
fn digest_of(path: &Path) -> Result<Option<FileDigest>, EngineError> {
    match fs::read(path) {
        Ok(bytes) => Ok(Some(FileDigest::of(&bytes))),
        Err(cause) if cause.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(cause) => Err(EngineError::Unreadable {
            path: path.to_owned(),
            cause,
        }),
    }
}

fn machine() -> String {
    let mut parts = vec![format!("{}-{}", env::consts::ARCH, env::consts::OS)];
    parts.extend(features().into_iter().map(str::to_owned));
    parts.join(" ")
}

#[cfg(target_arch = "x86_64")]
fn features() -> Vec<&'static str> {
    let known = [
        ("avx2", is_x86_feature_detected!("avx2")),
        ("fma", is_x86_feature_detected!("fma")),
        ("avx512f", is_x86_feature_detected!("avx512f")),
        ("avx512vnni", is_x86_feature_detected!("avx512vnni")),
    ];
    let present = known.into_iter().filter(|(_, is_there)| *is_there);
    present.map(|(name, _)| name).collect()
}

#[cfg(not(target_arch = "x86_64"))]
fn features() -> Vec<&'static str> {
    Vec::new()
}
