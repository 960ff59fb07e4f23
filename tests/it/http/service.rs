//! An engine without networks behind the router, and embedders that misbehave on demand.

use std::collections::BTreeMap;
use std::io::Cursor;
use std::sync::{Arc, Condvar, Mutex};

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{HeaderMap, Request, StatusCode};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use image::{ImageFormat, Rgb, RgbImage};
use jiff::Timestamp;
use serde_json::{Value, json};
use tempfile::TempDir;
use tower::ServiceExt;

use touchstone::domain::{Embedding, FindingKind, ModelId, Role, TenantName};
use touchstone::embed::fake::FakeEmbedder;
use touchstone::embed::{DescribedPhoto, DescribedReference, EmbedError, Embedder};
use touchstone::engine::{Engine, Stages, fake};
use touchstone::fetch::Fetcher;
use touchstone::http::{Entrance, EntranceSettings, HttpState, ServeLimits, router};
use touchstone::matching::judge::{Feature, Judge, Logistic, Term};
use touchstone::store::{AccessStore, NewKey, Store};

/// An engine in a throw-away home, and the router before it.
pub struct Service {
    pub engine: Arc<Engine>,
    pub keys: Arc<AccessStore>,
    pub router: Router,
    _home: TempDir,
}

impl Service {
    pub fn new() -> Self {
        Self::with(FakeEmbedder::default(), ServeLimits::default())
    }

    /// Without keys: whoever asks may do everything.
    pub fn with(embedder: impl Embedder + 'static, limits: ServeLimits) -> Self {
        Self::entered_by(embedder, limits, open())
    }

    /// Asks for keys.
    pub fn guarded(settings: EntranceSettings) -> Self {
        let limits = ServeLimits::default();
        Self::entered_by(FakeEmbedder::default(), limits, settings)
    }

    fn entered_by(
        embedder: impl Embedder + 'static,
        limits: ServeLimits,
        settings: EntranceSettings,
    ) -> Self {
        let home = tempfile::tempdir().expect("a temporary folder");
        let engine = Arc::new(engine(&home, Box::new(embedder)));
        let keys = Arc::new(AccessStore::open(home.path()).expect("keys"));
        let entrance = Entrance::new(Arc::clone(&keys), settings);
        Self {
            router: router(HttpState::new(Arc::clone(&engine), entrance, limits)),
            engine,
            keys,
            _home: home,
        }
    }

    /// The same, with photos fetched by `fetcher`.
    pub fn fetching(self, fetcher: Arc<Fetcher>, limits: ServeLimits) -> Self {
        let state = self.state(open(), limits).fetching_photos(fetcher);
        Self {
            router: router(state),
            ..self
        }
    }

    /// The same, with addresses of webhooks checked by `teller`.
    pub fn telling(self, teller: Arc<Fetcher>) -> Self {
        let state = self.state(open(), ServeLimits::default());
        Self {
            router: router(state.telling_by(teller)),
            ..self
        }
    }

    /// A key of the default tenant.
    pub fn key(&self, role: Role) -> String {
        let key = NewKey {
            tenant: TenantName::default(),
            role,
            label: role.to_string(),
            brands: Vec::new(),
            expires_at: None,
        };
        let issued = self.keys.create_key(key, Timestamp::now(), |_| Ok(()));
        issued.expect("a key").text
    }

    /// The state of a server of its own on the same home.
    pub fn state(&self, settings: EntranceSettings, limits: ServeLimits) -> HttpState {
        let entrance = Entrance::new(Arc::clone(&self.keys), settings);
        HttpState::new(Arc::clone(&self.engine), entrance, limits)
    }

    pub async fn call(&self, request: Request<Body>) -> Answer {
        let response = self
            .router
            .clone()
            .oneshot(request)
            .await
            .expect("a router never fails");
        let (head, body) = response.into_parts();
        let body = to_bytes(body, usize::MAX).await.expect("a whole body");
        Answer {
            status: head.status,
            headers: head.headers,
            body: body.to_vec(),
        }
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.call(to("GET", path, Body::empty())).await
    }

