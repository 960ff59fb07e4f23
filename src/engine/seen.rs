//! What is kept of a photo so that it can be compared with assets registered later, without the photo:
//! its vectors in 8 bits, hashes and words; and which photos count as nearly the same.

use super::describe::PhotoDescription;
use super::{Engine, EngineError};
use crate::domain::{Embedding, FileDigest, PhotoId, Region};
use crate::embed::Window;
use crate::matching::hash::{HASH_BYTES, MAX_NEAR_BITS, PictureHash};
use crate::ocr::Word;

/// First byte of a kept description; changed with its form.
const VERSION: u8 = 1;

/// Least cosine of whole photos that are nearly the same. Plain pictures have nearly equal hashes,
/// whatever they show; this tells them apart.
const MIN_NEAR_COSINE: f32 = 0.95;

/// A kept description, read again.
pub(super) struct KeptDescription {
    pub description: PhotoDescription,
    /// Width and height of the prepared photo, pixels.
    pub prepared: [u32; 2],
    /// Width and height of the upright original, pixels.
    pub original: [u32; 2],
}

/// A description in bytes: about 300 kB (120 for photos under 400 pixels, 600 for those of 900 and more), nearly all of it one byte for each number of each window.
pub(super) fn to_bytes(
    description: &PhotoDescription,
    prepared: [u32; 2],
    original: [u32; 2],
) -> Vec<u8> {
    let mut bytes = vec![VERSION];
    for side in prepared.into_iter().chain(original) {
        bytes.extend(side.to_le_bytes());
    }
    let window_dim = description.windows.first().map_or(0, |w| w.embedding.dim());
    let hashes = description.hashes.as_deref().unwrap_or_default();
    for count in [
        description.windows.len(),
        window_dim,
        description.whole.dim(),
        hashes.len(),
    ] {
        bytes.extend((count as u32).to_le_bytes());
    }
    for Window {
        region, embedding, ..
    } in &description.windows
    {
        for number in [region.x, region.y, region.w, region.h] {
            bytes.extend(number.to_le_bytes());
        }
        bytes.extend(quantised(embedding));
    }
    bytes.extend(quantised(&description.whole));
    for hash in hashes {
        bytes.extend(hash.as_bytes());
    }
    let words = serde_json::to_vec(&description.words).expect("words are JSON");
    bytes.extend(words);
    bytes
}

/// Reads what [`to_bytes`] wrote.
pub(super) fn from_bytes(bytes: &[u8]) -> Result<KeptDescription, EngineError> {
    let mut rest = Reader(bytes);
    if rest.take(1)? != [VERSION] {
        return Err(bad("it is of another version"));
    }
    let prepared = [rest.number()?, rest.number()?];
    let original = [rest.number()?, rest.number()?];
    let n_windows = rest.number()?;
    let window_dim = rest.number()? as usize;
    let whole_dim = rest.number()? as usize;
    let n_hashes = rest.number()?;
    let windows = (0..n_windows)
        .map(|_| {
            let region = Region::new(rest.float()?, rest.float()?, rest.float()?, rest.float()?);
            Ok(Window {
                region,
                embedding: embedding(rest.take(window_dim)?)?,
                // The maps are ten times as large as all vectors, and are not kept.
                place: None,
            })
        })
        .collect::<Result<Vec<_>, EngineError>>()?;
    let whole = embedding(rest.take(whole_dim)?)?;
    let hashes = (0..n_hashes)
        .map(|_| {
            PictureHash::from_bytes(rest.take(HASH_BYTES)?).map_err(|_| bad("a hash is cut off"))
        })
        .collect::<Result<Vec<_>, EngineError>>()?;
    let words: Option<Vec<Word>> =
        serde_json::from_slice(rest.0).map_err(|_| bad("its words are no JSON"))?;
    let hashes = (!hashes.is_empty()).then_some(hashes);
    Ok(KeptDescription {
        description: PhotoDescription::new(windows, Vec::new(), whole, hashes, words),
        prepared,
        original,
    })
}

fn bad(reason: &'static str) -> EngineError {
    EngineError::BadDescription { reason }
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, n: usize) -> Result<&'a [u8], EngineError> {
        let (taken, rest) = self.0.split_at_checked(n).ok_or(bad("it is cut off"))?;
        self.0 = rest;
        Ok(taken)
    }

    fn four(&mut self) -> Result<[u8; 4], EngineError> {
        let taken = self.take(4)?;
        Ok(taken.try_into().expect("four bytes were taken"))
    }

    fn number(&mut self) -> Result<u32, EngineError> {
        self.four().map(u32::from_le_bytes)
    }

    fn float(&mut self) -> Result<f32, EngineError> {
        self.four().map(f32::from_le_bytes)
    }
}

/// A direction in 8 bits a number; the largest becomes 127.
pub(super) fn quantised(vector: &Embedding) -> Vec<u8> {
    let numbers = vector.as_slice();
    let largest = numbers
        .iter()
        .fold(f32::MIN_POSITIVE, |m, v| m.max(v.abs()));
    let factor = 127.0 / largest;
    numbers
        .iter()
        .map(|v| (v * factor).round() as i8 as u8)
        .collect()
}

