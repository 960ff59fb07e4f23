//! How far one brand leads over all others.

/// Each value less the greatest value of any *other* brand: positive for the leader, negative for
/// those behind it. `None` without a value, or when no other brand has one.
///
/// In: brand and value of each candidate. Out: one margin for each, in the same order.
pub fn margins(candidates: &[(&str, Option<f32>)]) -> Vec<Option<f32>> {
    let [best, runner_up] = leaders(candidates);
    let value_at = |position: usize| candidates[position].1;
    candidates
        .iter()
        .map(|&(brand, value)| {
            let best = best?;
            let rival = if brand == candidates[best].0 {
                runner_up?
            } else {
                best
            };
            Some(value? - value_at(rival)?)
        })
        .collect()
}

/// Positions of the candidate with the greatest value, and of the greatest of any other brand: all
/// that [`margins`] depends on beside each candidate's own value.
pub fn leaders(candidates: &[(&str, Option<f32>)]) -> [Option<usize>; 2] {
    let mut ranked: Vec<(f32, usize)> = candidates
        .iter()
        .enumerate()
        .filter_map(|(position, &(_, value))| Some((value?, position)))
        .collect();
    ranked.sort_by(|a, b| b.0.total_cmp(&a.0));
    let brand_at = |position: usize| candidates[position].0;
    let best = ranked.first().map(|&(_, position)| position);
    let runner_up = best.and_then(|best| {
        let mut others = ranked.iter().map(|&(_, position)| position);
        others.find(|&position| brand_at(position) != brand_at(best))
    });
    [best, runner_up]
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
        assert_eq!(leaders(&candidates), [Some(0), Some(2)]);
    }

    #[test]
    fn the_leaders_alone_give_the_same_margins() {
        let candidates = [
            ("Acme", Some(4.0)),
            ("Bolt", Some(3.0)),
            ("Acme", Some(5.0)),
            ("Core", Some(3.5)),
            ("Dash", None),
        ];
        let all = margins(&candidates);
        let leaders = leaders(&candidates).map(|l| l.expect("two brands have values"));
        for (position, &margin) in all.iter().enumerate() {
            let mut kept: Vec<usize> = leaders.to_vec();
            kept.push(position);
            kept.sort_unstable();
            kept.dedup();
            let few: Vec<_> = kept.iter().map(|&i| candidates[i]).collect();
            let at = kept.iter().position(|&i| i == position).expect("kept");
            assert_eq!(margins(&few)[at], margin, "candidate {position}");
        }
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
