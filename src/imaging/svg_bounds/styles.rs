//! What the style sheets of a drawing cost, and which elements they refer to.
//!
//! The SVG parser tries every selector on every element and writes every declaration of a rule that
//! fits, on each copy of the element. This reads sheets just well enough to bound that from above:
//! each rule is kept under the class, id or tag that an element must have for it.

use std::collections::HashMap;

use resvg::usvg::roxmltree::Node;

use super::{MAX_STYLE_WORK, SvgError, at_most, references::references_in};

/// Declarations once more for each selector of their rule: the parser keeps them all, 40 bytes each.
const MAX_DECLARATIONS: u64 = 1_000_000;
/// What a `font` or an `inherit` costs more than other words: it is written as 18 declarations, or
/// looked for in all ancestors.
const COSTLY_WORD_WORK: u64 = 200;
/// Bytes of a sheet gone over in the time of one step: after each declaration the parser counts the
/// lines up to it.
const BYTES_PER_STEP: u64 = 32;

/// The rules of all sheets.
pub(super) struct Styles<'a> {
    /// By `.class`, `#id` or tag; those under `""` are taken to apply to every element.
    given: HashMap<String, Given<'a>>,
    /// Simple selectors of all rules, each tried on each element.
    n_tests: u64,
    /// Whether selectors may look at any attribute.
    reads_attributes: bool,
    /// Whether a rule may hand on what an ancestor has, over what the element has.
    pub(super) may_inherit: bool,
    n_declarations: u64,
    reading_work: u64,
}

/// What rules give an element.
#[derive(Default)]
pub(super) struct Given<'a> {
    work: u64,
    /// Ids referred to, and whether a marker among them may be for all vertices.
    pub(super) references: Vec<(&'a str, bool)>,
}

impl<'a> Styles<'a> {
    /// Reads `sheets` of a drawing whose elements are nested at most `depth` levels.
    ///
    /// # Errors
    ///
    /// [`SvgError::TooMany`] where parsing them alone would take too long or too much memory.
    pub(super) fn read(sheets: &[&'a str], depth: u64) -> Result<Self, SvgError> {
        let mut styles = Self {
            given: HashMap::new(),
            n_tests: 0,
            reads_attributes: sheets.iter().any(|sheet| sheet.contains('[')),
            may_inherit: sheets.iter().any(|sheet| sheet.contains("inherit")),
            n_declarations: 0,
            reading_work: 0,
        };
        for &sheet in sheets {
            styles.add_sheet(sheet, depth)?;
        }
        Ok(styles)
    }

    fn add_sheet(&mut self, sheet: &'a str, depth: u64) -> Result<(), SvgError> {
        self.reading_work = self.reading_work.saturating_add(reading_work(sheet));
        at_most("steps of reading styles", self.reading_work, MAX_STYLE_WORK)?;
        if !has_plain_braces(sheet) {
            let selectors: Vec<_> = sheet.split([',', ';', '{', '}']).collect();
            let n_lists = sheet.matches(',').count() as u64 + 1;
            self.count_declarations(n_lists, sheet)?;
            for selector in selectors {
                self.add_tests(selector, "", depth);
            }
            let given = self.given.entry(String::new()).or_default();
            let work = writing_work(sheet).saturating_mul(n_lists);
            given.work = given.work.saturating_add(work);
            given.references.extend(marked_references(sheet));
            return Ok(());
        }
        for rule in sheet.split('}') {
            let (selectors, block) = rule.split_once('{').unwrap_or(("", rule));
            let selectors = without_comments(selectors);
            if is_at_rule(&selectors) {
                continue;
            }
            let n_selectors = selectors.matches(',').count() as u64 + 1;
            self.count_declarations(n_selectors, block)?;
            let (work, references) = (writing_work(block), marked_references(block));
            for selector in selectors.split(',') {
                let key = subject(selector);
                self.add_tests(selector, key, depth);
                let given = self.given.entry(key.to_owned()).or_default();
                given.work = given.work.saturating_add(work);
                given.references.extend_from_slice(&references);
            }
        }
        Ok(())
    }

    fn count_declarations(&mut self, n_selectors: u64, block: &str) -> Result<(), SvgError> {
        let n = (block.matches(':').count() + block.matches("url(").count()) as u64;
        self.n_declarations = self
            .n_declarations
            .saturating_add(n.saturating_mul(n_selectors));
        at_most(
            "style declarations of all selectors",
            self.n_declarations,
            MAX_DECLARATIONS,
        )
    }

    /// Trying `selector` on every element, and on the ancestors of those that have `key`.
    fn add_tests(&mut self, selector: &str, key: &str, depth: u64) {
        let is_combinator = |c: char| c.is_whitespace() || matches!(c, '>' | '+');
        let compounds: Vec<_> = selector
            .split(is_combinator)
            .filter(|compound| !compound.is_empty())
            .collect();
        self.n_tests += compounds
            .iter()
            .map(|compound| compound.matches(['.', '#', '[', ':']).count().max(1) as u64)
            .sum::<u64>();
        let n_beside = selector.matches(['>', '+']).count();
        let n_descents = compounds.len().saturating_sub(1 + n_beside) as u64;
        let given = self.given.entry(key.to_owned()).or_default();
        given.work = given.work.saturating_add(descents(n_descents, depth));
    }

    /// What all rules that may apply to `node` give it.
    pub(super) fn of(&self, node: &Node) -> Vec<&Given<'a>> {
        let mut keys = vec![String::new(), node.tag_name().name().to_owned()];
        keys.extend(node.attribute("id").map(|id| format!("#{id}")));
        let classes = node.attribute("class").unwrap_or_default();
        keys.extend(classes.split_whitespace().map(|class| format!(".{class}")));
        keys.iter().filter_map(|key| self.given.get(key)).collect()
    }

