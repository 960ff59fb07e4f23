//! What following every reference of a drawing gives.
//!
//! The SVG parser copies what is used, masks, clips, patterns and filters for each reference to
//! them, markers for each vertex, and what a group hands down for each shape in it. It cuts few of
//! the circles that references can form: it would follow the others until the stack ends.

use std::collections::HashMap;

use resvg::usvg::roxmltree::{Document, Node, NodeId};

use super::styles::{Given, Styles, marked_references};
use super::{
    MAX_DEPTH, MAX_EXPANDED, MAX_POINTS, MAX_REFERENCES, MAX_STYLE_WORK, SvgError, at_most, shapes,
};

/// Circles of references that the SVG parser cuts, going through all elements for each.
const MAX_CUTS: u64 = 1000;
/// References that one element may get from those around it.
const MAX_INHERITED: u64 = 64;
const ELEMENTS: &str = "elements after following all references";
const LEVELS: &str = "levels after following all references";

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

/// The ids in `url(#id)`, in a style or an attribute, each as its [`name`].
pub(super) fn references_in(text: &str) -> impl Iterator<Item = &str> {
    let is_before = |c: char| c.is_ascii_whitespace() || matches!(c, '"' | '\'');
    let links = text.split("url(").skip(1);
    links.filter_map(move |rest| Some(name(rest.trim_start_matches(is_before).strip_prefix('#')?)))
}

/// An id up to the first character that may end it in a reference. Elements are looked up by this,
/// and all that share it are taken to be meant.
fn name(id: &str) -> &str {
    let is_end = |c: char| c.is_ascii_whitespace() || matches!(c, '"' | '\'' | ')');
    let id = id.split("url(").next().unwrap_or_default();
    id.split(is_end).next().unwrap_or_default()
}

/// How one element leads to another.
#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Child,
    Use,
    /// `feImage`, which draws the element.
    Image,
    Fill,
    Stroke,
    /// Filled or stroked by a style.
    Paint,
    MarkerMid,
    MarkerEnd,
    /// Masks, clips, filters and what they share.
    Other,
}

impl Kind {
    /// What a group hands down to the shapes in it.
    fn is_inherited(self) -> bool {
        matches!(self, Self::Fill | Self::Stroke | Self::Paint) || self.is_marker()
    }

    fn is_marker(self) -> bool {
        matches!(self, Self::MarkerMid | Self::MarkerEnd)
    }

    /// Of a reference `url(#…)` to `target` in the attribute `attribute`; `None`: following it costs
    /// nothing, gradients are leaves.
    fn of_url(attribute: &str, target: &Node, is_mid: bool) -> Option<Self> {
        match (target.tag_name().name(), attribute) {
            ("linearGradient" | "radialGradient", _) => None,
            ("marker", "style") if is_mid => Some(Self::MarkerMid),
            ("marker", "marker-mid") => Some(Self::MarkerMid),
            ("marker", _) => Some(Self::MarkerEnd),
            ("pattern", "style") => Some(Self::Paint),
            ("pattern", "fill") => Some(Self::Fill),
            ("pattern", "stroke") => Some(Self::Stroke),
            _ => Some(Self::Other),
        }
    }

    /// Of the `href` of an element with the tag `tag`.
    fn of_href(tag: &str) -> Option<Self> {
        match tag {
            "use" => Some(Self::Use),
            "feImage" => Some(Self::Image),
            "pattern" | "filter" | "linearGradient" | "radialGradient" | "textPath" | "tref" => {
                Some(Self::Other)
            }
            // A link, an animation, or a picture.
            _ => None,
        }
    }
}

#[derive(Clone, Copy)]
struct Reference {
    kind: Kind,
    /// Which of the drawing's elements.
    target: usize,
}

struct Element {
    parent: usize,
    children: Vec<usize>,
    references: Vec<Reference>,
    /// Whether it is drawn with a fill and a stroke, its own or those around it.
    is_painted: bool,
    sets_fill: bool,
    sets_stroke: bool,
    /// At most; also the vertices. `None` where it is no shape.
    n_points: Option<u64>,
    n_letters: u64,
    style_work: u64,
}

/// The elements of a drawing, in the order in which they are written.
struct Drawing {
    elements: Vec<Element>,
}

