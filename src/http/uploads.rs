//! Pictures as clients send them: multipart form, raw bytes, or base64 in JSON.

use std::collections::BTreeMap;

use axum::body::Bytes;
use axum::extract::multipart::{Field, MultipartError};
use axum::extract::{FromRequest, Multipart, Request};
use axum::http::{HeaderMap, StatusCode, header};
use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::error::Category;
use utoipa::ToSchema;

use super::problem::{Problem, ProblemKind};

/// Pictures in one request: a listing has rarely more than 20.
pub(super) const MAX_PICTURES: usize = 64;

/// Longest name of a picture, characters; file systems have shorter ones. What is beyond is cut off.
const MAX_NAME_CHARS: usize = 300;

/// A picture's file.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Upload {
    /// For people: the name that the client gave, or its place in the request.
    pub name: String,
    pub bytes: Vec<u8>,
}

impl Upload {
    /// A picture that came without a name.
    pub fn unnamed(bytes: Vec<u8>) -> Self {
        Self {
            name: name_or_place(None, 0),
            bytes,
        }
    }
}

/// A picture as a request names it.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Offered {
    /// Its file came along.
    Here(Upload),
    /// It is somewhere else.
    Elsewhere {
        /// For people.
        name: String,
        /// Where.
        url: String,
    },
}

impl Offered {
    /// The picture's file, where only files are taken.
    pub fn here(self) -> Result<Upload, Problem> {
        match self {
            Self::Here(upload) => Ok(upload),
            Self::Elsewhere { .. } => Err(Problem::new(
                ProblemKind::UrlNotSupported,
                "pictures of assets are not fetched: send the bytes, as base64 or in a form",
            )),
        }
    }

    /// For people.
    pub fn name(&self) -> &str {
        match self {
            Self::Here(upload) => &upload.name,
            Self::Elsewhere { name, .. } => name,
        }
    }
}

/// A body, received whole but for JSON not yet looked into: that is work for the workers.
#[derive(Debug)]
pub(super) enum Sent {
    Form(Form),
    Raw(Bytes),
    Json(Bytes),
}

/// The fields of a multipart form.
#[derive(Debug)]
pub(super) struct Form {
    pub pictures: Vec<Offered>,
    pub texts: BTreeMap<String, String>,
}

impl Form {
    /// Takes the files, of a form that takes nothing else.
    pub fn files(&mut self) -> Vec<Upload> {
        let files = self.pictures.drain(..).map(Offered::here);
        files.filter_map(Result::ok).collect()
    }
}

/// The fields that a form may have.
pub(super) struct FormFields {
    /// Name of the fields with pictures.
    pub file: &'static str,
    /// Name of the fields with addresses of pictures, where those are taken.
    pub url: Option<&'static str>,
    /// Names of the fields with text.
    pub texts: &'static [&'static str],
}

/// Receives the body of `request` by its content type.
pub(super) async fn receive(request: Request, fields: &FormFields) -> Result<Sent, Problem> {
    let kind = media_type(request.headers())?;
    match kind.as_str() {
        "multipart/form-data" => receive_form(request, fields).await.map(Sent::Form),
        "application/json" => receive_bytes(request).await.map(Sent::Json),
        "application/octet-stream" => receive_bytes(request).await.map(Sent::Raw),
        _ if kind.starts_with("image/") => receive_bytes(request).await.map(Sent::Raw),
        _ => Err(unsupported(
            &kind,
            "multipart/form-data, application/json, application/octet-stream or image/*",
        )),
    }
}

/// Receives a form, or a body of one of `types` as it is; gives its type, too.
pub(super) async fn receive_file_or(
    request: Request,
    fields: &FormFields,
    types: &[&str],
) -> Result<(Sent, String), Problem> {
    let kind = media_type(request.headers())?;
    let sent = if kind == "multipart/form-data" {
        Sent::Form(receive_form(request, fields).await?)
    } else if types.contains(&kind.as_str()) {
        Sent::Raw(receive_bytes(request).await?)
    } else {
        let supported = format!("multipart/form-data, {}", types.join(", "));
        return Err(unsupported(&kind, &supported));
    };
    Ok((sent, kind))
}

/// Receives a JSON body, and nothing else.
pub(super) async fn receive_json<T: DeserializeOwned>(request: Request) -> Result<T, Problem> {
    let kind = media_type(request.headers())?;
    match kind.as_str() {
        "application/json" | "application/merge-patch+json" => {
            parse_json(&receive_bytes(request).await?)
        }
        _ => Err(unsupported(&kind, "application/json")),
    }
}

