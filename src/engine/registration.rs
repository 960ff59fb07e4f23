//! Taking assets in: decode, describe, write in one transaction, follow.

use rayon::prelude::*;
use serde::Serialize;

use super::describe::{AS_GIVEN, SPACE_WHOLE, SPACE_WINDOW, versions};
use super::manifest::{AssetSource, ManifestError};
use super::{Engine, EngineError};
use crate::domain::{AssetDraft, AssetId, AssetKind, FindingId, PictureId};
use crate::imaging::{self, Picture};
use crate::matching::features::{FeatureLimits, LocalFeatures};
use crate::matching::hash::PictureHash;
use crate::store::{Descriptor, Features, NewPicture, Registered, Registration};

/// Kind under which the store keeps local features; changed with their form.
pub(super) const FEATURES_KIND: &str = "sift@1";

/// Kind under which the store keeps the words on a picture; changed with their form or their reader.
pub(super) const WORDS_KIND: &str = "words@3";

/// Pictures described before they are written together: bounds memory, and spares a wait for the disk
/// for each one.
const BATCH: usize = 64;

/// What a reference shows.
#[derive(Debug, Clone, Copy)]
enum Showing {
    /// The brand's own picture of an asset of this kind.
    Own(AssetKind),
    /// The part of a photo that a confirmed finding is about: in the one version in which it was seen, and
    /// not to be compared with whole photos, whose surroundings it has lost.
    Exemplar,
}

/// One input that was not registered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RegistrationFailure {
    /// File, or manifest and line.
    pub source: String,
    /// What is wrong with it.
    pub reason: String,
}

/// What became of a bulk registration.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct RegistrationReport {
    /// Assets that are new.
    pub n_assets_created: usize,
    /// Pictures that are new.
    pub n_pictures_added: usize,
    /// Pictures that their asset had already, byte for byte.
    pub n_duplicates: usize,
    /// Pictures that some other asset has too, byte for byte.
    pub n_shared_with_others: usize,
    /// Inputs that were skipped, in the order of their appearance.
    pub failures: Vec<RegistrationFailure>,
}

impl Engine {
    /// Registers one asset with its pictures: all of them, or nothing. On disk and searchable when
    /// this returns.
    ///
    /// # Errors
    /// [`EngineError`] for a picture that cannot be read or a draft that is refused.
    pub fn register(
        &self,
        draft: AssetDraft,
        pictures: &[(String, Vec<u8>)],
    ) -> Result<Registered, EngineError> {
        let given: Vec<_> = pictures.iter().map(|(n, b)| (&**n, &**b, None)).collect();
        self.register_as_recorded(draft, &given)
    }

    /// As [`Engine::register`], also of pictures that were exemplars of findings where they come from:
    /// `(name, bytes, finding)`.
    ///
    /// # Errors
    /// As [`Engine::register`].
    pub fn register_as_recorded(
        &self,
        draft: AssetDraft,
        pictures: &[(&str, &[u8], Option<FindingId>)],
    ) -> Result<Registered, EngineError> {
        let described = pictures
            .par_iter()
            .map(|(name, bytes, finding)| match finding {
                None => self.describe_reference(name, bytes, draft.kind),
                Some(_) => Ok(NewPicture {
                    exemplar_of: *finding,
                    ..self.describe_exemplar(name, bytes)?
                }),
            })
            .collect::<Result<Vec<_>, _>>()?;
        let registered = self.store.register(&draft, &described)?;
        self.refresh()?;
        Ok(registered)
    }

    /// Registers everything that `sources` name. What cannot be read is reported and skipped; the
    /// rest goes in, in transactions of up to 64 pictures. `progress` is called with the number of
    /// inputs done.
    ///
    /// # Errors
    /// [`EngineError`] when the store or a network fails; what was written before stays.
    pub fn register_all(
        &self,
        sources: impl Iterator<Item = Result<AssetSource, ManifestError>>,
        mut progress: impl FnMut(usize),
    ) -> Result<RegistrationReport, EngineError> {
        let mut report = RegistrationReport::default();
        let mut batch = Vec::with_capacity(BATCH);
        for source in sources {
            batch.push(source);
            if batch.len() == BATCH {
                self.register_batch(std::mem::take(&mut batch), &mut report)?;
                progress(BATCH);
            }
        }
        let n_rest = batch.len();
        self.register_batch(batch, &mut report)?;
        progress(n_rest);
        self.settle_indexes();
        Ok(report)
    }