    pub async fn delete(&self, path: &str) -> Answer {
        self.call(to("DELETE", path, Body::empty())).await
    }

    pub async fn post_json(&self, path: &str, body: &Value) -> Answer {
        self.call(json_to("POST", path, body)).await
    }

    pub async fn post_picture(&self, path: &str, bytes: Vec<u8>) -> Answer {
        let mut request = to("POST", path, Body::from(bytes));
        let kind = "image/png".parse().expect("a header");
        request.headers_mut().insert("content-type", kind);
        self.call(request).await
    }

    pub async fn post_form(&self, path: &str, parts: &[Part<'_>]) -> Answer {
        self.call(form_to(path, parts)).await
    }

    /// Registers a mark and gives its asset's id.
    pub async fn register(&self, brand: &str, name: &str, picture: &[u8]) -> i64 {
        let answer = self
            .post_json("/v1/assets", &asset(brand, name, &[picture]))
            .await;
        assert_eq!(answer.status, StatusCode::CREATED, "{}", answer.text());
        answer.json()["asset"]["id"].as_i64().expect("an id")
    }

    /// Brands found in a photo.
    pub async fn brands_in(&self, photo: Vec<u8>) -> Vec<String> {
        let answer = self.post_picture("/v1/match", photo).await;
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.text());
        brands_of(&answer.json())
    }
}

/// No keys are asked for.
pub fn open() -> EntranceSettings {
    EntranceSettings {
        is_open: true,
        ..EntranceSettings::default()
    }
}

pub fn brands_of(verdict: &Value) -> Vec<String> {
    let findings = verdict["findings"].as_array().expect("a list of findings");
    findings
        .iter()
        .map(|finding| finding["brand"].as_str().expect("a brand").to_owned())
        .collect()
}

pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Vec<u8>,
}

impl Answer {
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).expect("JSON")
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .map_or("", |value| value.to_str().expect("text"))
    }
}

pub fn to(method: &str, path: &str, body: Body) -> Request<Body> {
    Request::builder()
        .method(method)
        .uri(path)
        .header("host", "localhost:8470")
        .body(body)
        .expect("a request")
}

pub fn json_to(method: &str, path: &str, body: &Value) -> Request<Body> {
    let mut request = to(method, path, Body::from(body.to_string()));
    let kind = "application/json".parse().expect("a header");
    request.headers_mut().insert("content-type", kind);
    request
}

/// A field of a form: its name, for files a file name, and its bytes.
pub type Part<'a> = (&'a str, Option<&'a str>, &'a [u8]);

const BOUNDARY: &str = "----boundary";

pub fn form_to(path: &str, parts: &[Part<'_>]) -> Request<Body> {
    let mut body = Vec::new();
    for (name, file_name, bytes) in parts {
        body.extend(
            format!("--{BOUNDARY}\r\nContent-Disposition: form-data; name=\"{name}\"").bytes(),
        );
        if let Some(file_name) = file_name {
            // The declared type is a lie: only the content counts.
            body.extend(format!("; filename=\"{file_name}\"\r\nContent-Type: text/html").bytes());
        }
        body.extend(b"\r\n\r\n");
        body.extend(*bytes);
        body.extend(b"\r\n");
    }
    body.extend(format!("--{BOUNDARY}--\r\n").bytes());
    let mut request = to("POST", path, Body::from(body));
    let kind = format!("multipart/form-data; boundary={BOUNDARY}");
    let kind = kind.parse().expect("a header");
    request.headers_mut().insert("content-type", kind);
    request
}

/// The JSON that registers a mark.
pub fn asset(brand: &str, name: &str, pictures: &[&[u8]]) -> Value {
    let pictures: Vec<Value> = pictures
        .iter()
        .map(|bytes| json!({ "base64": base64(bytes) }))
        .collect();
    json!({ "brand": brand, "name": name, "kind": "logo", "pictures": pictures })
}

pub fn base64(bytes: &[u8]) -> String {
    BASE64_STANDARD.encode(bytes)
}

/// Colours of the four quarters of a picture.
type Quarters = [[u8; 3]; 4];
pub const STAR: Quarters = [
    [230, 20, 20],
    [250, 240, 30],
    [20, 40, 200],
    [240, 240, 240],
];
pub const MOON: Quarters = [[20, 160, 60], [20, 20, 20], [250, 140, 20], [150, 30, 160]];

/// A PNG of four colours, told apart by the fake embedder.
pub fn picture(quarters: Quarters) -> Vec<u8> {
    png(&RgbImage::from_fn(96, 96, |x, y| {
        Rgb(quarters[usize::from(x >= 48) + 2 * usize::from(y >= 48)])
    }))
}

/// A PNG of one colour, which is refused as a reference.
pub fn blank() -> Vec<u8> {
    png(&RgbImage::from_pixel(64, 64, Rgb([200, 200, 200])))
}

pub fn png(pixels: &RgbImage) -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    pixels
        .write_to(&mut bytes, ImageFormat::Png)
        .expect("a PNG");
    bytes.into_inner()
}