/// The body's type, lower case, without parameters; empty when there is none.
fn media_type(headers: &HeaderMap) -> Result<String, Problem> {
    let text = |name| headers.get(name).map_or("", |v| v.to_str().unwrap_or("?"));
    let coding = text(header::CONTENT_ENCODING);
    if !matches!(coding, "" | "identity") {
        return Err(Problem::new(
            ProblemKind::UnsupportedMediaType,
            format!("the body is sent with content encoding {coding:?}: send it as it is"),
        ));
    }
    let kind = text(header::CONTENT_TYPE).split(';').next();
    Ok(kind.unwrap_or_default().trim().to_ascii_lowercase())
}

fn unsupported(found: &str, supported: &str) -> Problem {
    let found = match found {
        "" => "the body has no content type".to_owned(),
        found => format!("{found:?} is not read here"),
    };
    Problem::new(
        ProblemKind::UnsupportedMediaType,
        format!("{found}: send {supported}"),
    )
}

/// Receives a body as it is.
pub(super) async fn receive_bytes(request: Request) -> Result<Bytes, Problem> {
    Bytes::from_request(request, &())
        .await
        .map_err(|rejection| Problem::of_status(rejection.status(), &rejection.body_text()))
}

async fn receive_form(request: Request, fields: &FormFields) -> Result<Form, Problem> {
    let mut multipart = Multipart::from_request(request, &())
        .await
        .map_err(|rejection| Problem::of_status(rejection.status(), &rejection.body_text()))?;
    let mut form = Form {
        pictures: Vec::new(),
        texts: BTreeMap::new(),
    };
    while let Some(field) = multipart.next_field().await.map_err(bad_form)? {
        let name = field.name().unwrap_or_default().to_owned();
        if name == fields.file {
            let place = form.pictures.len();
            check_count(place + 1)?;
            let file = receive_file(field, place).await?;
            form.pictures.push(Offered::Here(file));
        } else if fields.url == Some(name.as_str()) {
            check_count(form.pictures.len() + 1)?;
            let url = field.text().await.map_err(bad_form)?;
            let name = url.clone();
            form.pictures.push(Offered::Elsewhere { name, url });
        } else if fields.texts.contains(&name.as_str()) {
            let text = field.text().await.map_err(bad_form)?;
            if form.texts.insert(name.clone(), text).is_some() {
                return Err(invalid(format!("the field {name:?} comes twice")));
            }
        } else {
            return Err(unknown_field(&name, fields));
        }
    }
    Ok(form)
}

async fn receive_file(field: Field<'_>, place: usize) -> Result<Upload, Problem> {
    let name = name_or_place(field.file_name().map(str::to_owned), place);
    let bytes = field.bytes().await.map_err(bad_form)?;
    Ok(Upload {
        name,
        bytes: bytes.into(),
    })
}

fn unknown_field(name: &str, fields: &FormFields) -> Problem {
    let mut known = vec![fields.file];
    known.extend(fields.url);
    known.extend(fields.texts);
    invalid(format!("unknown field {name:?}: use {}", known.join(", ")))
}

fn bad_form(error: MultipartError) -> Problem {
    match error.status() {
        StatusCode::PAYLOAD_TOO_LARGE => {
            Problem::of_status(StatusCode::PAYLOAD_TOO_LARGE, "the form is too large")
        }
        // Whatever else the parser calls it, it choked on what the client sent.
        _ => Problem::new(
            ProblemKind::Malformed,
            format!("the multipart form cannot be read: {}", error.body_text()),
        ),
    }
}

/// A picture within a JSON body.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct JsonPicture {
    name: Option<String>,
    base64: Option<String>,
    url: Option<String>,
}

/// Room that the fields of a JSON object may take beside its pictures.
pub(super) const MAX_FIELDS_BYTES: usize = 64 << 10;

impl JsonPicture {
    pub fn new(base64: Option<String>, url: Option<String>) -> Self {
        Self {
            name: None,
            base64,
            url,
        }
    }

    /// The picture that stands at `place` in the request. One without a name is called by its place, or
    /// by its address.
    pub fn decoded(self, place: usize) -> Result<Offered, Problem> {
        let name = match &self.url {
            Some(url) if self.name.is_none() => url.clone(),
            _ => name_or_place(self.name, place),
        };
        match (self.base64, self.url) {
            (Some(text), None) => match decode_base64(&text) {
                Ok(bytes) => Ok(Offered::Here(Upload { name, bytes })),
                Err(cause) => Err(invalid(format!("{name} is not base64: {cause}"))),
            },
            (None, Some(url)) => Ok(Offered::Elsewhere { name, url }),
            _ => Err(invalid(format!(
                "{name} needs either \"base64\" or \"url\""
            ))),
        }
    }
}

