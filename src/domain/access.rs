//! Who may do what: tenants, roles, keys, and who is named for a deed.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use thiserror::Error;
use utoipa::ToSchema;

use super::review::words;

/// Why a word names no role, no tenant, no key.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum AccessWordError {
    /// The role is none of the four.
    #[error("unknown role {found:?}: use owner, reviewer, screener or operator")]
    UnknownRole {
        /// The word that was given.
        found: String,
    },
    /// The name cannot be a folder's on every system.
    #[error(
        "{found:?} is no name of a tenant: use 1 to {limit} of a-z, 0-9 and -, beginning with a letter"
    )]
    BadTenant {
        /// The name that was given.
        found: String,
        /// Characters allowed.
        limit: usize,
    },
    /// No key is called so.
    #[error("{found:?} is no id of a key: it has {N_KEY_DIGITS} hexadecimal digits")]
    BadKeyId {
        /// The text that was given.
        found: String,
    },
}

/// What the holder of a key may do, within one tenant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// A brand's: registers assets, sees and decides on findings; of all brands, or of those that the
    /// key names.
    Owner,
    /// Sees assets and findings, and decides on findings.
    Reviewer,
    /// A marketplace's: checks photos and listings, and sees its listings.
    Screener,
    /// Everything, keys and the audit log included.
    Operator,
}

words!(Role, Owner => "owner", Reviewer => "reviewer", Screener => "screener", Operator => "operator");

impl FromStr for Role {
    type Err = AccessWordError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::of_word(text).ok_or_else(|| AccessWordError::UnknownRole {
            found: text.to_owned(),
        })
    }
}

/// Longest name of a tenant: with room below the 255 bytes of a path's part.
const MAX_TENANT_CHARS: usize = 63;

/// Whose data it is; also the name of the folder that holds them.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, ToSchema)]
#[serde(transparent)]
#[schema(value_type = String, example = "default")]
pub struct TenantName(String);

impl TenantName {
    const DEFAULT: &str = "default";

    /// As it was given.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether its data lie in the home itself.
    pub fn is_default(&self) -> bool {
        self.0 == Self::DEFAULT
    }
}

impl Default for TenantName {
    /// The tenant that every home has.
    fn default() -> Self {
        Self(Self::DEFAULT.to_owned())
    }
}

impl FromStr for TenantName {
    type Err = AccessWordError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let is_plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
        let begins_well = text.starts_with(|c: char| c.is_ascii_lowercase());
        if begins_well && text.len() <= MAX_TENANT_CHARS && text.bytes().all(is_plain) {
            return Ok(Self(text.to_owned()));
        }
        Err(AccessWordError::BadTenant {
            found: text.to_owned(),
            limit: MAX_TENANT_CHARS,
        })
    }
}

impl fmt::Display for TenantName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// Hexadecimal digits of a key's id.
const N_KEY_DIGITS: usize = 12;

/// The part of a key that is no secret.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, ToSchema)]
#[serde(transparent)]
#[schema(value_type = String, example = "0123456789ab")]
pub struct KeyId(String);

