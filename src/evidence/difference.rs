//! What differs between a record and what is found when the case is run again.

use std::collections::BTreeSet;

use serde::Serialize;
use serde_json::Value;

/// One thing that is not as it was recorded.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Difference {
    /// What it is, e.g. `findings[Acme / Star].measurements.ncc`.
    pub what: String,
    /// As recorded; null when it was not there.
    pub recorded: Value,
    /// As found now; null when it is not there.
    pub found: Value,
}

impl Difference {
    /// Of two things that can be written as JSON.
    pub(super) fn new(
        what: impl Into<String>,
        recorded: impl Into<Value>,
        found: impl Into<Value>,
    ) -> Self {
        Self {
            what: what.into(),
            recorded: recorded.into(),
            found: found.into(),
        }
    }
}

/// Every number, word or part that differs. Lists of findings are compared asset by asset, other
/// lists place by place.
pub(super) fn differences(recorded: &Value, found: &Value) -> Vec<Difference> {
    let mut all = Vec::new();
    compare("", recorded, found, &mut all);
    all
}

fn compare(what: &str, recorded: &Value, found: &Value, all: &mut Vec<Difference>) {
    match (recorded, found) {
        (Value::Object(a), Value::Object(b)) => {
            let dot = if what.is_empty() { "" } else { "." };
            let names: BTreeSet<&String> = a.keys().chain(b.keys()).collect();
            for name in names {
                let [a, b] = [a, b].map(|fields| fields.get(name).unwrap_or(&Value::Null));
                compare(&format!("{what}{dot}{name}"), a, b, all);
            }
        }
        (Value::Array(a), Value::Array(b)) if are_of_assets(a) && are_of_assets(b) => {
            compare_by_asset(what, a, b, all);
        }
        (Value::Array(a), Value::Array(b)) => {
            for i in 0..a.len().max(b.len()) {
                let [a, b] = [a, b].map(|list| list.get(i).unwrap_or(&Value::Null));
                compare(&format!("{what}[{i}]"), a, b, all);
            }
        }
        _ if recorded != found => {
            all.push(Difference::new(what, recorded.clone(), found.clone()));
        }
        _ => {}
    }
}

fn asset_of(value: &Value) -> Option<i64> {
    value.get("asset_id")?.as_i64()
}

fn are_of_assets(list: &[Value]) -> bool {
    list.iter().all(|value| asset_of(value).is_some())
}

fn compare_by_asset(what: &str, recorded: &[Value], found: &[Value], all: &mut Vec<Difference>) {
    let of = |list: &[Value], asset: i64| {
        let value = list.iter().find(|v| asset_of(v) == Some(asset));
        value.cloned().unwrap_or(Value::Null)
    };
    let both = recorded.iter().chain(found);
    let assets: BTreeSet<i64> = both.clone().filter_map(asset_of).collect();
    for asset in assets {
        let (a, b) = (of(recorded, asset), of(found, asset));
        let named = if a.is_null() { &b } else { &a };
        let word = |field: &str| named.get(field).and_then(Value::as_str).unwrap_or("?");
        let what = format!("{what}[{} / {}]", word("brand"), word("asset"));
        compare(&what, &a, &b, all);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn finding(asset_id: i64, probability: f64) -> Value {
        json!({ "asset_id": asset_id, "brand": "Acme", "asset": format!("A{asset_id}"), "probability": probability })
    }

    #[test]
    fn findings_are_compared_asset_by_asset() {
        let recorded =
            json!({ "verdict": "Flagged", "findings": [finding(1, 0.9), finding(2, 0.8)] });
        let found = json!({ "verdict": "Flagged", "findings": [finding(2, 0.8), finding(1, 0.5)] });
        let expected = Difference::new("findings[Acme / A1].probability", 0.9, 0.5);
        assert_eq!(differences(&recorded, &found), [expected]);
        let fewer = json!({ "verdict": "Flagged", "findings": [finding(1, 0.9)] });
        let gone = differences(&recorded, &fewer);
        assert_eq!(
            (gone.len(), gone[0].what.as_str()),
            (1, "findings[Acme / A2]")
        );
        assert!(gone[0].found.is_null());
    }

    #[test]
    fn the_last_bit_counts() {
        let a = 0.1f64;
        let b = f64::from_bits(a.to_bits() + 1);
        let text = |v: f64| serde_json::to_string(&json!({ "p": v })).expect("JSON");
        let parse = |t: &str| serde_json::from_str::<Value>(t).expect("JSON");
        let found = differences(&parse(&text(a)), &parse(&text(b)));
        assert_eq!(found.len(), 1);
        assert_eq!(differences(&parse(&text(b)), &parse(&text(b))), []);
    }

    #[test]
    fn everything_else_is_compared_place_by_place() {
        let found = differences(
            &json!({ "a": [1, 2], "b": null }),
            &json!({ "a": [1], "c": "x" }),
        );
        let what: Vec<&str> = found.iter().map(|d| d.what.as_str()).collect();
        assert_eq!(what, ["a[1]", "c"]);
        assert_eq!(differences(&json!(1), &json!(1)), []);
    }
}
