//! Registration from the browser.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path as FilePath;

use axum::extract::{Path, Request};
use axum::response::Redirect;
use jiff::civil::Date;

use super::super::access::{BrandScope, Caller};
use super::super::ids::asset_id;
use super::super::problem::{Problem, ProblemKind};
use super::super::registering::{RegisteredAnswer, take_in};
use super::super::uploads::{FormFields, Sent, Upload, invalid, receive};
use super::super::workers::Lane;
use crate::domain::{AssetDraft, AssetId, DomainError};
use crate::engine::Engine;

const ASSET_FIELDS: FormFields = FormFields {
    file: "picture",
    url: None,
    texts: &[
        "brand",
        "name",
        "kind",
        "each",
        "word_marks",
        "registration_number",
        "valid_from",
        "valid_until",
        "notes",
        "authorised_sellers",
    ],
};
const PICTURE_FIELDS: FormFields = FormFields {
    file: "picture",
    url: None,
    texts: &[],
};
/// Pictures of a registration that are looked up among what is registered: one says enough.
const MAX_LOOKED_UP: usize = 2;

/// `POST /assets`: one asset with all pictures, or an asset for each picture. What looks alike and is
/// registered already is named on the page that the answer leads to.
pub(super) async fn register(caller: Caller, request: Request) -> Result<Redirect, Problem> {
    let scope = caller.scope.clone();
    let (mut texts, files) = received(request, &ASSET_FIELDS).await?;
    let is_each = texts.remove("each").is_some_and(|text| !text.is_empty());
    if !is_each || files.len() == 1 {
        let draft = draft(&texts, files.first())?;
        let work = move |engine: &Engine| register_one(engine, &scope, draft, files);
        return caller.run(Lane::Pictures, work).await;
    }
    texts.remove("name");
    let n = files.len();
    // One job for each, so that others are not kept waiting.
    for file in files {
        let draft = draft(&texts, Some(&file))?;
        let scope = scope.clone();
        let work = move |engine: &Engine| take_in(engine, &scope, draft, vec![file]);
        caller.run(Lane::Pictures, work).await?;
    }
    Ok(Redirect::to(&format!("/assets?done=registered-many&n={n}")))
}

/// `POST /assets/{id}/pictures`: further pictures of an asset.
pub(super) async fn add_pictures(
    caller: Caller,
    Path(id): Path<String>,
    request: Request,
) -> Result<Redirect, Problem> {
    let (id, scope) = (asset_id(&id)?, caller.scope.clone());
    let (_, files) = received(request, &PICTURE_FIELDS).await?;
    let work = caller.run(Lane::Pictures, move |engine| {
        let known = scope.asset(engine, id)?.draft;
        let draft = AssetDraft::new(known.brand, known.name, known.kind);
        take_in(engine, &scope, draft, files)
    });
    Ok(Redirect::to(&outcome(
        &work.await?,
        "added",
        &BTreeSet::new(),
    )))
}

type Texts = BTreeMap<String, String>;

/// The form's texts, and its files without the empty one that browsers send when none was chosen.
async fn received(request: Request, fields: &FormFields) -> Result<(Texts, Vec<Upload>), Problem> {
    let Sent::Form(mut form) = receive(request, fields).await? else {
        return Err(Problem::new(
            ProblemKind::UnsupportedMediaType,
            "the page's form sends multipart/form-data",
        ));
    };
    let mut files = form.files();
    files.retain(|file| !file.bytes.is_empty());
    Ok((form.texts, files))
}

fn register_one(
    engine: &Engine,
    scope: &BrandScope,
    draft: AssetDraft,
    files: Vec<Upload>,
) -> Result<Redirect, Problem> {
    // Before the engine works on the pictures.
    scope.check_brand(&draft.brand)?;
    let mut similar = similar_assets(engine, scope, &draft, &files);
    let answer = take_in(engine, scope, draft, files)?;
    let elsewhere = answer.registered.same_picture_elsewhere.iter();
    similar.extend(elsewhere.map(|(asset, _)| *asset));
    similar.remove(&answer.asset.id);
    Ok(Redirect::to(&outcome(&answer, "registered", &similar)))
}

/// The address that says what became of it.
fn outcome(answer: &RegisteredAnswer, done: &str, similar: &BTreeSet<AssetId>) -> String {
    let registered = &answer.registered;
    let done = if registered.created || !registered.added.is_empty() {
        done
    } else {
        "known"
    };
    let like: Vec<String> = similar.iter().map(AssetId::to_string).collect();
    format!(
        "/assets/{}?done={done}&known={}&like={}",
        answer.asset.id,
        registered.duplicates.len(),
        like.join(",")
    )
}

/// Assets that the pictures would be taken for. A picture that cannot be read is told of by the
/// registration itself.
fn similar_assets(
    engine: &Engine,
    scope: &BrandScope,
    draft: &AssetDraft,
    files: &[Upload],
) -> BTreeSet<AssetId> {
    let verdicts = files
        .iter()
        .take(MAX_LOOKED_UP)
        .filter_map(|file| engine.match_photo(&file.bytes, None).ok());
    verdicts
        .flat_map(|verdict| verdict.findings)
        .filter(|finding| scope.sees(&finding.brand))
        .filter(|finding| finding.brand != draft.brand || finding.asset != draft.name)
        .map(|finding| finding.asset_id)
        .collect()
}

/// What the form says; a name left open is that of the first file.
fn draft(texts: &Texts, first: Option<&Upload>) -> Result<AssetDraft, Problem> {
    let text = |name: &str| texts.get(name).map_or("", |text| text.trim());
    let bad = |error: DomainError| invalid(error.to_string());
    let name = match text("name") {
        "" => first.map_or("", |file| stem(&file.name)),
        name => name,
    };
    let optional = |name| Some(text(name).to_owned()).filter(|text| !text.is_empty());
    let mut draft = AssetDraft::new(text("brand"), name, text("kind").parse().map_err(bad)?);
    draft.word_marks = lines(text("word_marks"));
    draft.authorised_sellers = lines(text("authorised_sellers"));
    draft.registration_number = optional("registration_number");
    draft.notes = optional("notes");
    draft.valid_from = date("valid from", text("valid_from"))?;
    draft.valid_until = date("valid until", text("valid_until"))?;
    draft.checked().map_err(bad)
}

fn lines(text: &str) -> Vec<String> {
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    lines.map(str::to_owned).collect()
}

fn date(field: &str, text: &str) -> Result<Option<Date>, Problem> {
    if text.is_empty() {
        return Ok(None);
    }
    let date = text.parse();
    date.map(Some)
        .map_err(|error| invalid(format!("{field}: {error}")))
}

fn stem(name: &str) -> &str {
    let stem = FilePath::new(name).file_stem().and_then(|s| s.to_str());
    stem.unwrap_or(name)
}
