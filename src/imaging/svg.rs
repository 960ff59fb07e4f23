//! SVG, drawn with what this program carries: its own fonts, no files, no network.
//!
//! A drawing is a program, and one from outside may be hostile. It runs on a thread of its own with
//! a large stack, its size is bounded before each step (`svg_bounds`), and nobody waits for it
//! longer than [`TIME_LIMIT`]. A thread cannot be stopped: while [`MAX_LATE`] of those that nobody
//! waits for any more still run, no other drawing is begun.

use std::io::Read;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock, mpsc};
use std::thread;
use std::time::Duration;

use flate2::read::GzDecoder;
use image::{ImageFormat, RgbaImage};
use resvg::tiny_skia::{Pixmap, Transform};
use resvg::usvg::{self, FontResolver, ImageHrefResolver, ImageKind, Options, Tree, fontdb};

use super::format::GZIP_MAGIC;
use super::reference::ReferencePicture;
use super::{DecodeLimits, ImagingError, PictureFormat, SvgError, raster, svg_bounds};

/// Bytes of the drawing, unpacked.
const MAX_SVG_BYTES: usize = 8 << 20;
/// Parsers and renderers of XML recurse once a level; the pages are only taken when they are used.
/// `svg_bounds` keeps the levels below what fits (test `deep_and_wide_drawings_are_refused_not_fatal`).
const STACK_BYTES: usize = 256 << 20;
/// A backstop: real marks take milliseconds, the bounds stop everything known that would take longer.
const TIME_LIMIT: Duration = Duration::from_secs(10);
/// Drawings that may run on after [`TIME_LIMIT`] before others are refused.
const MAX_LATE: usize = 4;
/// Pixels of all pictures embedded in one drawing, as stored.
const MAX_EMBEDDED_PIXELS: u64 = 32_000_000;
/// Longest side an embedded picture is kept at; a drawing is not rendered larger than this.
const EMBEDDED_SIDE_PX: u32 = 1024;

static FONTS: LazyLock<Arc<fontdb::Database>> = LazyLock::new(|| {
    let mut fonts = fontdb::Database::new();
    fonts.load_font_data(include_bytes!("../../assets/fonts/LiberationSans-Regular.ttf").to_vec());
    fonts.load_font_data(include_bytes!("../../assets/fonts/LiberationSans-Bold.ttf").to_vec());
    fonts.load_font_data(include_bytes!("../../assets/fonts/DejaVuSans.ttf").to_vec());
    Arc::new(fonts)
});

/// Draws `bytes`, plain or gzipped, with [`DecodeLimits::svg_side_px`] on the longest side.
pub(super) fn render(
    bytes: &[u8],
    limits: &DecodeLimits,
) -> Result<ReferencePicture, ImagingError> {
    static N_LATE: AtomicUsize = AtomicUsize::new(0);
    let text = unpack(bytes)?;
    let limits = *limits;
    Ok(draw_apart(&N_LATE, TIME_LIMIT, move || {
        draw(&text, &limits)
    })?)
}

/// Runs `draw` on a thread with a large stack, and waits for it for `limit`.
///
/// `n_late` counts the threads that run although nobody waits for them any more.
///
/// # Errors
///
/// [`SvgError::TooSlow`] after `limit`; [`SvgError::RendererFailed`] where `draw` panics, no thread
/// can be had, or [`MAX_LATE`] run late.
fn draw_apart<T: Send + 'static>(
    n_late: &'static AtomicUsize,
    limit: Duration,
    draw: impl FnOnce() -> Result<T, SvgError> + Send + 'static,
) -> Result<T, SvgError> {
    if n_late.load(Ordering::SeqCst) >= MAX_LATE {
        return Err(SvgError::RendererFailed);
    }
    let is_over = Arc::new(AtomicBool::new(false));
    let run = Run {
        n_late,
        is_over: is_over.clone(),
    };
    let (done, outcome) = mpsc::sync_channel(1);
    let draw_and_send = move || {
        let _run = run;
        // Nobody listens any more after the time limit.
        let _ = done.send(draw());
    };
    thread::Builder::new()
        .name("svg".into())
        .stack_size(STACK_BYTES)
        .spawn(draw_and_send)
        .map_err(|_| SvgError::RendererFailed)?;
    outcome.recv_timeout(limit).unwrap_or_else(|reason| {
        Err(match reason {
            mpsc::RecvTimeoutError::Timeout => {
                // Counted before the flag is raised, so that the thread never counts down first.
                n_late.fetch_add(1, Ordering::SeqCst);
                if is_over.swap(true, Ordering::SeqCst) {
                    n_late.fetch_sub(1, Ordering::SeqCst);
                }
                SvgError::TooSlow {
                    limit_ms: limit.as_millis() as u64,
                }
            }
            // The thread panicked: its end of the channel is gone.
            mpsc::RecvTimeoutError::Disconnected => SvgError::RendererFailed,
        })
    })
}

/// A thread that draws, until it is dropped, also by a panic.
struct Run {
    n_late: &'static AtomicUsize,
    /// Raised by whoever is done first, the thread or the one that waits for it.
    is_over: Arc<AtomicBool>,
}

