//! Webhooks: who is told of what, what is still to be told, and what became of it.
//!
//! An event is written in the transaction of what it tells of, with a delivery for each webhook that wants
//! it: neither is without the other, whatever happens to the process.

mod deliveries;
mod endpoints;
pub(super) mod events;
mod records;

#[cfg(test)]
mod tests;

pub use records::{
    ClaimedDelivery, DeliveryPage, DeliveryRecord, IssuedSecret, NewWebhook, Outcome, Settled,
    TryRecord, WebhookChange, WebhookRecord,
};
