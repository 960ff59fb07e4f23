//! Templates as answers, and errors as pages.

use askama::Template;
use axum::extract::Request;
use axum::http::{HeaderMap, HeaderValue, header};
use axum::middleware::Next;
use axum::response::{Html, IntoResponse, Response};

use super::super::problem::{Problem, ProblemKind};
use super::super::track::{RequestId, Shown, problem_of};
use super::files;

/// What a page may load and do: files of this server, and pictures that it holds itself.
const POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; \
     connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
);

/// What all pages have around their content.
pub(super) struct Shell {
    /// Of the page.
    pub title: String,
    /// First part of the address of the page that is marked in the navigation.
    section: &'static str,
}

impl Shell {
    pub fn new(section: &'static str, title: impl Into<String>) -> Self {
        Self {
            title: title.into(),
            section,
        }
    }

    /// For the navigation: `aria-current="page"`, or nothing.
    pub fn current(&self, section: &str) -> &'static str {
        if self.section == section {
            "aria-current=\"page\""
        } else {
            ""
        }
    }

    /// Changes with the files, so that browsers may keep them.
    pub fn version(&self) -> &'static str {
        files::version()
    }
}

/// A finished page.
pub(super) struct Page(String);

impl Page {
    /// Fills the template.
    pub fn of(template: &impl Template) -> Result<Self, Problem> {
        let filled = template.render();
        filled
            .map(Self)
            .map_err(|error| Problem::hidden(ProblemKind::Internal, &error))
    }
}

impl IntoResponse for Page {
    fn into_response(self) -> Response {
        let mut response = Html(self.0).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_SECURITY_POLICY, POLICY);
        // Under `no-referrer` browsers hide the origin of forms, by which their requests are let in.
        headers.insert(
            header::REFERRER_POLICY,
            HeaderValue::from_static("same-origin"),
        );
        response
    }
}

#[derive(Template)]
#[template(path = "error.html")]
struct ErrorPage<'a> {
    shell: Shell,
    detail: &'a str,
    status: u16,
    request_id: &'a str,
}

/// Shows errors as pages to whoever asks for pages; everyone else gets them as they are.
pub(in crate::http) async fn errors_as_pages(request: Request, next: Next) -> Response {
    let wants_page = accepts_html(request.headers());
    let request_id = request.extensions().get::<RequestId>().cloned();
    let response = next.run(request).await;
    let status = response.status();
    if !wants_page || !(status.is_client_error() || status.is_server_error()) {
        return response;
    }
    let (problem, _) = problem_of(response).await;
    let page = Page::of(&ErrorPage {
        shell: Shell::new("", capitalised(problem.title())),
        detail: &problem.detail,
        status: status.as_u16(),
        request_id: request_id.as_ref().map_or("", |id| &id.0),
    });
    match page {
        Ok(page) => {
            let mut response = (status, page).into_response();
            response.extensions_mut().insert(Shown(problem.cause));
            response
        }
        Err(problem) => problem.into_response(),
    }
}

fn accepts_html(headers: &HeaderMap) -> bool {
    let accepted = headers.get(header::ACCEPT).and_then(|v| v.to_str().ok());
    accepted.is_some_and(|types| types.contains("text/html"))
}

/// The text with its first letter large.
pub(super) fn capitalised(text: &str) -> String {
    let mut letters = text.chars();
    let first = letters.next().into_iter().flat_map(char::to_uppercase);
    first.chain(letters).collect()
}

/// The day of a moment as the store writes it, RFC 3339.
pub(super) fn day(moment: &str) -> &str {
    moment.get(..10).unwrap_or(moment)
}

/// A moment as the store writes it, RFC 3339, to the minute.
pub(super) fn moment(moment: &str) -> String {
    let minute = moment.get(..16).unwrap_or(moment);
    format!("{} UTC", minute.replace('T', " "))
}