impl Drop for Run {
    fn drop(&mut self) {
        if self.is_over.swap(true, Ordering::SeqCst) {
            self.n_late.fetch_sub(1, Ordering::SeqCst);
        }
    }
}

/// Draws `text`, a drawing of this program's own making, with `side_px` on the longest side.
pub(super) fn render_own(text: &str, side_px: u32) -> Result<RgbaImage, SvgError> {
    let limits = DecodeLimits {
        svg_side_px: side_px,
        ..DecodeLimits::default()
    };
    Ok(draw(text, &limits)?.pixels)
}

fn unpack(bytes: &[u8]) -> Result<String, SvgError> {
    let mut plain = Vec::new();
    if bytes.starts_with(&GZIP_MAGIC) {
        // One byte more than allowed tells a full file from a cut one.
        GzDecoder::new(bytes)
            .take(MAX_SVG_BYTES as u64 + 1)
            .read_to_end(&mut plain)
            .map_err(SvgError::BadGzip)?;
    } else {
        plain.extend_from_slice(bytes);
    }
    if plain.len() > MAX_SVG_BYTES {
        return Err(SvgError::TooManyBytes {
            limit: MAX_SVG_BYTES,
        });
    }
    String::from_utf8(plain).map_err(|e| SvgError::NotUtf8(e.utf8_error()))
}

fn draw(text: &str, limits: &DecodeLimits) -> Result<ReferencePicture, SvgError> {
    svg_bounds::check_text(text)?;
    let xml_options = usvg::roxmltree::ParsingOptions {
        allow_dtd: true,
        nodes_limit: svg_bounds::MAX_XML_NODES,
        ..Default::default()
    };
    let malformed = |e| SvgError::Malformed(usvg::Error::ParsingFailed(e));
    let xml =
        usvg::roxmltree::Document::parse_with_options(text, xml_options).map_err(malformed)?;
    svg_bounds::check_document(&xml)?;
    let tree = Tree::from_xmltree(&xml, &options(limits)).map_err(SvgError::Malformed)?;

    let size = tree.size();
    let whole = |side: f32| side.round().clamp(1.0, 16_777_216.0) as u32;
    let original_size = [whole(size.width()), whole(size.height())];
    // Shape and scale come from the exact size: 0.5 × 1 units are a drawing too.
    let scale = limits.svg_side_px as f32 / size.width().max(size.height());
    let exact = |side: f32| (side * scale).round().max(1.0) as u32;
    let (width, height) = (exact(size.width()), exact(size.height()));
    svg_bounds::check_work(&tree, scale, width, height)?;
    let mut pixmap = Pixmap::new(width, height).ok_or(SvgError::RendererFailed)?;
    resvg::render(
        &tree,
        Transform::from_scale(scale, scale),
        &mut pixmap.as_mut(),
    );
    Ok(ReferencePicture {
        pixels: straight_alpha(&pixmap),
        original_size,
    })
}

fn straight_alpha(pixmap: &Pixmap) -> RgbaImage {
    let pixels = pixmap.pixels().iter().flat_map(|pixel| {
        let c = pixel.demultiply();
        [c.red(), c.green(), c.blue(), c.alpha()]
    });
    RgbaImage::from_raw(pixmap.width(), pixmap.height(), pixels.collect())
        .expect("four bytes a pixel")
}

fn options(limits: &DecodeLimits) -> Options<'static> {
    Options {
        fontdb: FONTS.clone(),
        font_resolver: FontResolver {
            select_font: Box::new(select_font),
            select_fallback: FontResolver::default_fallback_selector(),
        },
        image_href_resolver: ImageHrefResolver {
            resolve_data: embedded_resolver(*limits),
            resolve_string: Box::new(|_, _| None),
        },
        ..Options::default()
    }
}

/// Regular or bold of the one family there is, whatever the drawing asks for.
fn select_font(font: &usvg::Font, fonts: &mut Arc<fontdb::Database>) -> Option<fontdb::ID> {
    fonts.query(&fontdb::Query {
        families: &[fontdb::Family::Name("Liberation Sans")],
        weight: fontdb::Weight(font.weight()),
        ..fontdb::Query::default()
    })
}

/// Pictures embedded as `data:`, decoded under our limits and handed on as small PNG; an embedded
/// SVG, and what cannot be decoded, is left out as a browser would.
fn embedded_resolver(limits: DecodeLimits) -> usvg::ImageHrefDataResolverFn<'static> {
    let n_pixels_left = AtomicU64::new(MAX_EMBEDDED_PIXELS);
    Box::new(move |_, bytes, _| {
        let format = PictureFormat::of(&bytes).ok()?;
        let limits = DecodeLimits {
            max_stored_pixels: n_pixels_left.load(Ordering::Relaxed),
            max_side_px: EMBEDDED_SIDE_PX,
            ..limits
        };
        format.raster()?;
        let (image, [width, height]) = raster::decode(&bytes, format, &limits).ok()?;
        n_pixels_left.fetch_sub(u64::from(width) * u64::from(height), Ordering::Relaxed);
        let mut png = Vec::new();
        image
            .write_to(&mut std::io::Cursor::new(&mut png), ImageFormat::Png)
            .ok()?;
        Some(ImageKind::PNG(Arc::new(png)))
    })
}

#[cfg(test)]
mod tests;