    fn register_batch(
        &self,
        batch: Vec<Result<AssetSource, ManifestError>>,
        report: &mut RegistrationReport,
    ) -> Result<(), EngineError> {
        let described: Vec<_> = batch
            .into_par_iter()
            .map(|source| self.describe_source(source))
            .collect();
        let mut names = Vec::new();
        let mut registrations = Vec::new();
        for outcome in described {
            match outcome? {
                Ok((name, registration)) => {
                    names.push(name);
                    registrations.push(registration);
                }
                Err(failure) => report.failures.push(failure),
            }
        }
        let answers = self.store.register_many(&registrations)?;
        for (source, answer) in names.into_iter().zip(answers) {
            match answer {
                Ok(registered) => report.count(&registered),
                Err(error) => report.failures.push(RegistrationFailure {
                    source,
                    reason: error.to_string(),
                }),
            }
        }
        self.refresh()
    }

    /// The outer error is ours and ends the registration; the inner one is the input's.
    fn describe_source(
        &self,
        source: Result<AssetSource, ManifestError>,
    ) -> Result<Result<(String, Registration), RegistrationFailure>, EngineError> {
        let source = match source {
            Ok(source) => source,
            Err(error) => {
                return Ok(Err(RegistrationFailure {
                    source: error.place(),
                    reason: error.reason(),
                }));
            }
        };
        let failed = |reason: String| RegistrationFailure {
            source: named(&source),
            reason,
        };
        let bytes = match self.read_file(&source.path) {
            Ok(bytes) => bytes,
            Err(reason) => return Ok(Err(failed(reason))),
        };
        let name = source
            .path
            .file_name()
            .unwrap_or_default()
            .to_string_lossy();
        match self.describe_reference(&name, &bytes, source.draft.kind) {
            Ok(picture) => Ok(Ok((
                named(&source),
                Registration {
                    draft: source.draft.clone(),
                    pictures: vec![picture],
                },
            ))),
            Err(error) if error.is_bad_input() => Ok(Err(failed(error.to_string()))),
            Err(error) => Err(error),
        }
    }

    /// Decodes and describes a picture to register.
    fn describe_reference(
        &self,
        source_name: &str,
        bytes: &[u8],
        kind: AssetKind,
    ) -> Result<NewPicture, EngineError> {
        self.describe_as(source_name, bytes, Showing::Own(kind))
    }

    /// Decodes and describes the part of a photo that a confirmed finding is about.
    pub(super) fn describe_exemplar(
        &self,
        source_name: &str,
        bytes: &[u8],
    ) -> Result<NewPicture, EngineError> {
        self.describe_as(source_name, bytes, Showing::Exemplar)
    }

    fn describe_as(
        &self,
        source_name: &str,
        bytes: &[u8],
        showing: Showing,
    ) -> Result<NewPicture, EngineError> {
        let picture = imaging::decode_reference(bytes, &self.limits)?.on_natural_ground();
        if imaging::is_uniform(&picture.pixels) {
            return Err(EngineError::BlankReference);
        }
        let gray = image::imageops::grayscale(&imaging::trim(&picture.pixels));
        let local = LocalFeatures::extract(&gray, &FeatureLimits::REFERENCE);
        let (descriptors, mut features) = self.descriptors(&picture, showing)?;
        features.push(Features {
            kind: FEATURES_KIND.to_owned(),
            variant: AS_GIVEN.to_owned(),
            bytes: local.to_bytes(),
        });
        Ok(NewPicture {
            source_name: source_name.to_owned(),
            bytes: bytes.to_vec(),
            width: picture.original_size[0],
            height: picture.original_size[1],
            hash: PictureHash::of(&picture.pixels).as_bytes().to_vec(),
            exemplar_of: None,
            descriptors,
            features,
        })
    }

    /// What the networks say of a reference in each version in which it is registered: vectors, and
    /// cells and words in the form in which the store keeps them.
    fn descriptors(
        &self,
        picture: &Picture,
        showing: Showing,
    ) -> Result<(Vec<Descriptor>, Vec<Features>), EngineError> {
        let descriptor = |space: &str, variant: &str, embedding| Descriptor {
            space: space.to_owned(),
            variant: variant.to_owned(),
            model: self.model().clone(),
            embedding,
        };
        let mut descriptors = Vec::new();
        let mut features = Vec::new();
        let versions = match showing {
            Showing::Own(kind) => {
                let whole = self.embedder.embed_whole(&picture.pixels)?;
                descriptors.push(descriptor(SPACE_WHOLE, AS_GIVEN, whole));
                versions(&picture.pixels, kind)
            }
            Showing::Exemplar => vec![(AS_GIVEN, picture.pixels.clone())],
        };
        for (variant, pixels) in versions {
            let described = self.embedder.embed_reference(&pixels)?;
            descriptors.push(descriptor(SPACE_WINDOW, variant, described.embedding));
            features.extend(described.cells.map(|cells| Features {
                kind: self.cells_kind(),
                variant: variant.to_owned(),
                bytes: cells.to_bytes(),
            }));
        }
        let words = self.read_words(&imaging::trim(&picture.pixels))?;
        features.extend(words.map(|words| Features {
            kind: WORDS_KIND.to_owned(),
            variant: AS_GIVEN.to_owned(),
            bytes: serde_json::to_vec(&words).expect("words are JSON"),
        }));
        Ok((descriptors, features))
    }