impl KeyId {
    /// The id of these bytes.
    pub fn of_bytes(bytes: [u8; N_KEY_DIGITS / 2]) -> Self {
        Self(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
    }

    /// 12 lower-case hexadecimal digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for KeyId {
    type Err = AccessWordError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let is_digit = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
        if text.len() == N_KEY_DIGITS && text.bytes().all(is_digit) {
            return Ok(Self(text.to_owned()));
        }
        Err(AccessWordError::BadKeyId {
            found: text.to_owned(),
        })
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// Who is named in the audit log for what is done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Actor {
    /// For people: a key's label, a name.
    pub who: String,
    /// The role it was done in; `None` for whoever has the data folder.
    pub role: Option<Role>,
    /// The key it was done with.
    pub key_id: Option<KeyId>,
    /// Finds the request in the server's log.
    pub request_id: Option<String>,
}

impl Actor {
    /// Someone without a key.
    pub fn named(who: impl Into<String>) -> Self {
        Self {
            who: who.into(),
            role: None,
            key_id: None,
            request_id: None,
        }
    }
}

/// What was done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum AuditAction {
    /// A new asset.
    AssetRegistered,
    /// Fields or pictures of an asset that was there.
    AssetChanged,
    /// Photos are compared with it again.
    AssetEnabled,
    /// Photos are no longer compared with it.
    AssetDisabled,
    /// An asset is gone.
    AssetRemoved,
    /// A picture is gone.
    PictureRemoved,
    /// The confirmed part of a photo became a picture of its asset.
    ExemplarAdded,
    /// A brand was promised something of its flagged findings, or no longer.
    PromiseChanged,
    /// Someone said something of a finding.
    Decided,
    /// Someone took that back.
    DecisionUndone,
    /// A listing was forgotten.
    ListingRemoved,
    /// Findings or assets were taken out in a file.
    Exported,
    /// A key was made.
    KeyCreated,
    /// A key holds no longer.
    KeyRevoked,
    /// Someone signed in to the console.
    SignedIn,
    /// Someone signed out.
    SignedOut,
    /// A key was refused at the console's door.
    SignInFailed,
    /// A scan was asked for.
    ScanAsked,
    /// A scan was forgotten, or not wanted any more.
    ScanRemoved,
    /// A webhook was made.
    WebhookCreated,
    /// A webhook is told other things, elsewhere, or nothing.
    WebhookChanged,
    /// A webhook's messages are signed with another secret.
    WebhookSecretChanged,
    /// A webhook is gone.
    WebhookRemoved,
}

words!(AuditAction,
    AssetRegistered => "asset_registered", AssetChanged => "asset_changed",
    AssetEnabled => "asset_enabled", AssetDisabled => "asset_disabled",
    AssetRemoved => "asset_removed", PictureRemoved => "picture_removed",
    ExemplarAdded => "exemplar_added", PromiseChanged => "promise_changed",
    Decided => "decided", DecisionUndone => "decision_undone",
    ListingRemoved => "listing_removed", Exported => "exported",
    KeyCreated => "key_created", KeyRevoked => "key_revoked",
    SignedIn => "signed_in", SignedOut => "signed_out", SignInFailed => "sign_in_failed",
    ScanAsked => "scan_asked", ScanRemoved => "scan_removed",
    WebhookCreated => "webhook_created", WebhookChanged => "webhook_changed",
    WebhookSecretChanged => "webhook_secret_changed", WebhookRemoved => "webhook_removed");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tenants_names_are_safe_folders() {
        for name in ["default", "a", "acme-2", &"a".repeat(63)] {
            assert!(name.parse::<TenantName>().is_ok(), "{name}");
        }
        for name in [
            "",
            "..",
            "Acme",
            "a/b",
            "a.b",
            "-a",
            "2a",
            "é",
            &"a".repeat(64),
        ] {
            assert!(name.parse::<TenantName>().is_err(), "{name}");
        }
    }

    #[test]
    fn ids_of_keys_are_read_back_and_nothing_else_is() {
        let id = KeyId::of_bytes([0, 1, 0xab, 0xcd, 0xef, 0xff]);
        assert_eq!(id.as_str(), "0001abcdefff");
        assert_eq!(id.as_str().parse(), Ok(id));
        for text in [
            "",
            "0001ABCDEFFF",
            "0001abcdeff",
            "0001abcdefff0",
            "é1abcdefff",
        ] {
            assert!(text.parse::<KeyId>().is_err(), "{text}");
        }
    }

    #[test]
    fn words_are_those_of_json() {
        for role in Role::ALL {
            let json = serde_json::to_value(role).expect("a word");
            assert_eq!(json, role.as_str());
        }
        for action in AuditAction::ALL {
            let json = serde_json::to_value(action).expect("a word");
            assert_eq!(json, action.as_str());
        }
    }
}
