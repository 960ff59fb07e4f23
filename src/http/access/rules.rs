//! Who may ask for what: one line for each method and route.
//!
//! A route without a line is refused when it is asked for, and a test fails.

use crate::domain::Role;

/// Who may ask.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Who {
    /// Also whoever shows no key.
    Anyone,
    /// Holders of a key in one of these roles.
    Roles(&'static [Role]),
}

/// What becomes of an owner's key that is bound to brands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bound {
    /// The handler shows and changes only what is of these brands.
    Narrowed,
    /// The answer could tell of other brands: refused.
    Refused,
    /// The answer tells of no brand.
    Harmless,
}

/// One line of the table.
#[derive(Debug, Clone, Copy)]
pub struct Rule {
    /// `GET` also stands for `HEAD`.
    pub method: &'static str,
    /// As the router has it.
    pub path: &'static str,
    /// Who may ask.
    pub who: Who,
    /// What becomes of a key that is bound to brands.
    pub bound: Bound,
}

impl Rule {
    /// Whether a key of this role may ask; `is_bound` to brands or not.
    pub fn admits(&self, role: Role, is_bound: bool) -> bool {
        let has_role = match self.who {
            Who::Anyone => true,
            Who::Roles(roles) => roles.contains(&role),
        };
        has_role && !(is_bound && self.bound == Bound::Refused)
    }
}

const fn rule(method: &'static str, path: &'static str, who: Who, bound: Bound) -> Rule {
    Rule {
        method,
        path,
        who,
        bound,
    }
}

use Bound::{Harmless, Narrowed, Refused};
use Role::{Operator, Owner, Reviewer, Screener};
use Who::Anyone;

const SIGNED: Who = Who::Roles(Role::ALL);
const SEES: Who = Who::Roles(&[Owner, Reviewer, Operator]);
const DECIDES: Who = SEES;
const REGISTERS: Who = Who::Roles(&[Owner, Operator]);
const CHECKS: Who = SIGNED;
const LISTS: Who = Who::Roles(&[Reviewer, Screener, Operator]);
const SELLS: Who = Who::Roles(&[Screener, Operator]);
const RUNS: Who = Who::Roles(&[Operator]);