    /// Kind under which the store keeps cells: those of another network are of no use.
    pub(super) fn cells_kind(&self) -> String {
        format!("cells {}", self.model())
    }

    /// Describes all pictures anew with the network in use, which then takes over. Interrupted, it
    /// goes on where it stopped; until it is done the old network's vectors stay in use. `progress`
    /// is called with the number of pictures done.
    ///
    /// # Errors
    /// [`EngineError`] when the store or the network fails.
    pub fn reembed(&self, mut progress: impl FnMut(usize)) -> Result<usize, EngineError> {
        let model = self.model().clone();
        let mut n_done = 0;
        loop {
            let batch = self.next_undescribed(BATCH)?;
            if batch.is_empty() {
                break;
            }
            let described = batch
                .par_iter()
                .map(|&(id, showing)| {
                    let bytes = self.store.picture_bytes(id)?;
                    let picture = imaging::decode_reference(&bytes, &self.limits)?;
                    let (descriptors, features) =
                        self.descriptors(&picture.on_natural_ground(), showing)?;
                    // Before the descriptors, which say that the picture is done.
                    self.store.put_features(id, &features)?;
                    Ok((id, descriptors))
                })
                .collect::<Result<Vec<_>, EngineError>>()?;
            self.store.put_descriptors(&described)?;
            n_done += batch.len();
            progress(batch.len());
        }
        self.store
            .activate_models(&[(SPACE_WINDOW, model.clone()), (SPACE_WHOLE, model)])?;
        Ok(n_done)
    }

    fn next_undescribed(&self, n: usize) -> Result<Vec<(PictureId, Showing)>, EngineError> {
        let mut batch = Vec::with_capacity(n);
        let mut after = None;
        while batch.len() < n {
            let next = self
                .store
                .next_undescribed(SPACE_WINDOW, self.model(), after)?;
            let Some(picture) = next else { break };
            after = Some(picture.id);
            let showing = match picture.exemplar_of {
                Some(_) => Showing::Exemplar,
                None => Showing::Own(self.store.asset(picture.asset_id)?.draft.kind),
            };
            batch.push((picture.id, showing));
        }
        Ok(batch)
    }

    /// Refuses a registry that another network has made.
    pub(super) fn check_model(&self) -> Result<(), EngineError> {
        match self.store.model(SPACE_WINDOW)? {
            Some(registry) if registry != *self.model() => Err(EngineError::ModelMismatch {
                registry,
                given: self.model().clone(),
            }),
            _ => Ok(()),
        }
    }

    /// The first picture of an asset as matching sees it, one of the brand's own if there is any; `None` when
    /// it has none.
    ///
    /// # Errors
    /// Those of the store, and of decoding.
    pub fn reference_picture(&self, asset: AssetId) -> Result<Option<Picture>, EngineError> {
        let mut pictures = self.store.pictures_of(asset)?;
        pictures.sort_by_key(|picture| picture.exemplar_of.is_some());
        let Some(picture) = pictures.first() else {
            return Ok(None);
        };
        let bytes = self.store.picture_bytes(picture.id)?;
        let decoded = imaging::decode_reference(&bytes, &self.limits)?;
        Ok(Some(decoded.on_natural_ground()))
    }
}

impl RegistrationReport {
    fn count(&mut self, registered: &Registered) {
        self.n_assets_created += usize::from(registered.created);
        self.n_pictures_added += registered.added.len();
        self.n_duplicates += registered.duplicates.len();
        self.n_shared_with_others += registered.same_picture_elsewhere.len();
    }
}

fn named(source: &AssetSource) -> String {
    let path = source.path.display().to_string();
    if source.source_name == path {
        path
    } else {
        format!("{} ({path})", source.source_name)
    }
}
