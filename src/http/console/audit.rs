//! `/audit`: who did what.

use askama::Template;
use axum::extract::Query;
use serde::Deserialize;
use serde_json::Value;

use super::super::access::Caller;
use super::super::audit::entries;
use super::super::problem::Problem;
use super::page::{Page, Shell, capitalised, moment};
use crate::domain::AuditAction;
use crate::store::AuditEntry;

/// Entries on a page.
const PAGE: u32 = 100;

/// Which entries, as the form sends it: a field left alone is empty.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Asked {
    action: String,
    after: Option<i64>,
}

/// An entry in the table.
struct Row {
    at: String,
    entry: AuditEntry,
    action: String,
    details: String,
}

impl Row {
    fn of(entry: AuditEntry) -> Self {
        Self {
            at: moment(&entry.at),
            action: words(entry.action),
            details: entry.details.as_ref().map(told).unwrap_or_default(),
            entry,
        }
    }
}

/// `asset_registered` as people write it.
fn words(action: AuditAction) -> String {
    capitalised(&action.as_str().replace('_', " "))
}

/// The details as a line: names and values, without those that say nothing.
fn told(details: &Value) -> String {
    let Value::Object(fields) = details else {
        return details.to_string();
    };
    let says = |value: &Value| match value {
        Value::Null | Value::Bool(false) => None,
        Value::Bool(true) => Some(String::new()),
        Value::String(text) => Some(format!(" {text}")),
        Value::Array(values) if values.is_empty() => None,
        Value::Array(values) => {
            let texts: Vec<String> = values
                .iter()
                .map(|value| match value {
                    Value::String(text) => text.clone(),
                    other => other.to_string(),
                })
                .collect();
            Some(format!(" {}", texts.join(" ")))
        }
        other => Some(format!(" {other}")),
    };
    let fields = fields
        .iter()
        .filter_map(|(name, value)| Some(format!("{}{}", name.replace('_', " "), says(value)?)));
    fields.collect::<Vec<_>>().join(", ")
}

#[derive(Template)]
#[template(path = "audit.html")]
struct AuditPage {
    shell: Shell,
    tenant: String,
    asked: Asked,
    /// Each action with its words.
    actions: Vec<(&'static str, String)>,
    rows: Vec<Row>,
    next: Option<i64>,
}

/// `GET /audit`.
pub(super) async fn list(caller: Caller, Query(asked): Query<Asked>) -> Result<Page, Problem> {
    let action = AuditAction::of_word(&asked.action);
    let page = entries(&caller, action, asked.after, PAGE).await?;
    Page::of(&AuditPage {
        shell: Shell::new(&caller, "audit", "Audit log"),
        tenant: caller.tenant.to_string(),
        asked,
        actions: AuditAction::ALL
            .iter()
            .map(|action| (action.as_str(), words(*action)))
            .collect(),
        rows: page.entries.into_iter().map(Row::of).collect(),
        next: page.next,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn details_are_told_without_what_says_nothing() {
        let details = json!({
            "decision": "rejected", "reason": null, "findings": [1, 2], "fields_changed": false,
            "brands": [],
        });
        assert_eq!(told(&details), "decision rejected, findings 1 2");
    }
}
