//! Features as bytes for storage: 136 a feature.

use std::f32::consts::TAU;

use thiserror::Error;

use super::{DESCRIPTOR_LEN, DESCRIPTOR_MAX, Keypoint, LocalFeatures};

/// Why bytes are not features.
#[derive(Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum FeatureError {
    /// They begin with something else.
    #[error(
        "features begin with {found:02x?}, not with {expected:02x?}: written by another version"
    )]
    UnknownFormat {
        /// The first bytes, four at most.
        found: Vec<u8>,
        /// What they should be.
        expected: [u8; 4],
    },
    /// More or fewer bytes than the head announces.
    #[error("features take {expected} bytes, {actual} were given")]
    WrongLength {
        /// Bytes announced.
        expected: usize,
        /// Bytes there.
        actual: usize,
    },
    /// A picture without pixels or beyond any that is read.
    #[error("features of a picture of {width} x {height} pixels, 1 to {limit} a side are read")]
    PictureSize {
        /// Width found.
        width: u32,
        /// Height found.
        height: u32,
        /// Largest side.
        limit: u32,
    },
    /// A number of a descriptor out of range.
    #[error("descriptor {feature_idx} holds {found}, at most {limit} is possible")]
    Descriptor {
        /// Which feature.
        feature_idx: usize,
        /// What it holds.
        found: u8,
        /// Largest possible.
        limit: u8,
    },
}

/// Format and version.
const MAGIC: [u8; 4] = *b"TSF1";
const HEAD_LEN: usize = 16;
const KEYPOINT_LEN: usize = 8;
const MAX_SIDE_PX: u32 = 1 << 20;

impl LocalFeatures {
    /// Little-endian: `TSF1`, width, height and count (`u32`), then per feature x and y as shares of
    /// width and height, sigma as a share of the longer side, angle as a share of a turn (`u16` each),
    /// then the descriptors.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(HEAD_LEN + self.len() * (KEYPOINT_LEN + DESCRIPTOR_LEN));
        bytes.extend(MAGIC);
        for value in [self.width, self.height, self.len() as u32] {
            bytes.extend(value.to_le_bytes());
        }
        for keypoint in &self.keypoints {
            for value in shares(keypoint, self.width, self.height) {
                bytes.extend(value.to_le_bytes());
            }
        }
        bytes.extend(self.descriptors.as_flattened());
        bytes
    }

    /// Reads what [`to_bytes`](Self::to_bytes) wrote.
    ///
    /// # Errors
    /// A [`FeatureError`] for anything else, whatever the bytes.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, FeatureError> {
        let (width, height, n) = head(bytes)?;
        let expected = HEAD_LEN.saturating_add(n.saturating_mul(KEYPOINT_LEN + DESCRIPTOR_LEN));
        let actual = bytes.len();
        if actual != expected {
            return Err(FeatureError::WrongLength { expected, actual });
        }
        let (places, numbers) = bytes[HEAD_LEN..].split_at(n * KEYPOINT_LEN);
        let (descriptors, _) = numbers.as_chunks::<DESCRIPTOR_LEN>();
        for (feature_idx, descriptor) in descriptors.iter().enumerate() {
            if let Some(&found) = descriptor.iter().find(|v| **v > DESCRIPTOR_MAX) {
                let limit = DESCRIPTOR_MAX;
                return Err(FeatureError::Descriptor {
                    feature_idx,
                    found,
                    limit,
                });
            }
        }
        let (places, _) = places.as_chunks::<KEYPOINT_LEN>();
        let keypoint = |place: &[u8; KEYPOINT_LEN]| {
            let share = |i: usize| u16::from_le_bytes([place[2 * i], place[2 * i + 1]]);
            from_shares([share(0), share(1), share(2), share(3)], width, height)
        };
        Ok(Self {
            width,
            height,
            keypoints: places.iter().map(keypoint).collect(),
            descriptors: descriptors.to_vec(),
        })
    }
}

fn head(bytes: &[u8]) -> Result<(u32, u32, usize), FeatureError> {
    if !bytes.starts_with(&MAGIC) {
        return Err(FeatureError::UnknownFormat {
            found: bytes[..bytes.len().min(4)].to_vec(),
            expected: MAGIC,
        });
    }
    let (words, _) = bytes[4..].as_chunks::<4>();
    let [width, height, n, ..] = words else {
        return Err(FeatureError::WrongLength {
            expected: HEAD_LEN,
            actual: bytes.len(),
        });
    };
    let (width, height) = (u32::from_le_bytes(*width), u32::from_le_bytes(*height));
    let n = u32::from_le_bytes(*n) as usize;
    let possible = 1..=MAX_SIDE_PX;
    // A picture without pixels has no features, and that is a value too.
    if n > 0 && !(possible.contains(&width) && possible.contains(&height)) {
        return Err(FeatureError::PictureSize {
            width,
            height,
            limit: MAX_SIDE_PX,
        });
    }
    Ok((width, height, n))
}

const STEPS: f32 = u16::MAX as f32;

fn shares(keypoint: &Keypoint, width: u32, height: u32) -> [u16; 4] {
    let share = |value: f32, whole: f32| (value / whole * STEPS).round().clamp(0.0, STEPS) as u16;
    [
        share(keypoint.x, width as f32),
        share(keypoint.y, height as f32),
        share(keypoint.sigma, width.max(height) as f32).max(1),
        share(keypoint.angle, TAU),
    ]
}

fn from_shares([x, y, sigma, angle]: [u16; 4], width: u32, height: u32) -> Keypoint {
    let value = |share: u16, whole: f32| f32::from(share) / STEPS * whole;
    Keypoint {
        x: value(x, width as f32),
        y: value(y, height as f32),
        sigma: value(sigma.max(1), width.max(height) as f32),
        angle: value(angle, TAU),
    }
}

/// `keypoint` as it comes back from storage.
pub(super) fn rounded(keypoint: &Keypoint, width: u32, height: u32) -> Keypoint {
    from_shares(shares(keypoint, width, height), width, height)
}
