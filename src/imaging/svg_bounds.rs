//! How much a drawing may ask for, checked before each step that would do it.
//!
//! [`check_text`] before the XML parser, [`check_document`] before styles are written and
//! references (`use`, masks, patterns, clips, filters, markers) followed, [`check_work`] before
//! pixels are written. Each bounds from above and cheaply; none judges whether the drawing makes
//! sense.

mod expansion;
mod references;
mod shapes;
mod styles;

use resvg::tiny_skia;
use resvg::usvg::roxmltree::Document;
use resvg::usvg::{self, Group, Paint, Tree, filter};

use super::SvgError;

/// Nodes, text included, of the XML document.
pub(super) const MAX_XML_NODES: u32 = 200_000;
/// Elements as written; also the deepest nesting that the XML parser can meet.
const MAX_ELEMENTS: u64 = 50_000;
/// Attributes of one element: the XML parser compares each with each.
const MAX_ATTRIBUTES: u64 = 256;
/// Bytes that all uses of entities may expand to. Illustrator names a dozen of 40 bytes.
const MAX_ENTITY_BYTES: usize = 1 << 20;
/// Steps of styling all elements, of some ten nanoseconds each: each selector is tried on each
/// element, and each declaration of those that fit is written.
const MAX_STYLE_WORK: u64 = 50_000_000;
/// References to elements, in attributes and from styles.
const MAX_REFERENCES: u64 = 1_000_000;
/// Elements and letters after every reference has been followed.
const MAX_EXPANDED: u64 = 200_000;
/// Points of shapes after every reference has been followed: some hundred megabytes.
const MAX_POINTS: u64 = 10_000_000;
/// Levels after every reference has been followed.
const MAX_DEPTH: u64 = 200;
/// Pixel operations of one rendering: about two seconds.
const MAX_WORK: u64 = 1_000_000_000;
/// What drawing any element costs at least, in pixel operations.
const NODE_WORK: f32 = 500.0;
/// Pixels of one pattern's tile.
const MAX_TILE_PIXELS: f32 = 4_000_000.0;

/// Bounds what the XML parser will do, by counting characters.
pub(super) fn check_text(text: &str) -> Result<(), SvgError> {
    let (mut n_elements, mut n_attributes) = (0u64, 0u64);
    let bytes = text.as_bytes();
    for (i, byte) in bytes.iter().enumerate() {
        match byte {
            b'<' => {
                n_elements += u64::from(!matches!(bytes.get(i + 1), Some(b'/' | b'!' | b'?')));
                n_attributes = 0;
            }
            // `=` outside of tags counts too: few texts have hundreds between two tags.
            b'=' => n_attributes += 1,
            _ => {}
        }
        at_most("attributes in one element", n_attributes, MAX_ATTRIBUTES)?;
    }
    at_most("elements", n_elements, MAX_ELEMENTS)?;
    check_entities(text)
}

fn at_most(what: &'static str, actual: u64, limit: u64) -> Result<(), SvgError> {
    if actual > limit {
        return Err(SvgError::TooMany {
            what,
            actual,
            limit,
        });
    }
    Ok(())
}

/// Entities hold plain text, and all their uses together stay small.
fn check_entities(text: &str) -> Result<(), SvgError> {
    let refused = SvgError::Entities {
        limit: MAX_ENTITY_BYTES,
    };
    let mut longest = 0;
    for declaration in text.split("<!ENTITY").skip(1) {
        let Some(start) = declaration.find(['"', '\'']) else {
            return Err(refused);
        };
        let value = &declaration[start + 1..];
        let quote = &declaration[start..=start];
        let value = &value[..value.find(quote).unwrap_or(value.len())];
        if value.contains(['<', '&']) {
            return Err(refused);
        }
        longest = longest.max(value.len());
    }
    if longest > 0 && text.matches('&').count().saturating_mul(longest) > MAX_ENTITY_BYTES {
        return Err(refused);
    }
    Ok(())
}

/// Bounds what styling every element and following every reference will give.
pub(super) fn check_document(xml: &Document) -> Result<(), SvgError> {
    expansion::check(xml)
}

/// Bounds the pixels that rendering will write, at `scale`, on a canvas of `width` × `height`.
pub(super) fn check_work(tree: &Tree, scale: f32, width: u32, height: u32) -> Result<(), SvgError> {
    // The renderer lets layers reach two canvases beyond the canvas on each side.
    let canvas = Canvas {
        scale,
        max_width: width as f32 * 5.0,
        max_height: height as f32 * 5.0,
    };
    let mut left = MAX_WORK as f32;
    group_work(tree.root(), canvas, &mut left)
}

#[derive(Clone, Copy)]
struct Canvas {
    scale: f32,
    max_width: f32,
    max_height: f32,
}

impl Canvas {
    /// Pixels of a box of `width` × `height` user units.
    fn area(&self, width: f32, height: f32) -> f32 {
        let w = (width * self.scale + 4.0).min(self.max_width);
        let h = (height * self.scale + 4.0).min(self.max_height);
        NODE_WORK + w * h
    }
}