fn engine(home: &TempDir, embedder: Box<dyn Embedder>) -> Engine {
    let mut stages = Stages::none();
    stages.windows = true;
    stages.whole = true;
    let store = Store::open(home.path()).expect("a store");
    fake::engine(home.path(), stages, judge(), embedder, store).expect("an engine")
}

/// Near-equal pictures are found, others are not.
fn judge() -> Judge {
    let model = Logistic {
        bias: -95.0,
        terms: vec![Term {
            feature: Feature::WindowSimilarity,
            weight: 100.0,
            missing: 0.0,
        }],
    };
    Judge {
        provenance: "made for tests".to_owned(),
        models: BTreeMap::from([(FindingKind::LogoPresent, model)]),
    }
}

/// A gate that holds up every photo until it is opened.
#[derive(Default)]
pub struct Gate {
    state: Mutex<GateState>,
    changed: Condvar,
}

#[derive(Default)]
struct GateState {
    n_inside: usize,
    is_open: bool,
}

impl Gate {
    pub fn open(&self) {
        self.state.lock().expect("no panic").is_open = true;
        self.changed.notify_all();
    }

    /// Blocks until `n` photos are, or were, being worked on.
    pub fn wait_for(&self, n: usize) {
        let state = self.state.lock().expect("no panic");
        let _state = self
            .changed
            .wait_while(state, |state| state.n_inside < n)
            .expect("no panic");
    }

    fn pass(&self) {
        let mut state = self.state.lock().expect("no panic");
        state.n_inside += 1;
        self.changed.notify_all();
        let _state = self
            .changed
            .wait_while(state, |state| !state.is_open)
            .expect("no panic");
    }
}

/// What an embedder does with photos instead of describing them.
pub enum Mood {
    Gated(Arc<Gate>),
    Panics,
    Fails,
}

/// A fake that describes references as ever, and photos as its mood says.
pub struct MoodyEmbedder {
    pub mood: Mood,
    inner: FakeEmbedder,
}

impl MoodyEmbedder {
    pub fn new(mood: Mood) -> Self {
        Self {
            mood,
            inner: FakeEmbedder::default(),
        }
    }
}

impl Embedder for MoodyEmbedder {
    fn model(&self) -> &ModelId {
        self.inner.model()
    }

    fn window_dim(&self) -> usize {
        self.inner.window_dim()
    }

    fn whole_dim(&self) -> usize {
        self.inner.whole_dim()
    }

    fn embed_reference(&self, picture: &RgbImage) -> Result<DescribedReference, EmbedError> {
        self.inner.embed_reference(picture)
    }

    fn embed_whole(&self, picture: &RgbImage) -> Result<Embedding, EmbedError> {
        self.inner.embed_whole(picture)
    }

    fn embed_windows(&self, photo: &RgbImage) -> Result<DescribedPhoto, EmbedError> {
        match &self.mood {
            Mood::Gated(gate) => gate.pass(),
            Mood::Panics => panic!("the network fell over"),
            Mood::Fails => {
                return Err(EmbedError::OutputShape {
                    model: ModelId("secret-model".to_owned()),
                    expected: [1, 2],
                    actual: vec![3],
                });
            }
        }
        self.inner.embed_windows(photo)
    }
}
