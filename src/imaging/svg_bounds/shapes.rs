//! How many points a shape has at most, before it is made.
//!
//! An arc becomes curves, more of them the larger its radius; few bytes can ask for more than any
//! memory holds.

use resvg::usvg::roxmltree::Node;

/// Points of a curve: two handles and its end.
const CURVE_POINTS: u64 = 3;
/// The path parser moves all curves that are left of an arc for each that it takes: the square of
/// an arc's points, divided by this, takes as long as making so many points.
const ARC_QUEUE: u64 = 300;
/// A radius at most this is none: the arc is a line.
const MIN_RADIUS: f64 = 1e-5;

/// The most points, and so the most vertices, of the shape `node`; `None` where it is no shape.
///
/// `unit`: user units of the largest length that a unit or a percentage stands for.
pub(super) fn n_points(node: &Node, unit: f64) -> Option<u64> {
    let attribute = |name: &str| node.attribute(name).unwrap_or_default();
    Some(match node.tag_name().name() {
        "path" => path_points(attribute("d")),
        "polyline" | "polygon" => 2 + numbers(attribute("points")).count() as u64,
        "line" => 2,
        "rect" if node.attribute("rx").or(node.attribute("ry")).is_none() => 5,
        "rect" | "circle" | "ellipse" => {
            let radii = ["r", "rx", "ry"].map(|name| length(attribute(name), unit));
            let quarter = arc_points(radii.into_iter().fold(0.0, f64::max));
            quarter.saturating_mul(4).saturating_add(10)
        }
        _ => return None,
    })
}

/// All attributes and sheets that may say how long a unit or a percentage is.
pub(super) fn largest_unit<'a>(texts: impl Iterator<Item = &'a str>) -> f64 {
    // An inch has 96 user units; a size may be given in inches too.
    texts.flat_map(numbers).map(f64::abs).fold(1.0, f64::max) * 100.0
}

fn length(text: &str, unit: f64) -> f64 {
    match number_at(text.trim()) {
        Some((value, "")) => value.abs(),
        Some((value, _)) => value.abs() * unit.max(100.0),
        None => 0.0,
    }
}

fn path_points(d: &str) -> u64 {
    let (n_numbers, reach) = numbers(d).fold((0u64, 0.0), |(n, reach), value| {
        (n + 1, reach + value.abs())
    });
    // Closing adds a segment, and starts a new one.
    let n_closing = 2 * d.matches(['z', 'Z']).count() as u64;
    let arcs = d.split(['a', 'A']).skip(1).flat_map(radii_of_arcs);
    arcs.map(|[rx, ry]| {
        let (small, large) = (rx.min(ry), rx.max(ry));
        // Radii too small for their chord, which is no longer than all steps together, are
        // enlarged until they reach.
        match small <= MIN_RADIUS {
            true => CURVE_POINTS,
            false => {
                let n = arc_points(large * (reach / small).max(1.0));
                n.saturating_add(n.saturating_mul(n) / ARC_QUEUE)
            }
        }
    })
    .fold(n_numbers + n_closing, u64::saturating_add)
}

/// Points of the curves that an arc becomes, for an error of a tenth of a unit (as kurbo's
/// `Arc::append_iter` has it).
fn arc_points(radius: f64) -> u64 {
    let n_curves = (12.0 * radius).powf(1.0 / 6.0).max(4.0) + 1.0;
    (n_curves as u64).saturating_mul(CURVE_POINTS)
}

/// The radii of the arcs that `text`, what follows an `a` in a path, begins with.
fn radii_of_arcs(text: &str) -> impl Iterator<Item = [f64; 2]> {
    let mut rest = text;
    std::iter::from_fn(move || {
        let mut values = [0.0; 7];
        for (i, value) in values.iter_mut().enumerate() {
            rest = rest.trim_start_matches(|c: char| c.is_ascii_whitespace() || c == ',');
            // The two flags are one digit each and need nothing between.
            if matches!(i, 3 | 4) {
                rest = rest.strip_prefix(['0', '1'])?;
            } else {
                (*value, rest) = number_at(rest)?;
            }
        }
        Some([values[0].abs(), values[1].abs()])
    })
}

/// All numbers in `text`, whatever is between them.
fn numbers(text: &str) -> impl Iterator<Item = f64> {
    let mut rest = text;
    std::iter::from_fn(move || {
        loop {
            rest = &rest[rest.find(|c: char| c.is_ascii_digit() || "+-.".contains(c))?..];
            match number_at(rest) {
                Some((value, after)) => {
                    rest = after;
                    return Some(value);
                }
                // A sign or a point without digits.
                None => rest = &rest[1..],
            }
        }
    })
}

/// The number that `text` begins with, and what follows it.
fn number_at(text: &str) -> Option<(f64, &str)> {
    let bytes = text.as_bytes();
    let n_digits = |start: usize| {
        let digits = bytes[start..].iter().take_while(|b| b.is_ascii_digit());
        digits.count()
    };
    let sign = usize::from(matches!(bytes.first(), Some(b'+' | b'-')));
    let mut end = sign + n_digits(sign);
    let mut has_digits = end > sign;
    if bytes.get(end) == Some(&b'.') {
        let n = n_digits(end + 1);
        has_digits |= n > 0;
        end += 1 + n;
    }
    if !has_digits {
        return None;
    }
    if matches!(bytes.get(end), Some(b'e' | b'E')) {
        let start = end + 1 + usize::from(matches!(bytes.get(end + 1), Some(b'+' | b'-')));
        let n = bytes.get(start..).map_or(0, |_| n_digits(start));
        if n > 0 {
            end = start + n;
        }
    }
    Some((text[..end].parse().ok()?, &text[end..]))
}
