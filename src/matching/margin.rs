//! How far one brand leads over all others.

/// Each value less the greatest value of any *other* brand: positive for the leader, negative for
/// those behind it. `None` without a value, or when no other brand has one.
///
/// In: brand and value of each candidate. Out: one margin for each, in the same order.
pub fn margins(candidates: &[(&str, Option<f32>)]) -> Vec<Option<f32>> {
    let mut ranked: Vec<(f32, &str)> = candidates
        .iter()
        .filter_map(|&(brand, value)| Some((value?, brand)))
        .collect();
    ranked.sort_by(|a, b| b.0.total_cmp(&a.0));
    let best = ranked.first().copied();
    let runner_up = best.and_then(|(_, leader)| ranked.iter().find(|(_, brand)| *brand != leader));
    candidates
        .iter()
        .map(|&(brand, value)| {
            let (best, leader) = best?;
            let rival = if brand == leader { runner_up?.0 } else { best };
            Some(value? - rival)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn leaders_are_measured_against_the_runner_up_and_others_against_the_leader() {
        let candidates = [
            ("Acme", Some(5.0)),
            ("Acme", Some(4.0)),
            ("Bolt", Some(3.0)),
            ("Core", None),
        ];
        assert_eq!(
            margins(&candidates),
            [Some(2.0), Some(1.0), Some(-2.0), None]
        );
    }

    #[test]
    fn nobody_leads_alone() {
        assert_eq!(
            margins(&[("Acme", Some(5.0)), ("Acme", Some(1.0))]),
            [None, None]
        );
        assert_eq!(margins(&[]), []);
    }
}
