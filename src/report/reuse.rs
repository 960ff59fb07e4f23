//! Which photos come again, in which listings and at how many sellers: the same bytes, and photos that are
//! nearly the same.

use std::collections::{HashMap, HashSet};

use serde::Serialize;
use sha2::{Digest, Sha256};

use crate::domain::{FileDigest, PhotoMark, ScannedPhoto};
use crate::matching::hash::MAX_NEAR_BITS;

/// Planes of [`PhotoMark::sides`] on whose other side a nearly equal photo may lie: of whole photos with a
/// cosine of 0.95, 26 of 256 differ, and 36 or less in 98 of 100.
const MAX_NEAR_SIDES: u32 = 36;
/// Photos that are watched at once, some 400 bytes each; a little more, and the table of them would be twice as
/// large.
const MAX_PHOTOS: usize = 900_000;
/// Earlier photos that one is compared with: blank pictures all share parts of their hash.
const MAX_NEAR: usize = 256;
/// Parts that a hash is cut into; of two that differ in fewer bits than this, one part is the same.
const N_PARTS: usize = 8;
/// Listings of a group that are named.
const MAX_EXAMPLES: usize = 5;

/// Photos that are the same, or nearly.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ReuseGroup {
    /// SHA-256 of the photo that was seen first.
    pub sha256: String,
    /// Its location, as the manifest gave it.
    pub photo: String,
    /// Rows.
    pub n_photos: u64,
    /// Files that differ.
    pub n_files: u64,
    /// Listings; one that comes again later counts again.
    pub n_listings: u64,
    /// Sellers with an id or a name.
    pub n_sellers: u64,
    /// Some of the listings.
    pub listings: Vec<String>,
}

/// Watches the photos of a scan. Bounded: when there are too many, the half of them that came least often is
/// forgotten, of those longest unseen first, so that groups may then be larger than they are said to be.
#[derive(Debug, Default)]
pub struct Reuse {
    photos: HashMap<FileDigest, Seen>,
    n_rows: u64,
    n_forgotten: u64,
}

#[derive(Debug)]
struct Seen {
    mark: PhotoMark,
    photo: String,
    first_row: u64,
    last_row: u64,
    n_rows: u64,
    n_listings: u64,
    last_listing: u64,
    sellers: HashSet<u64>,
    listings: Vec<String>,
}

impl Reuse {
    /// Notes a row.
    pub fn add(&mut self, scanned: &ScannedPhoto) {
        self.n_rows += 1;
        let (Some(mark), Some(digest)) = (
            scanned.mark,
            scanned.sha256.as_deref().and_then(FileDigest::from_hex),
        ) else {
            return;
        };
        let row = self.n_rows;
        let seen = self.photos.entry(digest).or_insert_with(|| Seen {
            mark,
            photo: scanned.photo.clone(),
            first_row: row,
            last_row: row,
            n_rows: 0,
            n_listings: 0,
            last_listing: 0,
            sellers: HashSet::new(),
            listings: Vec::new(),
        });
        seen.n_rows += 1;
        seen.last_row = row;
        let listing = short(&scanned.listing.listing_id);
        if seen.n_listings == 0 || seen.last_listing != listing {
            seen.n_listings += 1;
            seen.last_listing = listing;
            if seen.listings.len() < MAX_EXAMPLES {
                seen.listings.push(scanned.listing.listing_id.clone());
            }
        }
        let seller = scanned.listing.seller.as_ref();
        if let Some(seller) = seller.and_then(|s| s.id.as_ref().or(s.name.as_ref())) {
            seen.sellers.insert(short(seller));
        }
        if self.photos.len() > MAX_PHOTOS {
            self.forget();
        }
    }

    /// Photos that were forgotten because there were too many.
    pub fn n_forgotten(&self) -> u64 {
        self.n_forgotten
    }

    fn forget(&mut self) {
        // No two photos have one last row, so that it is the half whatever they are like: less, and each further
        // photo would make a pass over all of them.
        let rank = |seen: &Seen| (seen.n_rows, seen.last_row);
        let mut ranks: Vec<_> = self.photos.values().map(rank).collect();
        let middle = ranks.len() / 2;
        let (_, &mut median, _) = ranks.select_nth_unstable(middle);
        let before = self.photos.len();
        self.photos.retain(|_, seen| rank(seen) >= median);
        self.n_forgotten += (before - self.photos.len()) as u64;
    }