/// On which side of 256 planes a vector lies. The planes are as random as a fixed seed makes them, and
/// part of what results mean: they never change.
pub(super) fn sides(vector: &Embedding) -> [u8; 32] {
    let mut sides = [0; 32];
    for plane in 0..256_u64 {
        let mut signs = SplitMix(plane);
        let mut sum = 0.0_f32;
        for part in vector.as_slice().chunks(64) {
            let mut bits = signs.next();
            for number in part {
                sum += if bits & 1 == 1 { *number } else { -number };
                bits >>= 1;
            }
        }
        if sum > 0.0 {
            sides[plane as usize / 8] |= 1 << (plane % 8);
        }
    }
    sides
}

/// SplitMix64 (Steele, Lea, Flood, 2014), started at the beginning of a plane's own sequence.
struct SplitMix(u64);

impl SplitMix {
    fn next(&mut self) -> u64 {
        // The plane is spread over the state, so that neighbours' sequences do not run into each other.
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0.wrapping_mul(0xd134_2543_de82_ef95);
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

fn embedding(bytes: &[u8]) -> Result<Embedding, EngineError> {
    let numbers = bytes.iter().map(|&b| f32::from(b as i8)).collect();
    Embedding::new(numbers).map_err(|_| bad("a vector has no direction"))
}

impl Engine {
    /// The cluster of the photos that are nearly the same as one with this digest, hash and vector;
    /// `None` when none was seen.
    pub(super) fn cluster_of(
        &self,
        sha256: FileDigest,
        hash: PictureHash,
        whole: &[u8],
    ) -> Result<Option<PhotoId>, EngineError> {
        if let Some(cluster) = self.store().cluster_of_photo(&sha256)? {
            return Ok(Some(cluster));
        }
        let near = self.store().photos_near(hash.as_bytes())?;
        let mine = embedding(whole)?;
        let is_near = |photo: &crate::store::NearPhoto| {
            let hash_is_near = PictureHash::from_bytes(&photo.hash)
                .is_ok_and(|other| hash.distance(&other) <= MAX_NEAR_BITS);
            let whole_is_near = embedding(&photo.whole)
                .ok()
                .and_then(|other| mine.similarity(&other).ok())
                .is_some_and(|similarity| similarity.0 >= MIN_NEAR_COSINE);
            hash_is_near && photo.model == *self.model() && whole_is_near
        };
        // The oldest: a chain of ever so slightly different photos must not wander off.
        Ok(near.iter().rev().find(|p| is_near(p)).map(|p| p.cluster))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn description(numbers: &[f32]) -> PhotoDescription {
        let vector = Embedding::new(numbers.to_vec()).expect("a direction");
        let word = Word {
            text: "ACME".to_owned(),
            confidence: 0.5,
            quad: [[1.0, 2.0]; 4],
        };
        PhotoDescription::new(
            vec![Window {
                region: Region::new(-1.5, 0.0, 30.0, 30.0),
                embedding: vector.clone(),
                place: None,
            }],
            Vec::new(),
            vector,
            Some(vec![PictureHash::from_bytes(&[7; 32]).expect("a hash")]),
            Some(vec![word]),
        )
    }

    proptest! {
        #[test]
        fn vectors_keep_their_direction(numbers in prop::collection::vec(-1f32..1.0, 8..64)) {
            prop_assume!(numbers.iter().any(|v| v.abs() > 1e-3));
            let before = description(&numbers);
            let kept = from_bytes(&to_bytes(&before, [30, 20], [60, 40])).expect("whole");
            prop_assert_eq!((kept.prepared, kept.original), ([30, 20], [60, 40]));
            prop_assert_eq!(&kept.description.hashes, &before.hashes);
            prop_assert_eq!(&kept.description.words, &before.words);
            let [window, same] = [&kept.description.windows[0], &before.windows[0]];
            prop_assert_eq!(window.region, same.region);
            for (a, b) in [(&window.embedding, &same.embedding), (&kept.description.whole, &before.whole)] {
                prop_assert!(a.similarity(b).expect("same length").0 > 0.999);
            }
        }

        #[test]
        fn near_vectors_are_on_the_same_side_of_most_planes(
            numbers in prop::collection::vec(-1f32..1.0, 256),
            others in prop::collection::vec(-1f32..1.0, 256),
        ) {
            let vector = |n: &[f32]| Embedding::new(n.to_vec()).expect("a direction");
            let n_apart = |a: &[f32], b: &[f32]| {
                let [a, b] = [a, b].map(|n| sides(&vector(n)));
                a.iter().zip(b).map(|(a, b)| (a ^ b).count_ones()).sum::<u32>()
            };
            let near: Vec<_> = numbers.iter().zip(&others).map(|(a, b)| a + 0.2 * b).collect();
            let opposite: Vec<_> = numbers.iter().map(|v| -v).collect();
            prop_assert_eq!(n_apart(&numbers, &numbers), 0);
            prop_assert!(n_apart(&numbers, &opposite) >= 250);
            // Cosines of about 0.98 and 0.
            prop_assert!(n_apart(&numbers, &near) <= 36);
            prop_assert!((80..=176).contains(&n_apart(&numbers, &others)));
        }

        #[test]
        fn damaged_bytes_are_refused_without_a_panic(
            cut in 0usize..140, flip in 0usize..140, bits in 1u8..255,
        ) {
            let mut bytes = to_bytes(&description(&[0.5, -0.25, 1.0]), [30, 20], [60, 40]);
            if let Some(byte) = bytes.get_mut(flip) {
                *byte ^= bits;
            }
            bytes.truncate(cut);
            prop_assert!(cut >= 140 || from_bytes(&bytes).is_err());
        }
    }
}
