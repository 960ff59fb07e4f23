//! Running a bundle's case again: does the same come out?

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::Path;

use serde::Serialize;
use serde_json::Value;

use super::consistency::entry;
use super::container::{Entries, Limits, unpack};
use super::difference::{Difference, differences};
use super::overlay::{PhotoLabel, draw_finding};
use super::record::{AssetRole, BundleRecord, RESULT, overlay_entry};
use super::result::result_json;
use super::{BundleFault, EvidenceError};
use crate::domain::{AssetId, FileDigest, PhotoVerdict};
use crate::engine::{Engine, EngineSettings, Examination, Fingerprint};

/// A bundle whose entries are those of its record, byte for byte.
pub struct Bundle {
    record: BundleRecord,
    entries: Entries,
    sha256: FileDigest,
}

impl Bundle {
    /// Reads a bundle into memory; nothing is written anywhere.
    ///
    /// # Errors
    /// [`EvidenceError::Read`]; [`EvidenceError::Refused`] for anything that is not a whole and
    /// consistent bundle.
    pub fn read(path: &Path) -> Result<Self, EvidenceError> {
        let failed = |source| EvidenceError::Read {
            path: path.to_owned(),
            source,
        };
        // Opening a pipe may take for ever.
        if !fs::metadata(path).map_err(failed)?.is_file() {
            return Err(failed(io::Error::other("not a file")));
        }
        let file = File::open(path).map_err(failed)?;
        let mut bytes = Vec::new();
        file.take(Limits::DEFAULT.file_bytes + 1)
            .read_to_end(&mut bytes)
            .map_err(failed)?;
        Ok(Self::from_bytes(&bytes)?)
    }

    /// As [`Bundle::read`], of a file in memory.
    ///
    /// # Errors
    /// [`BundleFault`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, BundleFault> {
        let entries = unpack(bytes, Limits::DEFAULT)?;
        Ok(Self {
            record: BundleRecord::of(&entries)?,
            entries,
            sha256: FileDigest::of(bytes),
        })
    }

    /// What was compared with what, by what, when.
    pub fn record(&self) -> &BundleRecord {
        &self.record
    }

    /// SHA-256 of the archive.
    pub fn sha256(&self) -> FileDigest {
        self.sha256
    }

    /// `settings` with those of the bundle in place of its own: thresholds and stages. Networks and
    /// judge stay those that are installed.
    ///
    /// # Errors
    /// [`EvidenceError::Refused`] for settings that cannot be.
    pub fn settings(&self, settings: EngineSettings) -> Result<EngineSettings, EvidenceError> {
        Ok(self.record.settings.applied(settings)?)
    }
}

/// What came out when a case was run again.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Check {
    /// What is said of the photo now.
    pub answer: PhotoVerdict,
    /// Networks, judge, numbers, words and pictures that are not as recorded.
    pub differences: Vec<Difference>,
    /// Program, runtime and machine where they are not as recorded: they explain differences, and are
    /// none themselves.
    pub circumstances: Vec<Difference>,
}

impl Check {
    /// Whether everything came out as recorded.
    pub fn is_same(&self) -> bool {
        self.differences.is_empty()
    }
}

/// Runs the case again on `engine`, which must have an empty registry of its own
/// ([`Engine::open_in_memory`]) and the settings of [`Bundle::settings`].
///
/// # Errors
/// [`EvidenceError::Refused`] for a record that contradicts itself; [`EvidenceError::Engine`] when
/// the pictures cannot be compared at all.
pub fn check(bundle: &Bundle, engine: &Engine) -> Result<Check, EvidenceError> {
    let recorded_ids = register(bundle, engine)?;
    engine.apply_lessons(bundle.record.lessons.clone());
    let photo = entry(&bundle.entries, &bundle.record.photo.entry)?;
    let examination = engine.examine(photo, None)?;
    let policy = engine.settings().policy;
    let mut check = Check {
        answer: examination.verdict(&policy),
        differences: Vec::new(),
        circumstances: Vec::new(),
    };
    for finding in &mut check.answer.findings {
        if let Some(&recorded) = recorded_ids.get(&finding.asset_id) {
            finding.asset_id = recorded;
        }
    }
    check.compare_tools(&bundle.record.tool, &engine.fingerprint()?);
    let found = result_json(&examination, &policy, |id| recorded_ids.get(&id).copied());
    let found = found.map_err(BundleFault::from)?;
    let recorded = entry(&bundle.entries, RESULT)?;
    if found == recorded {
        check.compare_overlays(bundle, engine, &examination)?;
    } else {
        check.compare_results(recorded, &found)?;
    }
    Ok(check)
}

