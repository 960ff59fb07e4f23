//! Plane transforms in homogeneous coordinates, and their least-squares fits.

/// Row by row; maps the column `(x, y, 1)`.
pub type Transform = [[f64; 3]; 3];

/// A place, pixels.
pub type Point = [f64; 2];

/// Where `transform` takes `point`; not finite on the horizon of a homography.
pub fn apply(transform: &Transform, point: Point) -> Point {
    let [x, y, w] = transform.map(|r| r[0] * point[0] + r[1] * point[1] + r[2]);
    [x / w, y / w]
}

/// First `second`, then `first`.
pub fn product(first: &Transform, second: &Transform) -> Transform {
    std::array::from_fn(|r| {
        std::array::from_fn(|c| (0..3).map(|k| first[r][k] * second[k][c]).sum())
    })
}

/// The way back; `None` if there is none.
pub fn inverse(m: &Transform) -> Option<Transform> {
    let cofactor = |r: usize, c: usize| {
        let (r1, r2, c1, c2) = ((r + 1) % 3, (r + 2) % 3, (c + 1) % 3, (c + 2) % 3);
        m[r1][c1] * m[r2][c2] - m[r1][c2] * m[r2][c1]
    };
    let det: f64 = (0..3).map(|c| m[0][c] * cofactor(0, c)).sum();
    let inverse: Transform = std::array::from_fn(|r| std::array::from_fn(|c| cofactor(c, r) / det));
    inverse
        .as_flattened()
        .iter()
        .all(|v| v.is_finite())
        .then_some(inverse)
}

/// The 2 × 2 derivative at `point`: how a small square there is stretched.
pub fn derivative(m: &Transform, point: Point) -> [[f64; 2]; 2] {
    let w = m[2][0] * point[0] + m[2][1] * point[1] + m[2][2];
    let at = apply(m, point);
    std::array::from_fn(|r| std::array::from_fn(|c| (m[r][c] - at[r] * m[2][c]) / w))
}

/// Larger and smaller stretch of a 2 × 2 matrix; the smaller is negative when it mirrors.
pub fn stretches(a: &[[f64; 2]; 2]) -> [f64; 2] {
    let sum = (a[0][0] + a[1][1]).hypot(a[1][0] - a[0][1]);
    let difference = (a[0][0] - a[1][1]).hypot(a[1][0] + a[0][1]);
    [(sum + difference) / 2.0, (sum - difference) / 2.0]
}

/// Turn, size and shift that take one oriented feature to another: `ratio` is how much larger, `turn`
/// radians.
pub fn similarity(from: Point, to: Point, ratio: f64, turn: f64) -> Transform {
    let (a, b) = (ratio * turn.cos(), ratio * turn.sin());
    [
        [a, -b, to[0] - a * from[0] + b * from[1]],
        [b, a, to[1] - b * from[0] - a * from[1]],
        [0.0, 0.0, 1.0],
    ]
}

/// Best turn, size and shift for `pairs` of (from, to); `None` for fewer than two places.
pub fn fit_similarity(pairs: &[(Point, Point)]) -> Option<Transform> {
    let (from, to) = means(pairs)?;
    let (mut along, mut across, mut size) = (0.0, 0.0, 0.0);
    for (p, q) in pairs {
        let (p, q) = (minus(*p, from), minus(*q, to));
        along += p[0] * q[0] + p[1] * q[1];
        across += p[0] * q[1] - p[1] * q[0];
        size += p[0] * p[0] + p[1] * p[1];
    }
    let ratio = along.hypot(across) / size;
    (ratio.is_finite() && ratio > 0.0).then(|| similarity(from, to, ratio, across.atan2(along)))
}

/// Best affine map for `pairs`; `None` if they lie on a line.
pub fn fit_affine(pairs: &[(Point, Point)]) -> Option<Transform> {
    let (from, to) = means(pairs)?;
    let (mut xx, mut xy, mut yy) = (0.0, 0.0, 0.0);
    let mut mixed = [[0.0; 2]; 2];
    for (p, q) in pairs {
        let (p, q) = (minus(*p, from), minus(*q, to));
        xx += p[0] * p[0];
        xy += p[0] * p[1];
        yy += p[1] * p[1];
        for r in 0..2 {
            mixed[r][0] += q[r] * p[0];
            mixed[r][1] += q[r] * p[1];
        }
    }
    let det = xx * yy - xy * xy;
    if det <= 1e-9 * (xx + yy).powi(2) {
        return None;
    }
    let rows = std::array::from_fn::<[f64; 3], 2, _>(|r| {
        let a = (mixed[r][0] * yy - mixed[r][1] * xy) / det;
        let b = (mixed[r][1] * xx - mixed[r][0] * xy) / det;
        [a, b, to[r] - a * from[0] - b * from[1]]
    });
    Some([rows[0], rows[1], [0.0, 0.0, 1.0]])
}

