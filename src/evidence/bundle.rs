//! Making a bundle: everything that is needed to find the same again, and nothing else.

use std::collections::BTreeMap;
use std::path::Path;

use super::check::{Bundle, Check, check};
use super::container::{Entries, Limits, pack};
use super::overlay::{PhotoLabel, draw_finding};
use super::record::{
    AssetRecord, AssetRole, BundleRecord, FORMAT, PictureRecord, README, RECORD, RESULT,
    RegistryRecord, SettingsRecord, VERSION, overlay_entry,
};
use super::result::result_json;
use super::{BundleFault, EvidenceError, file};
use crate::domain::{AssetId, FileDigest};
use crate::engine::{Engine, EngineError, Examination, Lessons};
use crate::imaging::PictureFormat;
use crate::matching::teaching::Lesson;
use crate::store::StoreError;

/// What the entry [`README`] says.
const README_TEXT: &str = include_str!("readme.txt");

/// A bundle that was made.
pub struct MadeBundle {
    /// The zip archive.
    pub bytes: Vec<u8>,
    /// SHA-256 of the archive. Noted elsewhere, it tells later whether the bundle is still this one.
    pub sha256: FileDigest,
    /// What came out when the bundle was run again at once. Differences mean that the registry was
    /// described by another version, or on another machine.
    pub check: Check,
}

impl MadeBundle {
    /// Writes the archive to `path`, where nothing may be yet; on disk when this returns.
    ///
    /// # Errors
    /// [`EvidenceError::Exists`], [`EvidenceError::DiskFull`], [`EvidenceError::Write`].
    pub fn write(&self, path: &Path) -> Result<(), EvidenceError> {
        file::write_new(path, &self.bytes)
    }
}

/// The bundle of an examination of the photo `bytes`, which is called `name`.
///
/// It holds the findings with the registered pictures that they and their measurements rest on; of a
/// photo with nothing on it the asset that came nearest, in place of findings.
///
/// # Errors
/// [`EvidenceError::Refused`] for more than a bundle may hold; otherwise as
/// [`draw_finding`].
pub fn make_bundle(
    engine: &Engine,
    name: &str,
    bytes: &[u8],
    examination: &Examination,
) -> Result<MadeBundle, EvidenceError> {
    let policy = engine.settings().policy;
    let findings = examination.judgement.reported(&policy);
    let mut entries = Entries::new();
    let photo = picture(&mut entries, name, bytes, "photo");
    let assets = assets(engine, examination, &mut entries)?;
    let label = PhotoLabel {
        name,
        sha256: photo.sha256,
    };
    for (position, finding) in findings.iter().enumerate() {
        let drawn = draw_finding(engine, examination, finding, label)?;
        entries.insert(overlay_entry(position), drawn);
    }
    // What is there for its words alone is no candidate without its pictures.
    let has_numbers = |a: &AssetRecord| a.role != AssetRole::Words;
    let is_kept = |id: AssetId| {
        let mut assets = assets.iter();
        assets.any(|a| a.id == id && has_numbers(a)).then_some(id)
    };
    let result = result_json(examination, &policy, is_kept).map_err(BundleFault::from)?;
    entries.insert(RESULT.to_owned(), result);
    entries.insert(README.to_owned(), README_TEXT.as_bytes().to_vec());
    let digests = entries
        .iter()
        .map(|(name, bytes)| (name.clone(), FileDigest::of(bytes)));
    let record = BundleRecord {
        format: FORMAT.to_owned(),
        format_version: VERSION,
        made_at: jiff::Timestamp::now().to_string(),
        tool: engine.fingerprint()?,
        registry: RegistryRecord {
            id: engine.store().registry_id().map_err(EngineError::from)?,
            revision: examination.revision,
        },
        settings: SettingsRecord::of(engine.settings()),
        photo,
        lessons: lessons(&examination.lessons, &assets),
        assets,
        entries: digests.collect(),
        timings_ms: examination.timings_ms,
    };
    let record = serde_json::to_vec_pretty(&record).map_err(BundleFault::from)?;
    entries.insert(RECORD.to_owned(), record);
    let bytes = pack(&entries, Limits::DEFAULT)?;
    let bundle = Bundle::from_bytes(&bytes)?;
    let check = check(&bundle, &engine.with_empty_registry()?)?;
    Ok(MadeBundle {
        sha256: bundle.sha256(),
        bytes,
        check,
    })
}

