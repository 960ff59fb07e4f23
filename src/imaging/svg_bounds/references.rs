//! The elements of a drawing, and which of them refer to which: by attributes, links and styles.

use std::collections::HashMap;

use resvg::usvg::roxmltree::{Document, Node, NodeId};

use super::styles::{Given, Styles, marked_references};
use super::{MAX_DEPTH, MAX_REFERENCES, SvgError, at_most, shapes};

pub(super) const LEVELS: &str = "levels after following all references";

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
pub(super) enum Kind {
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
    pub(super) fn is_inherited(self) -> bool {
        matches!(self, Self::Fill | Self::Stroke | Self::Paint) || self.is_marker()
    }

    pub(super) fn is_marker(self) -> bool {
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
pub(super) struct Reference {
    pub(super) kind: Kind,
    /// Which of the drawing's elements.
    pub(super) target: usize,
}

pub(super) struct Element {
    pub(super) parent: usize,
    pub(super) children: Vec<usize>,
    pub(super) references: Vec<Reference>,
    /// Whether it is drawn with a fill and a stroke, its own or those around it.
    pub(super) is_painted: bool,
    pub(super) sets_fill: bool,
    pub(super) sets_stroke: bool,
    /// At most; also the vertices. `None` where it is no shape.
    pub(super) n_points: Option<u64>,
    pub(super) n_letters: u64,
    pub(super) style_work: u64,
}

/// The elements of a drawing, in the order in which they are written.
pub(super) struct Drawing {
    pub(super) elements: Vec<Element>,
}

impl Drawing {
    pub(super) fn read(xml: &Document) -> Result<Self, SvgError> {
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
