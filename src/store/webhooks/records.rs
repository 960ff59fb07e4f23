//! Webhooks and deliveries as plain values.

use serde::Serialize;
use utoipa::ToSchema;

use crate::domain::{DeliveryState, EventKind, WebhookId};

/// A webhook to be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewWebhook {
    /// Where events are posted, checked by the caller.
    pub url: String,
    /// For people.
    pub description: String,
    /// The events that are told; none: all.
    pub events: Vec<EventKind>,
    /// The brands whose findings are told; none: all.
    pub brands: Vec<String>,
}

/// What is to be changed; `None` stays as it is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct WebhookChange {
    /// Where events are posted.
    pub url: Option<String>,
    /// For people.
    pub description: Option<String>,
    /// The events that are told.
    pub events: Option<Vec<EventKind>>,
    /// The brands whose findings are told.
    pub brands: Option<Vec<String>>,
    /// Whether anything is told.
    pub enabled: Option<bool>,
}

/// A webhook, without its secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct WebhookRecord {
    /// Its id.
    pub id: WebhookId,
    /// Where events are posted.
    #[schema(example = "https://shop.example/hooks/touchstone")]
    pub url: String,
    /// For people.
    pub description: String,
    /// The events that are told; none: all.
    pub events: Vec<EventKind>,
    /// The brands whose findings are told; none: all.
    pub brands: Vec<String>,
    /// Whether anything is told. What happens meanwhile is not told later.
    pub enabled: bool,
    /// Why it was disabled, when nobody did.
    pub disabled_reason: Option<String>,
    /// Events that are still to be told.
    pub n_pending: u64,
    /// When it was made, RFC 3339 UTC.
    pub created_at: String,
}

/// A webhook with its secret, which is told this once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IssuedSecret {
    /// The webhook.
    pub record: WebhookRecord,
    /// `whsec_` and 32 random bytes in base64.
    pub secret: String,
}

/// A delivery that is this process's to try.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClaimedDelivery {
    /// Its number.
    pub id: i64,
    /// Where to.
    pub url: String,
    /// The event's id, the same for every try.
    pub message_id: String,
    /// What is posted.
    pub body: String,
    /// The secret's bytes; after a rotation, for a while, also those of the one before.
    pub secrets: Vec<Vec<u8>>,
    /// Tries before this one.
    pub n_tries: u32,
    /// Seconds since the event.
    pub age_s: i64,
}

/// What came of one try.
#[derive(Debug, Clone, PartialEq)]
pub struct Outcome {
    /// The receiver's status; `None` when there was no answer.
    pub status: Option<u16>,
    /// Why there was none, or why it does not count.
    pub error: Option<String>,
    /// Milliseconds until the answer.
    pub elapsed_ms: f64,
}

/// What follows from a try.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Settled {
    /// The receiver took it.
    Delivered,
    /// It is tried again after so many milliseconds.
    Again {
        /// Milliseconds.
        after_ms: i64,
    },
    /// It is given up. A webhook that has taken nothing since the event is disabled for this reason.
    GivenUp {
        /// For people.
        reason: String,
        /// Whether the webhook is disabled whatever it has taken.
        is_gone: bool,
    },
}

/// One try.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct TryRecord {
    /// When, RFC 3339 UTC.
    pub at: String,
    /// The receiver's HTTP status; `null` when there was no answer.
    pub status: Option<u16>,
    /// Why it did not count.
    pub error: Option<String>,
    /// Milliseconds until the answer.
    pub elapsed_ms: f64,
}

/// What became of one event for one webhook.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct DeliveryRecord {
    /// Its number.
    pub id: i64,
    /// The event's id, as in the header `webhook-id`.
    #[schema(example = "msg_0123456789abcdef01234567")]
    pub message_id: String,
    /// What was told.
    pub event: EventKind,
    /// What became of it.
    pub state: DeliveryState,
    /// When the event was, RFC 3339 UTC.
    pub created_at: String,
    /// When it is tried next, RFC 3339 UTC; `null` when it is not.
    pub due_at: Option<String>,
    /// How often it was tried.
    pub n_tries: u32,
    /// The last 10 tries, oldest first.
    pub tries: Vec<TryRecord>,
}

/// Which deliveries.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DeliveryPage {
    /// Only those before this one, newest first; `None` from the newest on.
    pub before: Option<i64>,
    /// Only in this state.
    pub state: Option<DeliveryState>,
    /// At most this many.
    pub limit: u32,
}
