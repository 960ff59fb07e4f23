//! Templates as answers, and errors as pages.

use askama::Template;
use axum::extract::Request;
use axum::http::{HeaderMap, HeaderValue, header};
use axum::middleware::Next;
use axum::response::{Html, IntoResponse, Response};

use super::super::access::Caller;
use super::super::problem::{Problem, ProblemKind};
use super::super::track::{RequestId, Shown, problem_of};
use super::files;

/// What a page may load and do: files of this server, and pictures that it holds itself.
const POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; \
     connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
);

/// A page in the navigation.
#[derive(Clone, Copy)]
pub(super) struct Link {
    pub path: &'static str,
    pub section: &'static str,
    pub words: &'static str,
}

const fn link(path: &'static str, section: &'static str, words: &'static str) -> Link {
    Link {
        path,
        section,
        words,
    }
}

const LINKS: [Link; 7] = [
    link("/", "overview", "Overview"),
    link("/review", "review", "Review"),
    link("/try", "try", "Try a photo"),
    link("/assets", "assets", "Assets"),
    link("/scans", "scans", "Scans"),
    link("/keys", "keys", "Keys"),
    link("/audit", "audit", "Audit log"),
];

/// What all pages have around their content.
pub(super) struct Shell {
    /// Of the page.
    pub title: String,
    /// First part of the address of the page that is marked in the navigation.
    section: &'static str,
    /// Who looks at it, if they are known.
    caller: Option<Caller>,
}

impl Shell {
    pub fn new(caller: &Caller, section: &'static str, title: impl Into<String>) -> Self {
        Self {
            title: title.into(),
            section,
            caller: Some(caller.clone()),
        }
    }

    /// Of a page that is in no navigation.
    pub fn bare(title: impl Into<String>, caller: Option<Caller>) -> Self {
        Self {
            title: title.into(),
            section: "",
            caller,
        }
    }

    /// The pages that whoever looks at this one may see.
    pub fn links(&self) -> Vec<Link> {
        let mut links = LINKS.to_vec();
        links.retain(|link| self.may("GET", link.path));
        links
    }

    /// Whether whoever looks at the page may ask for a route.
    pub fn may(&self, method: &str, path: &str) -> bool {
        let caller = self.caller.as_ref();
        caller.is_some_and(|caller| caller.may(method, path))
    }

    /// Who is signed in, where people sign in.
    pub fn signed_in(&self) -> Option<&str> {
        let caller = self.caller.as_ref().filter(|caller| !caller.is_open)?;
        Some(caller.who())
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
    let wants_page = wants_page(request.headers());
    let request_id = request.extensions().get::<RequestId>().cloned();
    let caller = request.extensions().get::<Caller>().cloned();
    let response = next.run(request).await;
    // A page of its own has said already what is wrong.
    let is_page = response
        .headers()
        .get(header::CONTENT_TYPE)
        .is_some_and(|kind| kind.as_bytes().starts_with(b"text/html"));
    let status = response.status();
    if is_page && status.is_client_error() {
        let mut response = response;
        response.extensions_mut().insert(Shown(None));
        return response;
    }
    if !wants_page || !(status.is_client_error() || status.is_server_error()) {
        return response;
    }
    let request_id = request_id.as_ref().map_or("", |id| &id.0);
    as_page(response, request_id, caller).await
}

/// An error as a page, for `caller` if they are known.
pub(in crate::http) async fn as_page(
    response: Response,
    request_id: &str,
    caller: Option<Caller>,
) -> Response {
    let status = response.status();
    let (problem, _) = problem_of(response).await;
    let page = Page::of(&ErrorPage {
        shell: Shell::bare(capitalised(problem.title()), caller),
        detail: &problem.detail,
        status: status.as_u16(),
        request_id,
    });
    match page {
        Ok(page) => {
            let mut response = (status, page).into_response();
            response.extensions_mut().insert(Shown(problem.cause));
            if let Some(seconds) = problem.retry_after_s {
                response
                    .headers_mut()
                    .insert(header::RETRY_AFTER, seconds.into());
            }
            response
        }
        Err(problem) => problem.into_response(),
    }
}

/// Whether a browser asks, to show it to a person.
pub(in crate::http) fn wants_page(headers: &HeaderMap) -> bool {
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