/// Registers the bundle's assets in the order in which they were registered, on which ties depend;
/// returns their recorded ids by their new ones.
fn register(bundle: &Bundle, engine: &Engine) -> Result<BTreeMap<AssetId, AssetId>, EvidenceError> {
    let mut recorded_ids = BTreeMap::new();
    for asset in &bundle.record.assets {
        let pictures = asset
            .pictures
            .iter()
            .map(|p| {
                let bytes = entry(&bundle.entries, &p.entry)?;
                Ok((p.name.as_str(), bytes, p.exemplar_of))
            })
            .collect::<Result<Vec<_>, BundleFault>>()?;
        let registered = engine.register_as_recorded(asset.draft(), &pictures)?;
        if !registered.created || registered.added.len() != pictures.len() {
            let what = format!("{:?} / {:?}", asset.brand, asset.name);
            let reason = format!("{what} is there twice, or one of its pictures");
            return Err(BundleFault::BadRecord { reason }.into());
        }
        if asset.role != AssetRole::Words {
            recorded_ids.insert(registered.asset_id, asset.id);
        }
    }
    Ok(recorded_ids)
}

impl Check {
    fn compare_tools(&mut self, recorded: &Fingerprint, found: &Fingerprint) {
        let digest = |d: Option<&FileDigest>| d.map(FileDigest::to_hex);
        let mut note = |is_circumstance: bool, what: &str, a: Option<String>, b: Option<String>| {
            if a != b {
                let difference = Difference::new(what, a, b);
                if is_circumstance {
                    self.circumstances.push(difference);
                } else {
                    self.differences.push(difference);
                }
            }
        };
        let text = |s: &String| Some(s.clone());
        note(
            false,
            "model",
            text(&recorded.model.0),
            text(&found.model.0),
        );
        let mut roles: Vec<&String> = recorded.files.keys().chain(found.files.keys()).collect();
        roles.sort();
        roles.dedup();
        for role in roles {
            let [a, b] = [recorded, found].map(|tool| digest(tool.files.get(role)));
            note(false, &format!("SHA-256 of {role}"), a, b);
        }
        let [a, b] = [recorded, found].map(|tool| text(&tool.touchstone));
        note(true, "touchstone", a, b);
        let [a, b] = [recorded, found].map(|tool| digest(tool.onnxruntime.as_ref()));
        note(true, "SHA-256 of ONNX Runtime", a, b);
        let [a, b] = [recorded, found].map(|tool| text(&tool.machine));
        note(true, "machine", a, b);
    }

    fn compare_results(&mut self, recorded: &[u8], found: &[u8]) -> Result<(), BundleFault> {
        let [a, b] = [recorded, found].map(serde_json::from_slice::<Value>);
        let mut all = differences(&a?, &b?);
        if all.is_empty() {
            // Only the order of parts, or the spacing.
            let [a, b] = [recorded, found].map(|text| FileDigest::of(text).to_hex());
            all.push(Difference::new(format!("SHA-256 of {RESULT}"), a, b));
        }
        self.differences.append(&mut all);
        Ok(())
    }

    /// The pictures for people must show what was found.
    fn compare_overlays(
        &mut self,
        bundle: &Bundle,
        engine: &Engine,
        examination: &Examination,
    ) -> Result<(), EvidenceError> {
        let findings = examination.judgement.reported(&engine.settings().policy);
        let photo = &bundle.record.photo;
        let label = PhotoLabel {
            name: &photo.name,
            sha256: photo.sha256,
        };
        let mut drawn = BTreeMap::new();
        for (position, finding) in findings.iter().enumerate() {
            let jpeg = draw_finding(engine, examination, finding, label)?;
            drawn.insert(overlay_entry(position), FileDigest::of(&jpeg).to_hex());
        }
        let recorded: BTreeMap<String, String> = bundle
            .record
            .overlays()
            .map(|name| (name.clone(), bundle.record.entries[name].to_hex()))
            .collect();
        let mut names: Vec<&String> = recorded.keys().chain(drawn.keys()).collect();
        names.sort();
        names.dedup();
        for name in names {
            let [a, b] = [&recorded, &drawn].map(|all| all.get(name).cloned());
            if a != b {
                let what = format!("SHA-256 of {name}");
                self.differences.push(Difference::new(what, a, b));
            }
        }
        Ok(())
    }
}
