//! Telling other programs what happened: which events there are, and how receivers are called.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use thiserror::Error;
use utoipa::ToSchema;

use super::review::words;

/// What other programs are told of.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema,
)]
pub enum EventKind {
    /// Something registered was found on a photo, for the first time.
    #[serde(rename = "finding.created")]
    FindingCreated,
    /// Someone said something of a finding, or took that back.
    #[serde(rename = "finding.decided")]
    FindingDecided,
    /// A scan has ended.
    #[serde(rename = "scan.finished")]
    ScanFinished,
}

words!(
    EventKind,
    FindingCreated => "finding.created",
    FindingDecided => "finding.decided",
    ScanFinished => "scan.finished"
);

/// Hexadecimal digits of a webhook's id.
const N_DIGITS: usize = 12;
/// What a webhook's id begins with.
const PREFIX: &str = "wh_";

/// The text is no webhook's id.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{found:?} is no id of a webhook: it is {PREFIX} and {N_DIGITS} hexadecimal digits")]
pub struct WebhookIdError {
    /// The text that was given.
    pub found: String,
}

/// Which webhook.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, ToSchema)]
#[serde(transparent)]
#[schema(value_type = String, example = "wh_0123456789ab")]
pub struct WebhookId(String);

impl WebhookId {
    /// The id of these bytes.
    pub fn of_bytes(bytes: [u8; N_DIGITS / 2]) -> Self {
        let digits: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        Self(format!("{PREFIX}{digits}"))
    }

    /// `wh_` and 12 lower-case hexadecimal digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for WebhookId {
    type Err = WebhookIdError;

    fn from_str(text: &str) -> Result<Self, WebhookIdError> {
        let is_digit = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
        let digits = text.strip_prefix(PREFIX).unwrap_or_default();
        if digits.len() == N_DIGITS && digits.bytes().all(is_digit) {
            return Ok(Self(text.to_owned()));
        }
        Err(WebhookIdError {
            found: text.to_owned(),
        })
    }
}

impl fmt::Display for WebhookId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// What became of an event for one webhook.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum DeliveryState {
    /// It is tried, now or later.
    Pending,
    /// The receiver took it.
    Delivered,
    /// It was given up.
    Failed,
}

words!(
    DeliveryState,
    Pending => "pending",
    Delivered => "delivered",
    Failed => "failed"
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_read_back_and_nothing_else_is() {
        let id = WebhookId::of_bytes([0, 1, 0xab, 0xcd, 0xef, 0xff]);
        assert_eq!(id.as_str(), "wh_0001abcdefff");
        assert_eq!(id.as_str().parse(), Ok(id));
        for text in [
            "",
            "wh_",
            "0001abcdefff",
            "wh_0001ABCDEFFF",
            "wh_0001abcdefff0",
        ] {
            assert!(text.parse::<WebhookId>().is_err(), "{text}");
        }
    }

    #[test]
    fn words_are_those_of_json() {
        for kind in EventKind::ALL {
            assert_eq!(serde_json::to_value(kind).expect("a word"), kind.as_str());
        }
        for state in DeliveryState::ALL {
            assert_eq!(serde_json::to_value(state).expect("a word"), state.as_str());
        }
    }
}
