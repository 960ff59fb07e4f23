//! What following every reference of a drawing gives.
//!
//! The SVG parser copies what is used, masks, clips, patterns and filters for each reference to
//! them, markers for each vertex, and what a group hands down for each shape in it. It cuts few of
//! the circles that references can form: it would follow the others until the stack ends.

use std::collections::HashMap;

use resvg::usvg::roxmltree::Document;

use super::references::{Drawing, Element, Kind, LEVELS, Reference};
use super::{MAX_DEPTH, MAX_EXPANDED, MAX_POINTS, MAX_STYLE_WORK, SvgError, at_most};

/// Circles of references that the SVG parser cuts, going through all elements for each.
const MAX_CUTS: u64 = 1000;
/// References that one element may get from those around it.
const MAX_INHERITED: u64 = 64;
const ELEMENTS: &str = "elements after following all references";

/// Bounds what following every reference in `xml` will give.
pub(super) fn check(xml: &Document) -> Result<(), SvgError> {
    let drawing = Drawing::read(xml)?;
    let (size, _) = Expansion::new(&drawing)?.size(0, Edge::CHILD, 0)?;
    at_most(ELEMENTS, size.nodes, MAX_EXPANDED)?;
    at_most(LEVELS, size.depth, MAX_DEPTH)?;
    at_most(
        "points after following all references",
        size.points,
        MAX_POINTS,
    )?;
    at_most("steps of styling", size.style_work, MAX_STYLE_WORK)
}

#[derive(Clone, Copy, Default)]
struct Size {
    nodes: u64,
    points: u64,
    style_work: u64,
    depth: u64,
}

impl Size {
    fn add(&mut self, part: Self, edge: Edge, n_times: u64) {
        let times = |n: u64| n.saturating_mul(n_times);
        self.nodes = self.nodes.saturating_add(times(part.nodes));
        self.points = self.points.saturating_add(times(part.points));
        self.depth = self.depth.max(part.depth);
        // Other references are followed after styles have been written.
        if matches!(edge.kind, Kind::Child | Kind::Use) {
            self.style_work = self.style_work.saturating_add(part.style_work);
        }
    }
}

#[derive(Clone, Copy)]
struct Edge {
    kind: Kind,
    /// Whether the reference is that of an element around.
    is_inherited: bool,
}

impl Edge {
    const CHILD: Self = Self {
        kind: Kind::Child,
        is_inherited: false,
    };
}

/// A step from an element to another, in that context, and how often it is taken.
struct Part {
    target: usize,
    edge: Edge,
    context: usize,
    n_times: u64,
}

struct Expansion<'d> {
    elements: &'d [Element],
    /// References that are handed down; the first is none.
    contexts: Vec<Vec<Reference>>,
    /// By context and element: the context inside of it.
    insides: HashMap<(usize, usize), usize>,
    /// By element: the context in which it is written, and so is when it is referred to.
    homes: Vec<usize>,
    known: HashMap<(usize, usize), Size>,
    /// By element: at which level it is being followed.
    open: Vec<Option<usize>>,
    path: Vec<Edge>,
    n_followed: u64,
    n_cuts: u64,
}

impl<'d> Expansion<'d> {
    fn new(drawing: &'d Drawing) -> Result<Self, SvgError> {
        let n_elements = drawing.elements.len();
        let mut expansion = Self {
            elements: &drawing.elements,
            contexts: vec![Vec::new()],
            insides: HashMap::new(),
            homes: vec![0; n_elements],
            known: HashMap::new(),
            open: vec![None; n_elements],
            path: Vec::new(),
            n_followed: 0,
            n_cuts: 0,
        };
        for i in 1..n_elements {
            let parent = drawing.elements[i].parent;
            expansion.homes[i] = expansion.inside(expansion.homes[parent], parent)?;
        }
        Ok(expansion)
    }

    /// The context of what is in `element`, which is in `context`.
    fn inside(&mut self, context: usize, element: usize) -> Result<usize, SvgError> {
        if let Some(&known) = self.insides.get(&(context, element)) {
            return Ok(known);
        }
        let own = self.elements[element].references.iter();
        let own = own.filter(|reference| reference.kind.is_inherited());
        let mut references = self.inherited(context, element);
        let n_inherited = references.len();
        references.extend(own);
        at_most(
            "inherited references",
            references.len() as u64,
            MAX_INHERITED,
        )?;
        let is_same =
            references.len() == n_inherited && references.len() == self.contexts[context].len();
        let inside = match is_same {
            true => context,
            false => {
                self.contexts.push(references);
                self.contexts.len() - 1
            }
        };
        self.insides.insert((context, element), inside);
        Ok(inside)
    }