/// The assets that the numbers rest on; their pictures go into `entries`.
fn assets(
    engine: &Engine,
    examination: &Examination,
    entries: &mut Entries,
) -> Result<Vec<AssetRecord>, EvidenceError> {
    let judged = &examination.judgement.judged;
    let reported = examination.judgement.reported(&engine.settings().policy);
    let mut subjects: Vec<AssetId> = reported.iter().map(|f| f.asset_id).collect();
    if subjects.is_empty() {
        subjects.extend(judged.first().map(|j| j.finding.asset_id));
    }
    let basis = engine.basis(examination, &subjects);
    let mut ids: Vec<AssetId> = basis.assets.union(&basis.words_only).copied().collect();
    ids.sort_unstable();
    let role = |id: &AssetId| {
        if subjects.contains(id) {
            AssetRole::Subject
        } else if basis.assets.contains(id) {
            AssetRole::Compared
        } else {
            AssetRole::Words
        }
    };
    let records = ids.iter().map(|id| asset(engine, *id, role(id), entries));
    Ok(records
        .collect::<Result<_, StoreError>>()
        .map_err(EngineError::from)?)
}

/// What was learnt of the brands of these assets.
fn lessons(lessons: &Lessons, assets: &[AssetRecord]) -> BTreeMap<String, Lesson> {
    let applied = lessons.applied().into_iter();
    applied
        .filter(|(brand, _)| assets.iter().any(|asset| asset.brand == *brand))
        .map(|(brand, lesson)| (brand.to_owned(), lesson))
        .collect()
}

fn asset(
    engine: &Engine,
    id: AssetId,
    role: AssetRole,
    entries: &mut Entries,
) -> Result<AssetRecord, StoreError> {
    let store = engine.store();
    let asset = store.asset(id)?;
    let kept = match role {
        AssetRole::Words => Vec::new(),
        AssetRole::Subject | AssetRole::Compared => store.pictures_of(id)?,
    };
    let mut pictures = Vec::with_capacity(kept.len());
    for kept in kept {
        let bytes = store.picture_bytes(kept.id)?;
        let stem = format!("pictures/{}", kept.sha256);
        pictures.push(PictureRecord {
            registered_at: Some(kept.created_at),
            exemplar_of: kept.exemplar_of,
            ..picture(entries, &kept.source_name, &bytes, &stem)
        });
    }
    Ok(AssetRecord {
        id,
        role,
        brand: asset.draft.brand,
        name: asset.draft.name,
        kind: asset.draft.kind,
        registration_number: asset.draft.registration_number,
        valid_from: asset.draft.valid_from,
        valid_until: asset.draft.valid_until,
        word_marks: asset.draft.word_marks,
        registered_at: asset.created_at,
        pictures,
    })
}

/// Adds a picture to `entries` under `stem` and the ending of its format.
fn picture(entries: &mut Entries, name: &str, bytes: &[u8], stem: &str) -> PictureRecord {
    let entry = format!("{stem}.{}", ending(bytes));
    entries.insert(entry.clone(), bytes.to_vec());
    PictureRecord {
        name: name.to_owned(),
        entry,
        sha256: FileDigest::of(bytes),
        n_bytes: bytes.len() as u64,
        registered_at: None,
        exemplar_of: None,
    }
}

fn ending(bytes: &[u8]) -> &'static str {
    match PictureFormat::of(bytes) {
        Ok(PictureFormat::Jpeg) => "jpg",
        Ok(PictureFormat::Png) => "png",
        Ok(PictureFormat::WebP) => "webp",
        Ok(PictureFormat::Gif) => "gif",
        Ok(PictureFormat::Tiff) => "tif",
        Ok(PictureFormat::Bmp) => "bmp",
        Ok(PictureFormat::Svg) => "svg",
        Err(_) => "bin",
    }
}