/// The table.
#[rustfmt::skip]
pub const RULES: &[Rule] = &[
    // For programs.
    rule("POST", "/v1/match", CHECKS, Narrowed),
    rule("POST", "/v1/screen", SELLS, Refused),
    rule("GET", "/v1/brands", SEES, Narrowed),
    rule("GET", "/v1/brands/{id}", SEES, Narrowed),
    rule("PUT", "/v1/brands/{id}/promise", REGISTERS, Narrowed),
    rule("DELETE", "/v1/brands/{id}/promise", REGISTERS, Narrowed),
    rule("GET", "/v1/assets", SEES, Narrowed),
    rule("POST", "/v1/assets", REGISTERS, Narrowed),
    rule("GET", "/v1/assets/{id}", SEES, Narrowed),
    rule("PATCH", "/v1/assets/{id}", REGISTERS, Narrowed),
    rule("DELETE", "/v1/assets/{id}", REGISTERS, Narrowed),
    rule("GET", "/v1/assets/{id}/images", SEES, Narrowed),
    rule("POST", "/v1/assets/{id}/images", REGISTERS, Narrowed),
    rule("GET", "/v1/assets/{id}/images/{picture}", SEES, Narrowed),
    rule("DELETE", "/v1/assets/{id}/images/{picture}", REGISTERS, Narrowed),
    rule("GET", "/v1/findings", SEES, Narrowed),
    rule("GET", "/v1/findings/export", SEES, Narrowed),
    rule("GET", "/v1/findings/{id}", SEES, Narrowed),
    rule("GET", "/v1/findings/{id}/photo", SEES, Narrowed),
    rule("POST", "/v1/findings/{id}/decision", DECIDES, Narrowed),
    rule("DELETE", "/v1/findings/{id}/decision", DECIDES, Narrowed),
    rule("PUT", "/v1/findings/{id}/exemplar", DECIDES, Narrowed),
    rule("DELETE", "/v1/findings/{id}/exemplar", DECIDES, Narrowed),
    rule("GET", "/v1/listings", LISTS, Refused),
    rule("GET", "/v1/listings/{listing_id}", LISTS, Refused),
    rule("DELETE", "/v1/listings/{listing_id}", SELLS, Refused),
    rule("GET", "/v1/scans", SELLS, Refused),
    rule("POST", "/v1/scans", SELLS, Refused),
    rule("GET", "/v1/scans/{id}", SELLS, Refused),
    rule("DELETE", "/v1/scans/{id}", SELLS, Refused),
    rule("GET", "/v1/scans/{id}/result", SELLS, Refused),
    rule("GET", "/v1/keys", RUNS, Refused),
    rule("POST", "/v1/keys", RUNS, Refused),
    rule("DELETE", "/v1/keys/{id}", RUNS, Refused),
    rule("GET", "/v1/audit", RUNS, Refused),
    rule("GET", "/v1/webhooks", RUNS, Refused),
    rule("POST", "/v1/webhooks", RUNS, Refused),
    rule("GET", "/v1/webhooks/{id}", RUNS, Refused),
    rule("PATCH", "/v1/webhooks/{id}", RUNS, Refused),
    rule("DELETE", "/v1/webhooks/{id}", RUNS, Refused),
    rule("POST", "/v1/webhooks/{id}/rotate", RUNS, Refused),
    rule("GET", "/v1/webhooks/{id}/deliveries", RUNS, Refused),
    rule("GET", "/metrics", RUNS, Refused),
    rule("GET", "/healthz", Anyone, Harmless),
    rule("GET", "/readyz", Anyone, Harmless),
    rule("GET", "/openapi.json", SIGNED, Harmless),
    rule("GET", "/docs", SIGNED, Harmless),
    rule("GET", "/docs/", SIGNED, Harmless),
    rule("GET", "/docs/{*rest}", SIGNED, Harmless),
    // For people.
    rule("GET", "/sign-in", Anyone, Harmless),
    rule("POST", "/sign-in", Anyone, Harmless),
    rule("POST", "/sign-out", Anyone, Harmless),
    rule("GET", "/console/{file}", Anyone, Harmless),
    rule("GET", "/", SEES, Narrowed),
    rule("GET", "/try", CHECKS, Narrowed),
    rule("POST", "/try", CHECKS, Narrowed),
    rule("GET", "/review", SEES, Narrowed),
    rule("GET", "/review/{id}", SEES, Narrowed),
    rule("POST", "/review/{id}/decide", DECIDES, Narrowed),
    rule("POST", "/review/{id}/undo", DECIDES, Narrowed),
    rule("POST", "/review/{id}/exemplar", DECIDES, Narrowed),
    rule("POST", "/review/{id}/exemplar/remove", DECIDES, Narrowed),
    rule("POST", "/brands/{id}/promise", REGISTERS, Narrowed),
    rule("GET", "/review/{id}/evidence", SEES, Narrowed),
    rule("GET", "/review/{id}/photo/{size}", SEES, Narrowed),
    rule("GET", "/assets", SEES, Narrowed),
    rule("POST", "/assets", REGISTERS, Narrowed),
    rule("GET", "/assets/{id}", SEES, Narrowed),
    rule("POST", "/assets/{id}/{change}", REGISTERS, Narrowed),
    rule("POST", "/assets/{id}/pictures", REGISTERS, Narrowed),
    rule("POST", "/assets/{id}/pictures/{picture}/remove", REGISTERS, Narrowed),
    rule("GET", "/scans", SELLS, Refused),
    rule("POST", "/scans", SELLS, Refused),
    rule("GET", "/scans/{id}", SELLS, Refused),
    rule("POST", "/scans/{id}/remove", SELLS, Refused),
    rule("GET", "/scans/{id}/report/{*page}", SELLS, Refused),
    rule("GET", "/pictures/{picture}/{size}", SEES, Narrowed),
    rule("GET", "/keys", RUNS, Refused),
    rule("POST", "/keys", RUNS, Refused),
    rule("POST", "/keys/{id}/revoke", RUNS, Refused),
    rule("GET", "/audit", RUNS, Refused),
];

/// The line for a method of a route; `HEAD` is answered as `GET`.
pub(super) fn rule_for(method: &str, path: &str) -> Option<&'static Rule> {
    let method = if method == "HEAD" { "GET" } else { method };
    RULES
        .iter()
        .find(|rule| rule.path == path && rule.method == method)
}

/// The methods that a route has, as `Allow` lists them; empty for a route without a line.
pub(super) fn methods_of(path: &str) -> String {
    let methods = RULES.iter().filter(|rule| rule.path == path);
    let methods = methods.map(|rule| match rule.method {
        "GET" => "GET,HEAD",
        other => other,
    });
    methods.collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_is_the_only_one_for_its_route() {
        for (i, rule) in RULES.iter().enumerate() {
            let again = RULES[..i]
                .iter()
                .any(|other| other.path == rule.path && other.method == rule.method);
            assert!(!again, "{} {}", rule.method, rule.path);
        }
        assert_eq!(methods_of("/v1/assets"), "GET,HEAD,POST");
        assert!(rule_for("HEAD", "/v1/assets").is_some());
        assert!(rule_for("PUT", "/v1/assets").is_none());
    }

    #[test]
    fn roles_are_kept_apart() {
        let may = |role, method, path| rule_for(method, path).expect("a line").admits(role, false);
        assert!(may(Owner, "POST", "/v1/assets") && !may(Reviewer, "POST", "/v1/assets"));
        assert!(may(Screener, "POST", "/v1/screen") && !may(Owner, "POST", "/v1/screen"));
        assert!(may(Screener, "GET", "/v1/listings") && !may(Owner, "GET", "/v1/listings"));
        assert!(may(Reviewer, "GET", "/v1/findings") && !may(Screener, "GET", "/v1/findings"));
        for role in [Owner, Reviewer, Screener] {
            for (method, path) in [
                ("GET", "/v1/keys"),
                ("POST", "/v1/keys"),
                ("GET", "/v1/audit"),
                ("GET", "/v1/webhooks"),
                ("POST", "/v1/webhooks"),
            ] {
                assert!(!may(role, method, path) && may(Operator, method, path));
            }
        }
    }
}
