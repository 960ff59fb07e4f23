//! Which vectors are linked with which: the graph without the vectors.

use std::collections::VecDeque;

use super::kernel;

/// Stands for no slot, where a list is shorter than its row.
pub(super) const NOBODY: u32 = u32::MAX;

/// A list of links for each of the first so many slots, in rows of one width.
///
/// A row takes whole cache lines and stands where its slot says, so that a walk waits for memory once.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Links {
    /// Places in a row.
    pub(super) width: usize,
    /// Slots linked to, each list followed by [`NOBODY`] up to the width, shape `[n_lists, width]`.
    pub(super) targets: Vec<u32>,
}

impl Links {
    /// Slots that have a list.
    pub(super) fn n_lists(&self) -> usize {
        self.targets.len().checked_div(self.width).unwrap_or(0)
    }

    fn row(&self, slot: u32) -> &[u32] {
        &self.targets[slot as usize * self.width..][..self.width]
    }

    fn row_mut(&mut self, slot: u32) -> &mut [u32] {
        &mut self.targets[slot as usize * self.width..][..self.width]
    }

    fn size_bytes(&self) -> usize {
        size_of::<u32>() * self.targets.len()
    }

    /// Puts a slot that nothing led to behind `from`: in a free place, or else between `from` and the
    /// last that it is linked to. Whatever could be reached still can.
    fn lead_to(&mut self, slot: u32, from: u32) {
        let row = self.row_mut(from);
        if let Some(free) = row.iter_mut().find(|target| **target == NOBODY) {
            *free = slot;
            return;
        }
        let Some(last) = row.last_mut() else { return };
        let behind = std::mem::replace(last, slot);
        let row = self.row_mut(slot);
        if row.contains(&behind) {
            return;
        }
        let at = row.iter().position(|&target| target == NOBODY);
        let at = at.unwrap_or(row.len() - 1);
        row[at] = behind;
    }

    /// Leads to every slot that no way from the first one leads to: lists are cut to the best few
    /// links, and in tight clusters, many copies of one vector above all, one that was dropped may have
    /// been the only one that led there.
    pub(super) fn connect(&mut self) {
        let n = self.n_lists() as u32;
        let mut is_reached = vec![false; n as usize];
        for slot in 0..n {
            if is_reached[slot as usize] {
                continue;
            }
            if slot > 0 {
                let from = self.list(slot).find(|&next| is_reached[next as usize]);
                self.lead_to(slot, from.unwrap_or(0));
            }
            self.reach(slot, &mut is_reached);
        }
    }

    fn reach(&self, start: u32, is_reached: &mut [bool]) {
        is_reached[start as usize] = true;
        let mut waiting = VecDeque::from([start]);
        while let Some(slot) = waiting.pop_front() {
            for next in self.list(slot) {
                if !std::mem::replace(&mut is_reached[next as usize], true) {
                    waiting.push_back(next);
                }
            }
        }
    }
}

/// Lists of links, finished or still growing.
pub(super) trait Neighbours {
    /// Slots linked from `slot`.
    fn list(&self, slot: u32) -> impl Iterator<Item = u32>;

    /// Asks for a list ahead of its use.
    fn prefetch(&self, slot: u32);
}

impl Neighbours for Links {
    #[inline]
    fn list(&self, slot: u32) -> impl Iterator<Item = u32> {
        let row = self.row(slot).iter().copied();
        row.take_while(|&target| target != NOBODY)
    }

    #[inline]
    fn prefetch(&self, slot: u32) {
        kernel::prefetch(self.row(slot));
    }
}

/// All links of a graph.
///
/// Slots stand in the order in which they were linked: a layer holds the first so many. The first slot
/// is in all layers, and every search begins there.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Graph {
    /// The lowest first, which holds all slots; every slot can be reached from the first there.
    pub(super) layers: Vec<Links>,
}

impl Graph {
    /// Links in all layers.
    pub(super) fn n_links(&self) -> usize {
        let targets = self.layers.iter().flat_map(|layer| &layer.targets);
        targets.filter(|target| **target != NOBODY).count()
    }

    /// Bytes that all links take up.
    pub(super) fn size_bytes(&self) -> usize {
        self.layers.iter().map(Links::size_bytes).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn n_reached(links: &Links) -> usize {
        let mut is_reached = vec![false; links.n_lists()];
        links.reach(0, &mut is_reached);
        is_reached.into_iter().filter(|reached| *reached).count()
    }

    proptest! {
        #[test]
        fn after_connecting_every_way_leads_somewhere_from_the_first(
            width in 1usize..4,
            rows in prop::collection::vec(prop::collection::hash_set(0u32..40, 0..4), 1..40),
        ) {
            let n = rows.len() as u32;
            let mut links = Links { width, targets: Vec::new() };
            for (slot, row) in (0..).zip(rows) {
                let targets = row.into_iter().filter(|&t| t < n && t != slot).take(width);
                let mut targets: Vec<u32> = targets.collect();
                targets.resize(width, NOBODY);
                links.targets.extend(targets);
            }
            links.connect();
            prop_assert_eq!(n_reached(&links), n as usize);
            for slot in 0..n {
                prop_assert!(links.list(slot).all(|next| next < n && next != slot));
            }
        }
    }
}