    /// Steps, of some ten nanoseconds, of styling `node` once, with what rules have `given` it.
    pub(super) fn work(&self, node: &Node, given: &[&Given]) -> u64 {
        let n_bytes_read: usize = node
            .attributes()
            .filter(|attribute| self.reads_attributes || attribute.name() == "class")
            .map(|attribute| attribute.value().len())
            .sum();
        let tests = self.n_tests.saturating_mul(1 + n_bytes_read as u64 / 64);
        let style = node.attribute("style").unwrap_or_default();
        given
            .iter()
            .map(|given| given.work)
            .chain([writing_work(style), reading_work(style)])
            .fold(tests, u64::saturating_add)
    }
}

/// The ids that `style` refers to, each with whether a marker may be for all vertices.
pub(super) fn marked_references(style: &str) -> Vec<(&str, bool)> {
    let is_mid = may_mark_vertices(style);
    references_in(style).map(|id| (id, is_mid)).collect()
}

/// Whether `style` has `marker-mid` or `marker`, which stands for all three kinds, as a property.
fn may_mark_vertices(style: &str) -> bool {
    style.match_indices("marker").any(|(start, word)| {
        let before = &style[..start];
        // What follows `!important` needs nothing between.
        let is_inside_name = !before.ends_with("important")
            && before.ends_with(|c: char| c.is_alphanumeric() || matches!(c, '-' | '_' | '#'));
        let rest = &style[start + word.len()..];
        !is_inside_name && !rest.starts_with("-start") && !rest.starts_with("-end")
    })
}

/// Steps of writing the declarations of `block` on one element: a step a byte.
fn writing_work(block: &str) -> u64 {
    let n_fonts = block.matches("font").count() - block.matches("font-").count();
    let n_costly = n_fonts + block.matches("inherit").count();
    block.len() as u64 + n_costly as u64 * COSTLY_WORD_WORK
}

/// Steps of cutting `text` into declarations.
fn reading_work(text: &str) -> u64 {
    let n_stops = text.matches([':', '{', '@']).count() as u64;
    n_stops.saturating_mul(text.len() as u64) / BYTES_PER_STEP
}

/// Ways to choose up to `n` of `depth` ancestors: the parser tries them all.
fn descents(n: u64, depth: u64) -> u64 {
    let (mut ways, mut sum) = (1u64, 0u64);
    for i in 0..n.min(depth) {
        ways = ways.saturating_mul(depth - i) / (i + 1);
        sum = sum.saturating_add(ways);
    }
    sum
}

/// The `.class`, `#id` or tag without which no element fits `selector`; empty where that cannot be
/// told.
fn subject(selector: &str) -> &str {
    if selector.contains(['*', '[', ':', '@', '/', '\\', '"', '\'', '(', ')']) {
        return "";
    }
    let is_combinator = |c: char| c.is_whitespace() || matches!(c, '>' | '+' | '~');
    let last = selector.trim_end().rsplit(is_combinator).next();
    let last = last.unwrap_or_default();
    match last.find(['.', '#']) {
        Some(start) => {
            let name = &last[start..];
            let end = name[1..].find(['.', '#']).map_or(name.len(), |end| end + 1);
            &name[..end]
        }
        None => last,
    }
}

/// Whether a block is that of a rule like `@font-face`, which the parser skips.
fn is_at_rule(selectors: &str) -> bool {
    let name = selectors.trim_start().strip_prefix('@');
    name.is_some_and(|name| name.starts_with(|c: char| c.is_ascii_alphabetic()))
        && !selectors.contains(';')
}

fn without_comments(selectors: &str) -> String {
    let mut parts = selectors.split("/*");
    let mut kept = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        kept.push(' ');
        kept.push_str(part.split_once("*/").map_or("", |(_, after)| after));
    }
    kept
}

/// Whether all braces of `sheet` open and close blocks: none is in a string, a comment or
/// parentheses, where the parser may see it otherwise than a reader that looks for braces.
fn has_plain_braces(sheet: &str) -> bool {
    let bytes = sheet.as_bytes();
    let mut end_of_inside = None;
    let mut i = 0;
    while i < bytes.len() {
        let next = bytes.get(i + 1);
        match (end_of_inside, bytes[i]) {
            (None, quote @ (b'"' | b'\'')) => end_of_inside = Some(quote),
            (None, b'(') => end_of_inside = Some(b')'),
            (None, b'/') if next == Some(&b'*') => {
                end_of_inside = Some(b'*');
                i += 1;
            }
            (Some(_), b'{' | b'}') => return false,
            (Some(b'*'), b'*') if next == Some(&b'/') => {
                end_of_inside = None;
                i += 1;
            }
            (Some(quote @ (b'"' | b'\'')), byte) if byte == quote && bytes[i - 1] != b'\\' => {
                end_of_inside = None;
            }
            (Some(b')'), b')') => end_of_inside = None,
            _ => {}
        }
        i += 1;
    }
    end_of_inside.is_none()
}