/// Best homography for `pairs` (algebraic error, normalised coordinates: Hartley 1997); `None` for
/// fewer than four or a degenerate lie.
pub fn fit_homography(pairs: &[(Point, Point)]) -> Option<Transform> {
    if pairs.len() < 4 {
        return None;
    }
    let (from, to) = means(pairs)?;
    let size = |of: fn(&(Point, Point)) -> Point, mean: Point| {
        let sum: f64 = pairs.iter().map(|p| distance(of(p), mean)).sum();
        sum / pairs.len() as f64
    };
    let (from_size, to_size) = (size(|p| p.0, from), size(|p| p.1, to));
    if from_size <= 0.0 || to_size <= 0.0 {
        return None;
    }
    let mut equations = [[0.0; 9]; 8];
    for (p, q) in pairs {
        let [x, y] = minus(*p, from).map(|v| v / from_size);
        let [u, v] = minus(*q, to).map(|v| v / to_size);
        add_equation(
            &mut equations,
            [x, y, 1.0, 0.0, 0.0, 0.0, -u * x, -u * y],
            u,
        );
        add_equation(
            &mut equations,
            [0.0, 0.0, 0.0, x, y, 1.0, -v * x, -v * y],
            v,
        );
    }
    let h = solved(equations)?;
    let middle = [[h[0], h[1], h[2]], [h[3], h[4], h[5]], [h[6], h[7], 1.0]];
    let narrow = [
        [1.0 / from_size, 0.0, -from[0] / from_size],
        [0.0, 1.0 / from_size, -from[1] / from_size],
        [0.0, 0.0, 1.0],
    ];
    let widen = [
        [to_size, 0.0, to[0]],
        [0.0, to_size, to[1]],
        [0.0, 0.0, 1.0],
    ];
    let whole = product(&widen, &product(&middle, &narrow));
    let last = whole[2][2];
    let whole = whole.map(|r| r.map(|v| v / last));
    whole
        .as_flattened()
        .iter()
        .all(|v| v.is_finite())
        .then_some(whole)
}

/// Adds `row · h = value` to the normal equations.
fn add_equation(equations: &mut [[f64; 9]; 8], row: [f64; 8], value: f64) {
    for (equation, &weight) in equations.iter_mut().zip(&row) {
        for (sum, &v) in equation.iter_mut().zip(&row) {
            *sum += weight * v;
        }
        equation[8] += weight * value;
    }
}

/// Gauss–Jordan with row exchange.
fn solved(mut m: [[f64; 9]; 8]) -> Option<[f64; 8]> {
    for column in 0..8 {
        let pivot =
            (column..8).max_by(|&a, &b| m[a][column].abs().total_cmp(&m[b][column].abs()))?;
        if m[pivot][column].abs() < 1e-10 {
            return None;
        }
        m.swap(column, pivot);
        let row = m[column].map(|v| v / m[column][column]);
        m[column] = row;
        for (i, other) in m.iter_mut().enumerate() {
            let factor = other[column];
            if i != column && factor != 0.0 {
                for (v, r) in other.iter_mut().zip(&row) {
                    *v -= factor * r;
                }
            }
        }
    }
    Some(m.map(|r| r[8]))
}

fn means(pairs: &[(Point, Point)]) -> Option<(Point, Point)> {
    if pairs.len() < 2 {
        return None;
    }
    let n = pairs.len() as f64;
    let mean = |of: fn(&(Point, Point)) -> Point| {
        let sum = pairs
            .iter()
            .map(of)
            .fold([0.0; 2], |s, p| [s[0] + p[0], s[1] + p[1]]);
        sum.map(|v| v / n)
    };
    Some((mean(|p| p.0), mean(|p| p.1)))
}

fn minus(a: Point, b: Point) -> Point {
    [a[0] - b[0], a[1] - b[1]]
}

/// Euclidean distance of two places.
pub fn distance(a: Point, b: Point) -> f64 {
    // Not `hypot`, which guards against overflow and takes far longer.
    let (x, y) = (a[0] - b[0], a[1] - b[1]);
    (x * x + y * y).sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;

    const CORNERS: [Point; 6] = [
        [0.0, 0.0],
        [90.0, 5.0],
        [80.0, 70.0],
        [3.0, 66.0],
        [40.0, 30.0],
        [55.0, 12.0],
    ];

    fn pairs(m: &Transform) -> Vec<(Point, Point)> {
        CORNERS.iter().map(|&p| (p, apply(m, p))).collect()
    }

    fn assert_same(a: &Transform, b: &Transform) {
        for p in CORNERS {
            assert!(distance(apply(a, p), apply(b, p)) < 1e-6, "{a:?} {b:?}");
        }
    }

    #[test]
    fn fits_find_the_map_that_made_the_pairs() {
        let turn = similarity([3.0, 4.0], [100.0, 20.0], 0.4, 2.1);
        assert_same(&fit_similarity(&pairs(&turn)).expect("places"), &turn);
        let slant = [[1.2, 0.3, 5.0], [-0.2, 0.7, -8.0], [0.0, 0.0, 1.0]];
        assert_same(&fit_affine(&pairs(&slant)).expect("places"), &slant);
        let tilt = [[1.1, 0.2, 30.0], [-0.1, 0.9, 12.0], [1e-3, -2e-3, 1.0]];
        assert_same(&fit_homography(&pairs(&tilt)).expect("places"), &tilt);
    }

    #[test]
    fn degenerate_places_have_no_fit() {
        let line: Vec<_> = (0..6)
            .map(|i| ([f64::from(i), 2.0 * f64::from(i)], [1.0, 1.0]))
            .collect();
        assert_eq!(fit_affine(&line), None);
        assert_eq!(fit_homography(&line), None);
        assert_eq!(fit_similarity(&[([1.0, 1.0], [2.0, 2.0]); 3]), None);
    }

    #[test]
    fn inverse_undoes_and_stretches_show_mirroring() {
        let tilt = [[1.1, 0.2, 30.0], [-0.1, 0.9, 12.0], [1e-3, -2e-3, 1.0]];
        let back = inverse(&tilt).expect("regular");
        assert_same(
            &product(&back, &tilt),
            &[[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]],
        );
        assert_eq!(inverse(&[[1.0, 1.0, 0.0]; 3]), None);
        assert_eq!(stretches(&[[3.0, 0.0], [0.0, -2.0]]), [3.0, -2.0]);
    }
}
