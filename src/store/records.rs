//! What goes into the registry and what comes out of it.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::domain::{
    Asset, AssetDraft, AssetId, AssetKind, Embedding, FileDigest, FindingId, ModelId, PictureId,
};

/// A vector that describes a picture, or a version of it, in one space.
#[derive(Debug, Clone, PartialEq)]
pub struct Descriptor {
    /// What it is compared with, e.g. `window` or `whole`; one model per space.
    pub space: String,
    /// Which version of the picture it describes, e.g. `plain`, `inverted`, `dark`.
    pub variant: String,
    /// The network that made it.
    pub model: ModelId,
    /// The vector.
    pub embedding: Embedding,
}

/// Local features of a picture, in a form that only their maker reads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Features {
    /// Which features, with their version, e.g. `sift@1`.
    pub kind: String,
    /// Which version of the picture they were found in.
    pub variant: String,
    /// The features.
    pub bytes: Vec<u8>,
}

/// A reference picture to register.
#[derive(Debug, Clone, PartialEq)]
pub struct NewPicture {
    /// Where it came from, for people: a file name, a URL.
    pub source_name: String,
    /// The file as it came, at most 1 GB (SQLite's limit).
    pub bytes: Vec<u8>,
    /// Width of the upright picture, pixels.
    pub width: u32,
    /// Height of the upright picture, pixels.
    pub height: u32,
    /// Its perceptual hash, in a form that only its maker reads.
    pub hash: Vec<u8>,
    /// The confirmed finding whose part of a photo it is; `None` for a picture of the brand's own.
    pub exemplar_of: Option<FindingId>,
    /// Its vectors.
    pub descriptors: Vec<Descriptor>,
    /// Its local features.
    pub features: Vec<Features>,
}

/// An asset with its pictures, one entry of a batch.
#[derive(Debug, Clone, PartialEq)]
pub struct Registration {
    /// The asset.
    pub draft: AssetDraft,
    /// Its pictures; may be empty.
    pub pictures: Vec<NewPicture>,
}

/// What a registration did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Registered {
    /// The asset, new or found.
    pub asset_id: AssetId,
    /// Whether it is new.
    pub created: bool,
    /// Pictures that the asset did not have, in the order given.
    pub added: Vec<PictureId>,
    /// Pictures given that the asset already had, byte for byte.
    pub duplicates: Vec<PictureId>,
    /// The given pictures where other assets have them too, byte for byte.
    pub same_picture_elsewhere: Vec<(AssetId, PictureId)>,
}

/// What is kept of a picture beside its bytes and vectors.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Picture {
    /// Database identity.
    pub id: PictureId,
    /// The asset that it shows.
    pub asset_id: AssetId,
    /// SHA-256 of the file.
    pub sha256: FileDigest,
    /// Where it came from.
    pub source_name: String,
    /// Width of the upright picture, pixels.
    pub width: u32,
    /// Height of the upright picture, pixels.
    pub height: u32,
    /// Size of the file.
    pub n_bytes: u64,
    /// When it was registered, RFC 3339 UTC.
    pub created_at: String,
    /// The confirmed finding whose part of a photo it is; absent for a picture of the brand's own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exemplar_of: Option<FindingId>,
}

/// An asset with its pictures, one line of an export.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct AssetRecord {
    /// The asset.
    #[serde(flatten)]
    pub asset: Asset,
    /// Its pictures, oldest first.
    pub pictures: Vec<Picture>,
}

/// Which assets to list; the default is all.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct AssetFilter {
    /// Only of the brand with this name.
    pub brand: Option<String>,
    /// Only of brands with these names.
    pub brands: Option<Vec<String>>,
    /// Only of this kind.
    pub kind: Option<AssetKind>,
    /// Only enabled, or only disabled ones.
    pub enabled: Option<bool>,
    /// Only those whose name holds this text; ASCII letters of either case.
    pub name_contains: Option<String>,
    /// Only those with a greater id: the last of the page before.
    pub after: Option<AssetId>,
    /// At most this many.
    pub limit: Option<u32>,
}

/// A picture as the index needs it.
#[derive(Debug, Clone, PartialEq)]
pub struct IndexedPicture {
    /// Database identity.
    pub id: PictureId,
    /// The asset that it shows.
    pub asset_id: AssetId,
    /// Width of the upright picture, pixels.
    pub width: u32,
    /// Height of the upright picture, pixels.
    pub height: u32,
    /// Its perceptual hash.
    pub hash: Vec<u8>,
    /// The confirmed finding whose part of a photo it is; `None` for a picture of the brand's own.
    pub exemplar_of: Option<FindingId>,
    /// Its vectors, of each space's current model only.
    pub descriptors: Vec<Descriptor>,
    /// Its local features; empty when they were not asked for.
    pub features: Vec<Features>,
}

/// One step from an older state of the registry to the present one.
#[derive(Debug, Clone, PartialEq)]
pub enum RegistryChange {
    /// An asset is new, or its fields or its pictures changed.
    Asset(Asset),
    /// An asset is gone, with all its pictures, which come as changes of their own.
    AssetRemoved(AssetId),
    /// A picture is new, or was described anew: it takes the place of what was known of it.
    Picture(IndexedPicture),
    /// A picture is gone. The reader may never have heard of it.
    PictureRemoved(PictureId),
}

/// All changes after a revision.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct RegistryDelta {
    /// The revision reached: ask for changes since this one next time.
    pub revision: u64,
    /// Assets that are new or changed.
    pub assets: Vec<Asset>,
    /// Assets that are gone.
    pub removed_assets: Vec<AssetId>,
    /// Pictures that are new or were described anew.
    pub pictures: Vec<IndexedPicture>,
    /// Pictures that are gone; the reader may never have heard of them.
    pub removed_pictures: Vec<PictureId>,
}
