//! Shares in words.

/// A probability, or another share, to a tenth of a percent. Rounding makes no certainty: only 1 itself is `100 %`.
pub fn percent(probability: f64) -> String {
    let rounded = (probability * 1000.0).round() / 10.0;
    if probability < 1.0 && rounded >= 100.0 {
        "> 99.9 %".into()
    } else if probability > 0.0 && rounded <= 0.0 {
        "< 0.1 %".into()
    } else {
        format!("{rounded:.1} %")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rounding_never_claims_certainty() {
        for (probability, expected) in [
            (1.0, "100.0 %"),
            (0.9999, "> 99.9 %"),
            (0.999, "99.9 %"),
            (0.5, "50.0 %"),
            (0.0001, "< 0.1 %"),
            (0.0, "0.0 %"),
        ] {
            assert_eq!(percent(probability), expected, "{probability}");
        }
    }
}
