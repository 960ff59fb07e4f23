//! What goes into the keys and what comes out of them.

use jiff::Timestamp;
use serde::Serialize;
use thiserror::Error;
use utoipa::ToSchema;

use super::text_of;
use crate::domain::{KeyId, Role, TenantName};

/// A key to be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewKey {
    /// Whose data it opens.
    pub tenant: TenantName,
    /// What its holder may do.
    pub role: Role,
    /// Who holds it, for people; 1 to 200 characters.
    pub label: String,
    /// The brands that an owner is bound to; empty: all of the tenant's.
    pub brands: Vec<String>,
    /// When it ends; `None`: not by itself.
    pub expires_at: Option<Timestamp>,
}

/// What is known of a key; not the key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct KeyRecord {
    /// The part of it that is no secret.
    pub id: KeyId,
    /// Whose data it opens.
    pub tenant: TenantName,
    /// What its holder may do.
    pub role: Role,
    /// Who holds it, for people.
    pub label: String,
    /// The brands that an owner is bound to; empty: all of the tenant's.
    pub brands: Vec<String>,
    /// When it was made, RFC 3339 UTC.
    pub created_at: String,
    /// When it ends.
    pub expires_at: Option<String>,
    /// When it was last used, to within a minute.
    pub last_used_at: Option<String>,
    /// When it was revoked.
    pub revoked_at: Option<String>,
}

/// Whether a key opens anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyStanding {
    /// It does.
    Holds,
    /// It was revoked.
    Revoked,
    /// Its time is over.
    Expired,
}

impl KeyStanding {
    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Holds => "holds",
            Self::Revoked => "revoked",
            Self::Expired => "expired",
        }
    }
}

impl KeyRecord {
    /// Whether it opens anything at `now`; one that was revoked and is over counts as revoked.
    pub fn standing(&self, now: Timestamp) -> KeyStanding {
        let is_over = |end: &String| *end <= text_of(now);
        if self.revoked_at.is_some() {
            KeyStanding::Revoked
        } else if self.expires_at.as_ref().is_some_and(is_over) {
            KeyStanding::Expired
        } else {
            KeyStanding::Holds
        }
    }
}

/// A key as it is handed out: once, then never again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IssuedKey {
    /// What is kept of it.
    pub record: KeyRecord,
    /// The key: `ts_`, its id, `_`, 64 hexadecimal digits.
    pub text: String,
}

/// Why a key or session opens nothing.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum KeyRefusal {
    /// It was never made here, or is not written as it was.
    #[error("there is no such key: it reads ts_, 12 digits, _, 64 digits")]
    Unknown,
    /// Its id is known, its secret is another.
    #[error("there is no such key: it reads ts_, 12 digits, _, 64 digits")]
    WrongSecret(Box<KeyRecord>),
    /// It holds no longer.
    #[error("the key was revoked at {}", .0.revoked_at.as_deref().unwrap_or_default())]
    Revoked(Box<KeyRecord>),
    /// Its time is over.
    #[error("the key expired at {}", .0.expires_at.as_deref().unwrap_or_default())]
    Expired(Box<KeyRecord>),
    /// A session that has ended, or never was.
    #[error("nobody is signed in, or no longer")]
    SessionOver,
}

impl KeyRefusal {
    /// The key that was tried, if there is one of that id.
    pub fn key(&self) -> Option<&KeyRecord> {
        match self {
            Self::WrongSecret(key) | Self::Revoked(key) | Self::Expired(key) => Some(key),
            Self::Unknown | Self::SessionOver => None,
        }
    }
}

/// Who holds a key, or is signed in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holder {
    /// Whose data is opened.
    pub tenant: TenantName,
    /// What may be done.
    pub role: Role,
    /// For people.
    pub who: String,
    /// The key; `None` for whoever came by the first start's link.
    pub key_id: Option<KeyId>,
    /// The brands that an owner is bound to; empty: all.
    pub brands: Vec<String>,
    /// When the key was last used, as far as it is noted.
    pub last_used_at: Option<String>,
}

impl From<KeyRecord> for Holder {
    fn from(key: KeyRecord) -> Self {
        Self {
            tenant: key.tenant,
            role: key.role,
            who: key.label,
            key_id: Some(key.id),
            brands: key.brands,
            last_used_at: key.last_used_at,
        }
    }
}

/// A session that begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedIn {
    /// What the browser shows from now on: 64 hexadecimal digits.
    pub token: String,
    /// Who signed in.
    pub holder: Holder,
}