/// The pictures in a JSON body.
pub(super) fn decode_all(pictures: Vec<JsonPicture>) -> Result<Vec<Offered>, Problem> {
    check_count(pictures.len())?;
    let numbered = pictures.into_iter().enumerate();
    numbered.map(|(i, picture)| picture.decoded(i)).collect()
}

/// Standard alphabet; padding, line breaks and a `data:` prefix may be there or not.
fn decode_base64(text: &str) -> Result<Vec<u8>, base64::DecodeError> {
    const LENIENT: GeneralPurpose = GeneralPurpose::new(
        &alphabet::STANDARD,
        GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
    );
    let payload = match text.split_once(";base64,") {
        Some((head, payload)) if head.starts_with("data:") => payload,
        _ => text,
    };
    if payload.contains(|c: char| c.is_ascii_whitespace()) {
        LENIENT.decode(payload.split_ascii_whitespace().collect::<String>())
    } else {
        LENIENT.decode(payload)
    }
}

/// Reads JSON; text that is none is malformed, a value that does not fit is invalid.
pub(super) fn parse_json<T: DeserializeOwned>(text: &[u8]) -> Result<T, Problem> {
    serde_json::from_slice(text).map_err(|error| match error.classify() {
        Category::Data => invalid(error.to_string()),
        Category::Io | Category::Syntax | Category::Eof => Problem::new(
            ProblemKind::Malformed,
            format!("the body is not JSON: {error}"),
        ),
    })
}

fn check_count(n: usize) -> Result<(), Problem> {
    if n > MAX_PICTURES {
        return Err(invalid(format!(
            "more than {MAX_PICTURES} pictures: send them in several requests"
        )));
    }
    Ok(())
}

fn name_or_place(name: Option<String>, place: usize) -> String {
    name.filter(|name| !name.trim().is_empty())
        .map(|name| name.chars().take(MAX_NAME_CHARS).collect())
        .unwrap_or_else(|| format!("picture {}", place + 1))
}

pub(super) fn invalid(detail: impl Into<String>) -> Problem {
    Problem::new(ProblemKind::Invalid, detail)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_is_read_as_people_send_it() {
        for text in [
            "Zm9vYg==",
            "Zm9vYg",
            "Zm9v\r\nYg==\n",
            "data:image/png;base64,Zm9vYg==",
        ] {
            assert_eq!(decode_base64(text).as_deref(), Ok(&b"foob"[..]), "{text}");
        }
        assert!(decode_base64("Zm9v!").is_err());
        assert!(decode_base64("data:image/png,Zm9v").is_err());
    }

    #[test]
    fn no_json_is_malformed_and_other_json_invalid() {
        let kind = |text: &str| {
            parse_json::<JsonPicture>(text.as_bytes())
                .expect_err("not a picture")
                .kind
        };
        assert_eq!(kind("{\"base64\":"), ProblemKind::Malformed);
        assert_eq!(kind("GIF89a"), ProblemKind::Malformed);
        assert_eq!(kind("{\"base46\":\"\"}"), ProblemKind::Invalid);
        assert_eq!(kind("[7]"), ProblemKind::Invalid);
    }

    #[test]
    fn names_are_cut_between_characters() {
        let named = |name: &str| name_or_place(Some(name.to_owned()), 0);
        let fits = "é".repeat(MAX_NAME_CHARS);
        assert_eq!(named(&fits), fits);
        assert_eq!(named(&format!("{fits}é.png")), fits);
        assert_eq!(named(" "), "picture 1");
    }

    #[test]
    fn a_json_picture_is_bytes_or_a_url() {
        let kind = |base64: Option<&str>, url: Option<&str>| {
            JsonPicture::new(base64.map(str::to_owned), url.map(str::to_owned))
                .decoded(0)
                .and_then(Offered::here)
                .map_err(|problem| problem.kind)
        };
        assert!(kind(Some(""), None).is_ok());
        assert_eq!(
            kind(None, Some("http://a/b")),
            Err(ProblemKind::UrlNotSupported)
        );
        let elsewhere = JsonPicture::new(None, Some("http://a/b".to_owned())).decoded(3);
        assert_eq!(elsewhere.expect("a URL").name(), "http://a/b");
        assert_eq!(kind(None, None), Err(ProblemKind::Invalid));
        assert_eq!(kind(Some(""), Some("")), Err(ProblemKind::Invalid));
    }
}
