//! What a finding rests on: a picture for people, and a bundle that can be checked again elsewhere.
//!
//! A *bundle* is a zip archive with the photo, the registered pictures that its numbers rest on, every
//! number, and what they were made with. [`check()`] runs the case again from those pictures alone. The
//! numbers of a finding depend on other assets too: its margins are measured against the best of
//! another brand, and a word that is one mark is no misspelling of another. [`Engine::basis`] says
//! which; a bundle holds those and no others, so that it shows no more of a registry than it must.
//!
//! Nothing is judged here, and nothing is sent anywhere.
//!
//! [`Engine::basis`]: crate::engine::Engine::basis

mod bundle;
mod check;
mod consistency;
mod container;
mod difference;
mod error;
mod file;
mod overlay;
mod record;
mod result;
mod sheet;

#[cfg(test)]
mod tests;

pub use bundle::{MadeBundle, make_bundle};
pub use check::{Bundle, Check, check};
pub use difference::Difference;
pub use error::{BundleFault, EvidenceError};
pub use overlay::{PhotoLabel, draw_finding, write_findings};
pub use record::{
    AssetRecord, AssetRole, BundleRecord, PictureRecord, RegistryRecord, SettingsRecord,
};