impl Drawing {
    fn read(xml: &Document) -> Result<Self, SvgError> {
        let root = xml.root_element();
        let nodes: Vec<Node> = root.descendants().filter(Node::is_element).collect();
        let indexes: HashMap<NodeId, usize> =
            nodes.iter().enumerate().map(|(i, n)| (n.id(), i)).collect();
        let index = |node: Node| indexes.get(&node.id()).copied();
        let parents: Vec<usize> = nodes
            .iter()
            .map(|node| node.parent_element().and_then(index).unwrap_or(0))
            .collect();
        let sheets: Vec<&str> = nodes
            .iter()
            .filter(|node| node.tag_name().name() == "style")
            .flat_map(|node| node.children())
            .filter_map(|node| node.text())
            .collect();
        let styles = Styles::read(&sheets, depth(&parents)?)?;
        let unit = largest_unit(&nodes, &sheets);
        let mut targets = Targets::of(&nodes);
        let elements = nodes.iter().zip(parents).map(|(node, parent)| {
            let given = styles.of(node);
            let tag = node.tag_name().name();
            let n_points = shapes::n_points(node, unit);
            let is_text = matches!(tag, "text" | "tspan" | "textPath" | "tref");
            let texts = node.children().filter_map(|child| child.text());
            let children = node.children().filter(Node::is_element);
            Ok(Element {
                parent,
                children: children.filter_map(index).collect(),
                references: targets.of_element(node, &given)?,
                is_painted: n_points.is_some() || is_text || tag == "use",
                sets_fill: sets(node, "fill", &styles),
                sets_stroke: sets(node, "stroke", &styles),
                n_points,
                n_letters: match is_text {
                    true => texts.map(|text| text.len() as u64).sum(),
                    false => 0,
                },
                style_work: styles.work(node, &given),
            })
        });
        Ok(Self {
            elements: elements.collect::<Result<_, SvgError>>()?,
        })
    }
}

/// User units of the largest length that a unit or a percentage may stand for.
fn largest_unit(nodes: &[Node], sheets: &[&str]) -> f64 {
    let names = ["viewBox", "width", "height", "font-size", "font", "style"];
    let attributes = nodes.iter().flat_map(|node| node.attributes());
    let lengths = attributes
        .filter(|attribute| names.contains(&attribute.name()))
        .map(|attribute| attribute.value());
    let fonts = sheets.iter().copied().filter(|s| s.contains("font"));
    shapes::largest_unit(lengths.chain(fonts))
}

/// Levels of elements, as written.
fn depth(parents: &[usize]) -> Result<u64, SvgError> {
    let mut levels = vec![1; parents.len()];
    for (i, &parent) in parents.iter().enumerate().skip(1) {
        levels[i] = levels[parent] + 1;
    }
    let depth = levels.into_iter().max().unwrap_or(1);
    at_most(LEVELS, depth, MAX_DEPTH)?;
    Ok(depth)
}

/// Whether `node` certainly has a `property` of its own, so that it inherits none.
fn sets(node: &Node, property: &str, styles: &Styles) -> bool {
    let style = node.attribute("style").unwrap_or_default();
    let mut own = node
        .attributes()
        .filter(|attribute| attribute.namespace().is_none() && attribute.name() == property);
    !styles.may_inherit
        && !style.contains("inherit")
        && own.any(|attribute| attribute.value() != "inherit")
}

/// The elements that can be referred to.
struct Targets<'n, 'a, 'input> {
    nodes: &'n [Node<'a, 'input>],
    by_name: HashMap<&'a str, Vec<usize>>,
    n_references: u64,
}

impl<'n, 'a, 'input> Targets<'n, 'a, 'input> {
    fn of(nodes: &'n [Node<'a, 'input>]) -> Self {
        let mut by_name: HashMap<_, Vec<_>> = HashMap::new();
        for (i, node) in nodes.iter().enumerate() {
            for id in node.attributes().filter(|a| a.name() == "id") {
                by_name.entry(name(id.value())).or_default().push(i);
            }
        }
        Self {
            nodes,
            by_name,
            n_references: 0,
        }
    }

    /// The references of `node`, to which styles have `given` theirs.
    fn of_element(&mut self, node: &Node, given: &[&Given]) -> Result<Vec<Reference>, SvgError> {
        let mut references = Vec::new();
        for attribute in node.attributes() {
            let (key, value) = (attribute.name(), attribute.value());
            for (id, is_mid) in marked_references(value) {
                let kind = |target: &Node| Kind::of_url(key, target, is_mid);
                self.add(id, kind, &mut references)?;
            }
            if let Some(id) = value.trim_start().strip_prefix('#')
                && key == "href"
            {
                let kind = |_: &Node| Kind::of_href(node.tag_name().name());
                self.add(name(id), kind, &mut references)?;
            }
        }
        for &(id, is_mid) in given.iter().flat_map(|given| &given.references) {
            let kind = |target: &Node| Kind::of_url("style", target, is_mid);
            self.add(id, kind, &mut references)?;
        }
        Ok(references)
    }

    fn add(
        &mut self,
        id: &str,
        kind: impl Fn(&Node) -> Option<Kind>,
        references: &mut Vec<Reference>,
    ) -> Result<(), SvgError> {
        let targets = self.by_name.get(id).map_or(&[][..], Vec::as_slice);
        self.n_references += 1 + targets.len() as u64;
        at_most("references", self.n_references, MAX_REFERENCES)?;
        references.extend(targets.iter().filter_map(|&target| {
            let kind = kind(&self.nodes[target])?;
            Some(Reference { kind, target })
        }));
        Ok(())
    }
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
