//! Builds the links of the graph with `hnsw_rs`, and copies them out of it.
//!
//! `hnsw_rs` is used for nothing else. Its search takes one step per upper layer and allocates for
//! every vector it looks at; its files end the process when they are cut short; it cannot delete. It
//! never sees a vector here: its points are slots, and the distance looks the codes up.

use std::collections::VecDeque;

use hnsw_rs::anndists::dist::distances::Distance;
use hnsw_rs::hnsw::Hnsw;

use super::vectors::Vectors;

/// Links of a vector in the upper layers; twice as many in the lowest. (Above 256 `hnsw_rs` ends the
/// process.)
const N_LINKS: usize = 16;
/// Vectors looked at for the links of a new one.
const EF_CONSTRUCTION: usize = 160;
/// The most that `hnsw_rs` has.
const MAX_LAYERS: usize = 16;
/// Inserted one after the other before the rest goes in on all cores: `hnsw_rs` leaves points without
/// links that arrive while it has no entry point.
const N_FIRST: usize = 256;

/// Lists of links, one after the other.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Links {
    /// Where each list starts, and where the last ends, shape `[n_lists + 1]`.
    pub(super) offsets: Vec<u32>,
    /// Slots linked to.
    pub(super) targets: Vec<u32>,
}

impl Links {
    fn from_lists<'l>(lists: impl IntoIterator<Item = &'l Vec<u32>>) -> Self {
        let mut links = Self {
            offsets: vec![0],
            targets: Vec::new(),
        };
        for list in lists {
            links.targets.extend_from_slice(list);
            links.offsets.push(links.targets.len() as u32);
        }
        links
    }

    fn size_bytes(&self) -> usize {
        size_of::<u32>() * (self.offsets.len() + self.targets.len())
    }

    pub(super) fn list(&self, at: usize) -> &[u32] {
        &self.targets[self.offsets[at] as usize..self.offsets[at + 1] as usize]
    }
}

/// A layer that only some of the slots are in.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct UpperLayer {
    /// The slots, in ascending order, shape `[n_members]`.
    pub(super) members: Vec<u32>,
    /// Links of each member.
    pub(super) links: Links,
}

impl UpperLayer {
    pub(super) fn list(&self, slot: u32) -> &[u32] {
        match self.members.binary_search(&slot) {
            Ok(at) => self.links.list(at),
            Err(_) => &[],
        }
    }
}

/// All links of a graph.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Graph {
    /// Where every search begins; of no meaning in an empty graph.
    pub(super) entry_slot: u32,
    /// Links of every slot. Each slot can be reached from the entry.
    pub(super) base: Links,
    /// The layers above, the sparsest last.
    pub(super) upper: Vec<UpperLayer>,
}

impl Graph {
    /// Bytes that all links take up.
    pub(super) fn size_bytes(&self) -> usize {
        let upper = self.upper.iter();
        let upper = upper.map(|l| size_of::<u32>() * l.members.len() + l.links.size_bytes());
        self.base.size_bytes() + upper.sum::<usize>()
    }
}

struct SlotDistance<'v>(&'v Vectors);

impl Distance<u32> for SlotDistance<'_> {
    fn eval(&self, a: &[u32], b: &[u32]) -> f32 {
        // Rounding takes the cosine of a vector with itself above 1, and `hnsw_rs` panics at
        // negative distances.
        (1.0 - self.0.pair_score(a[0] as usize, b[0] as usize)).max(0.0)
    }
}

/// Links all vectors with each other, on all cores. Which links come out differs from run to run.
pub(super) fn build(vectors: &Vectors) -> Graph {
    let slots: Vec<u32> = (0..vectors.len() as u32).collect();
    if slots.is_empty() {
        return Graph::default();
    }
    let hnsw = Hnsw::new(
        N_LINKS,
        slots.len(),
        MAX_LAYERS,
        EF_CONSTRUCTION,
        SlotDistance(vectors),
    );
    let (first, rest) = slots.split_at(N_FIRST.min(slots.len()));
    for slot in first {
        hnsw.insert_slice((std::slice::from_ref(slot), *slot as usize));
    }
    let rest = rest
        .iter()
        .map(|slot| (std::slice::from_ref(slot), *slot as usize));
    hnsw.parallel_insert_slice(&rest.collect());
    copied_out(&hnsw, slots.len())
}

fn copied_out(hnsw: &Hnsw<'_, u32, SlotDistance<'_>>, n_slots: usize) -> Graph {
    let n_layers = usize::from(hnsw.get_max_level_observed()) + 1;
    // Shape [n_layers, n_slots, n_links].
    let mut layers = vec![vec![Vec::new(); n_slots]; n_layers];
    let mut members = vec![Vec::new(); n_layers];
    for level in 0..n_layers {
        for point in hnsw.get_point_indexation().get_layer_iterator(level) {
            let slot = point.get_origin_id();
            let lists = point.get_neighborhood_id();
            for (layer, list) in lists.iter().enumerate().take(level + 1) {
                let linked = list.iter().filter(|n| usize::from(n.p_id.0) >= layer);
                layers[layer][slot] = linked.map(|n| n.d_id as u32).collect();
                members[layer].push(slot as u32);
            }
        }
    }
    let entry_slot = members.last().and_then(|top| top.first()).copied();
    let entry_slot = entry_slot.unwrap_or_default();
    connect(&mut layers[0], entry_slot);
    let upper = layers.iter().zip(members).skip(1);
    Graph {
        entry_slot,
        base: Links::from_lists(&layers[0]),
        upper: upper
            .map(|(lists, mut members)| {
                members.sort_unstable();
                let links = Links::from_lists(members.iter().map(|&slot| &lists[slot as usize]));
                UpperLayer { members, links }
            })
            .collect(),
    }
}

/// Adds a link to every slot that no path from the entry leads to: `hnsw_rs` drops the longest link
/// of a full list, and in tight clusters, many copies of one vector above all, that may have been
/// the only one that led there.
fn connect(lists: &mut [Vec<u32>], entry: u32) {
    let mut is_reached = vec![false; lists.len()];
    let mut waiting = VecDeque::new();
    let mut reach = |start: u32, lists: &[Vec<u32>], is_reached: &mut [bool]| {
        is_reached[start as usize] = true;
        waiting.push_back(start);
        while let Some(slot) = waiting.pop_front() {
            for &next in &lists[slot as usize] {
                if !std::mem::replace(&mut is_reached[next as usize], true) {
                    waiting.push_back(next);
                }
            }
        }
    };
    reach(entry, lists, &mut is_reached);
    for slot in 0..lists.len() as u32 {
        if is_reached[slot as usize] {
            continue;
        }
        let mut near = lists[slot as usize].iter().copied();
        let from = near
            .find(|&next| is_reached[next as usize])
            .unwrap_or(entry);
        lists[from as usize].push(slot);
        reach(slot, lists, &mut is_reached);
    }
}
