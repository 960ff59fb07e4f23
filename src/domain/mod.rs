//! Plain types and their invariants, used by every other layer.
//!
//! No IO, no pixels, no database. A type with an invariant has private fields and a constructor that
//! checks it; everything else is a plain struct with public fields.

mod access;
mod asset;
mod causes;
mod cells;
mod digest;
mod embedding;
mod finding;
mod listing;
mod measurements;
mod percent;
mod region;
mod review;
mod scan;
mod shortened;
mod webhook;

pub use access::{AccessWordError, Actor, AuditAction, KeyId, Role, TenantName};
pub use asset::{
    Asset, AssetDraft, AssetId, AssetKind, Brand, BrandId, DomainError, PictureId, split_list,
};
pub use causes::with_causes;
pub use cells::{CellMap, CellsError, ReferenceCells};
pub use digest::FileDigest;
pub use embedding::{Embedding, EmbeddingError, ModelId, Similarity, dot};
pub use finding::{Finding, FindingKind, PhotoVerdict, Promise, StageTimings, Verdict};
pub use listing::{Listing, Seller};
pub use measurements::Measurements;
pub use percent::percent;
pub use region::Region;
pub use review::{
    Decided, DecisionId, FindingId, FindingSource, FindingStatus, Keep, Keeping, Opinion, PhotoId,
    Screening,
};
pub use scan::{PhotoMark, ScanId, ScanStamp, ScanState, ScannedPhoto, Shard, ShardError, Work};
pub use shortened::shortened;
pub use webhook::{DeliveryState, EventKind, WebhookId, WebhookIdError};