    /// The `limit` largest groups of photos that come more than once, by listings.
    pub fn largest(&self, limit: usize) -> Vec<ReuseGroup> {
        let mut photos: Vec<_> = self.photos.iter().collect();
        photos.sort_unstable_by_key(|(_, seen)| seen.first_row);
        let founders = founders(&photos);
        let mut groups: HashMap<usize, Vec<usize>> = HashMap::new();
        for (idx, founder) in founders.into_iter().enumerate() {
            groups.entry(founder).or_default().push(idx);
        }
        let mut groups: Vec<_> = groups
            .into_values()
            .map(|members| (members[0], group(&photos, &members)))
            .filter(|(_, group)| group.n_photos > 1)
            .collect();
        groups.sort_by(|(first_a, a), (first_b, b)| {
            let size = |group: &ReuseGroup| (group.n_listings, group.n_photos);
            size(b).cmp(&size(a)).then(first_a.cmp(first_b))
        });
        groups.truncate(limit);
        groups.into_iter().map(|(_, group)| group).collect()
    }
}

/// For each photo, in the order seen, the one that its group is named after: that of the oldest photo that
/// is nearly the same, so that a chain of ever so slightly different photos does not wander off.
fn founders(photos: &[(&FileDigest, &Seen)]) -> Vec<usize> {
    let mut nearest: Vec<Option<usize>> = vec![None; photos.len()];
    // One part after the other, for which a few bytes a photo are enough.
    for position in 0..N_PARTS {
        for same in with_same_part(photos, position) {
            for (rank, &idx) in same.iter().enumerate() {
                let mark = &photos[idx].1.mark;
                let mut older = same[..rank.min(MAX_NEAR)].iter().copied();
                let oldest = older.find(|&other| is_near(&photos[other].1.mark, mark));
                nearest[idx] = nearest[idx].into_iter().chain(oldest).min();
            }
        }
    }
    let mut founders: Vec<usize> = Vec::with_capacity(photos.len());
    for (idx, near) in nearest.into_iter().enumerate() {
        founders.push(near.map_or(idx, |other| founders[other]));
    }
    founders
}

/// Photos of which the part of the hash at `position` is the same, in the order seen.
fn with_same_part(photos: &[(&FileDigest, &Seen)], position: usize) -> Vec<Vec<usize>> {
    const N_BYTES: usize = 32 / N_PARTS;
    let part = |idx: u32| &photos[idx as usize].1.mark.hash[position * N_BYTES..][..N_BYTES];
    let mut order: Vec<u32> = (0..photos.len() as u32).collect();
    order.sort_by(|&a, &b| part(a).cmp(part(b)));
    let runs = order.chunk_by(|&a, &b| part(a) == part(b));
    let shared = runs.filter(|run| run.len() > 1);
    shared
        .map(|run| run.iter().map(|&idx| idx as usize).collect())
        .collect()
}

fn is_near(a: &PhotoMark, b: &PhotoMark) -> bool {
    let differing = |a: &[u8; 32], b: &[u8; 32]| -> u32 {
        a.iter().zip(b).map(|(a, b)| (a ^ b).count_ones()).sum()
    };
    differing(&a.hash, &b.hash) <= MAX_NEAR_BITS && differing(&a.sides, &b.sides) <= MAX_NEAR_SIDES
}

fn group(photos: &[(&FileDigest, &Seen)], members: &[usize]) -> ReuseGroup {
    let (digest, first) = photos[members[0]];
    let all = || members.iter().map(|&idx| photos[idx].1);
    let sellers: HashSet<_> = all().flat_map(|seen| &seen.sellers).collect();
    let mut listings: Vec<String> = Vec::new();
    for listing in all().flat_map(|seen| &seen.listings) {
        if listings.len() < MAX_EXAMPLES && !listings.contains(listing) {
            listings.push(listing.clone());
        }
    }
    ReuseGroup {
        sha256: digest.to_hex(),
        photo: first.photo.clone(),
        n_photos: all().map(|seen| seen.n_rows).sum(),
        n_files: members.len() as u64,
        n_listings: all().map(|seen| seen.n_listings).sum(),
        n_sellers: sellers.len() as u64,
        listings,
    }
}