fn spend(work: f32, left: &mut f32) -> Result<(), SvgError> {
    *left -= work;
    // Written so that a NaN is refused too.
    if *left > 0.0 {
        Ok(())
    } else {
        Err(SvgError::TooMuchWork { limit: MAX_WORK })
    }
}

fn group_work(group: &Group, canvas: Canvas, left: &mut f32) -> Result<(), SvgError> {
    for node in group.children() {
        match node {
            usvg::Node::Group(child) => {
                if child.should_isolate() {
                    spend(layer_work(child, canvas), left)?;
                }
                group_work(child, canvas, left)?;
            }
            usvg::Node::Path(path) => path_work(path, canvas, left)?,
            usvg::Node::Image(image) => {
                let bounds = image.abs_bounding_box();
                // Embedded pictures are at most 1024 pixels a side.
                spend(
                    canvas.area(bounds.width(), bounds.height()) + 1_048_576.0,
                    left,
                )?;
            }
            usvg::Node::Text(text) => group_work(text.flattened(), canvas, left)?,
        }
        if !matches!(node, usvg::Node::Path(_)) {
            let mut outcome = Ok(());
            node.subroots(|root| {
                if outcome.is_ok() {
                    outcome = group_work(root, canvas, left);
                }
            });
            outcome?;
        }
    }
    Ok(())
}

fn layer_work(group: &Group, canvas: Canvas) -> f32 {
    let bounds = group.abs_layer_bounding_box();
    let area = canvas.area(bounds.width(), bounds.height());
    let n_layers =
        2 + u32::from(group.clip_path().is_some()) + 4 * u32::from(group.mask().is_some());
    let (sx, sy) = group.abs_transform().get_scale();
    let scale = canvas.scale * sx.max(sy);
    let per_pixel: f32 = group
        .filters()
        .iter()
        .flat_map(|filter| filter.primitives())
        .map(|primitive| filter_work(primitive.kind(), scale, canvas))
        .sum();
    area * (n_layers as f32 + per_pixel)
}

/// Operations a pixel of one step of a filter.
fn filter_work(kind: &filter::Kind, scale: f32, canvas: Canvas) -> f32 {
    match kind {
        filter::Kind::ConvolveMatrix(matrix) => {
            4.0 * matrix.matrix().columns() as f32 * matrix.matrix().rows() as f32
        }
        filter::Kind::Morphology(morphology) => {
            let x = (morphology.radius_x().get() * scale).min(canvas.max_width);
            let y = (morphology.radius_y().get() * scale).min(canvas.max_height);
            4.0 * (2.0 * x + 1.0) * (2.0 * y + 1.0)
        }
        // Each input is copied, brought into the step's colours and drawn.
        filter::Kind::Merge(merge) => 20.0 * (merge.inputs().len() as f32 + 1.0),
        filter::Kind::Turbulence(noise) => 80.0 * (noise.num_octaves() as f32 + 1.0),
        _ => 40.0,
    }
}

fn path_work(path: &usvg::Path, canvas: Canvas, left: &mut f32) -> Result<(), SvgError> {
    let bounds = path.abs_stroke_bounding_box();
    spend(
        canvas.area(bounds.width(), bounds.height()) + 10.0 * path.data().len() as f32,
        left,
    )?;
    let stroke = path.stroke();
    if let Some(dashes) = stroke.and_then(|s| s.dasharray()) {
        spend(dash_work(path, dashes), left)?;
    }
    let paints = [
        path.fill().map(usvg::Fill::paint),
        stroke.map(usvg::Stroke::paint),
    ];
    for paint in paints.into_iter().flatten() {
        if let Paint::Pattern(pattern) = paint {
            pattern_work(pattern, path.abs_transform(), canvas, left)?;
        }
    }
    Ok(())
}

/// No segment is longer than its path's box is wide and high.
fn dash_work(path: &usvg::Path, dashes: &[f32]) -> f32 {
    let bounds = path.bounding_box();
    let length = (bounds.width() + bounds.height()) * path.data().len() as f32;
    let n_dashes = length / dashes.iter().sum::<f32>().max(f32::MIN_POSITIVE);
    // The renderer gives up at a million.
    n_dashes.min(1_000_000.0) * 100.0
}

fn pattern_work(
    pattern: &usvg::Pattern,
    path_transform: tiny_skia::Transform,
    canvas: Canvas,
    left: &mut f32,
) -> Result<(), SvgError> {
    let (sx, sy) = path_transform.pre_concat(pattern.transform()).get_scale();
    let (sx, sy) = (sx * canvas.scale, sy * canvas.scale);
    let (width, height) = (pattern.rect().width() * sx, pattern.rect().height() * sy);
    if width * height > MAX_TILE_PIXELS {
        return Err(SvgError::TooMuchWork { limit: MAX_WORK });
    }
    spend(NODE_WORK + width * height, left)?;
    let tile = Canvas {
        scale: sx.max(sy),
        ..canvas
    };
    group_work(pattern.root(), tile, left)
}