    /// What `element` has from `context`.
    fn inherited(&self, context: usize, element: usize) -> Vec<Reference> {
        let element = &self.elements[element];
        let references = self.contexts[context].iter().copied();
        references
            .filter(|reference| match reference.kind {
                Kind::Fill => !element.sets_fill,
                Kind::Stroke => !element.sets_stroke,
                _ => true,
            })
            .collect()
    }

    /// What `element` becomes in `context`, reached by `edge`, and the lowest level of an element
    /// being followed that it leads back to.
    fn size(
        &mut self,
        element: usize,
        edge: Edge,
        context: usize,
    ) -> Result<(Size, usize), SvgError> {
        if let Some(level) = self.open[element] {
            self.check_circle(level, edge)?;
            return Ok((Size::default(), level));
        }
        if let Some(known) = self.known.get(&(element, context)) {
            return Ok((*known, usize::MAX));
        }
        let level = self.path.len();
        self.n_followed += 1;
        at_most(ELEMENTS, self.n_followed, MAX_EXPANDED)?;
        at_most(LEVELS, level as u64 + 1, MAX_DEPTH)?;

        self.path.push(edge);
        self.open[element] = Some(level);
        let Element {
            n_points,
            n_letters,
            style_work,
            ..
        } = self.elements[element];
        let mut size = Size {
            nodes: 1 + n_letters,
            points: n_points.unwrap_or(0),
            style_work,
            depth: 0,
        };
        let mut lowest = usize::MAX;
        for part in self.parts(element, context)? {
            let (of_part, level) = self.size(part.target, part.edge, part.context)?;
            size.add(of_part, part.edge, part.n_times);
            lowest = lowest.min(level);
        }
        size.depth += 1;
        self.open[element] = None;
        self.path.pop();
        // What a circle has cut short is larger where it is reached another way.
        if lowest < level {
            return Ok((size, lowest));
        }
        self.known.insert((element, context), size);
        Ok((size, usize::MAX))
    }

    fn parts(&mut self, index: usize, context: usize) -> Result<Vec<Part>, SvgError> {
        let inside = self.inside(context, index)?;
        let element = &self.elements[index];
        let children = element.children.iter().map(|&target| Part {
            target,
            edge: Edge::CHILD,
            context: inside,
            n_times: 1,
        });
        let inherited = match element.is_painted {
            true => self.inherited(context, index),
            false => Vec::new(),
        };
        // Only shapes have markers; groups have them for the shapes in them.
        let inherited = inherited
            .into_iter()
            .filter(|reference| element.n_points.is_some() || !reference.kind.is_marker())
            .map(|reference| (reference, true));
        let own = element.references.iter().copied();
        let own = own.map(|reference| (reference, false));
        let references = own
            .chain(inherited)
            .map(|(Reference { kind, target }, is_inherited)| Part {
                target,
                edge: Edge { kind, is_inherited },
                context: match kind {
                    Kind::Use => inside,
                    _ => self.homes[target],
                },
                n_times: match (kind, element.n_points) {
                    (Kind::MarkerMid, Some(n_vertices)) => n_vertices,
                    _ => 1,
                },
            });
        Ok(children.chain(references).collect())
    }

    /// Refuses a circle, closed by `edge` to the element at `level`, unless the SVG parser cuts it:
    /// it cuts all through `use` or a marker, else those of one reference that is not inherited.
    fn check_circle(&mut self, level: usize, edge: Edge) -> Result<(), SvgError> {
        let circle = || self.path[level + 1..].iter().chain([&edge]);
        let is_reference = |edge: &&Edge| !matches!(edge.kind, Kind::Child | Kind::Use);
        let n_references = circle().filter(is_reference).count() as u64;
        if n_references == 0 || circle().any(|edge| edge.kind.is_marker()) {
            return Ok(());
        }
        let is_uncut = circle().any(|edge| edge.is_inherited || edge.kind == Kind::Image);
        at_most("references in a circle", n_references, u64::from(!is_uncut))?;
        self.n_cuts += 1;
        at_most("circles of references", self.n_cuts, MAX_CUTS)
    }
}