/// Names stand for themselves by eight bytes of their digest: two of a million are taken for one in one
/// scan of 37 million.
fn short(name: &str) -> u64 {
    let digest = Sha256::digest(name);
    u64::from_be_bytes(digest[..8].try_into().expect("a digest has 32 bytes"))
}

#[cfg(test)]
mod tests {
    use super::super::samples;
    use super::*;
    use crate::domain::{Listing, Seller};
    use std::sync::Arc;

    fn row(listing: &str, seller: &str, file: &[u8], mark: PhotoMark) -> ScannedPhoto {
        ScannedPhoto {
            listing: Arc::new(Listing {
                listing_id: listing.into(),
                seller: Some(Seller {
                    id: Some(seller.into()),
                    ..Seller::default()
                }),
                ..Listing::default()
            }),
            sha256: Some(FileDigest::of(file).to_hex()),
            mark: Some(mark),
            ..samples::scan().remove(0)
        }
    }

    #[test]
    fn the_same_and_nearly_the_same_are_one_group() {
        let mark = PhotoMark {
            hash: [0x5a; 32],
            sides: [0xf0; 32],
        };
        let (mut near, mut plain, mut other) = (mark, mark, mark);
        near.hash[3] ^= 0b111;
        near.sides[9] ^= 0xff;
        // As a plain picture: the hash agrees, the vector does not.
        plain.sides = [0x0f; 32];
        other.hash = [0xa5; 32];
        let mut reuse = Reuse::default();
        for scanned in [
            row("L-1", "s-1", b"a", mark),
            row("L-1", "s-1", b"a", mark),
            row("L-2", "s-2", b"a", mark),
            row("L-3", "s-1", b"b", near),
            row("L-4", "s-4", b"c", plain),
            row("L-5", "s-5", b"d", other),
            row("L-6", "s-5", b"d", other),
        ] {
            reuse.add(&scanned);
        }
        let groups = reuse.largest(10);
        assert_eq!(groups.len(), 2, "{groups:?}");
        let first = &groups[0];
        assert_eq!(first.sha256, FileDigest::of(b"a").to_hex());
        assert_eq!((first.n_photos, first.n_files), (4, 2));
        assert_eq!((first.n_listings, first.n_sellers), (3, 2));
        assert_eq!(first.listings, ["L-1", "L-2", "L-3"]);
        assert_eq!((groups[1].n_photos, groups[1].n_sellers), (2, 1));
        assert_eq!(reuse.largest(1).len(), 1);
    }

    #[test]
    fn memory_is_bounded_and_what_comes_often_stays() {
        let seen = |first_row, n_rows| Seen {
            mark: PhotoMark {
                hash: [0; 32],
                sides: [0; 32],
            },
            photo: String::new(),
            first_row,
            last_row: first_row,
            n_rows,
            n_listings: n_rows,
            last_listing: 0,
            sellers: HashSet::new(),
            listings: Vec::new(),
        };
        let digest = |row: u64| FileDigest::of(&row.to_le_bytes());
        let left_of = |n_rows_of: fn(u64) -> u64| {
            let mut reuse = Reuse::default();
            for row in 0..1000 {
                reuse.photos.insert(digest(row), seen(row, n_rows_of(row)));
            }
            reuse.forget();
            assert_eq!((reuse.photos.len(), reuse.n_forgotten()), (500, 500));
            reuse
        };
        // Nearly all came once.
        let reuse = left_of(|row| 1 + u64::from(row == 5));
        for (row, stays) in [(5, true), (6, false), (500, false), (501, true)] {
            assert_eq!(reuse.photos.contains_key(&digest(row)), stays, "{row}");
        }
        // All came again but the newest, as after any row that brings a new photo.
        let reuse = left_of(|row| 2 - u64::from(row == 999));
        for (row, stays) in [(999, false), (498, false), (499, true), (998, true)] {
            assert_eq!(reuse.photos.contains_key(&digest(row)), stays, "{row}");
        }
    }
}
