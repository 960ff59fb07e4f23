//! The brightness and contrast that make one picture's colours those of another.

use super::NOISE;
use super::samples::Moments;

/// Bounds of gain per channel, as edits have.
const GAIN: [f32; 2] = [0.4, 2.5];
/// A gain and offset explain a cell whose mean they bring nearer than this, levels.
const NEAR_LEVEL: f32 = 14.0;
/// Cells whose pairs propose a gain and offset.
const N_LEVEL_SEEDS: usize = 20;

/// Gain and offset per channel that bring most cells of the reference near to the photo's; a label
/// over a quarter of the picture does not move them.
pub(super) struct Levels([Level; 3]);

#[derive(Debug, Clone, Copy)]
struct Level {
    gain: f32,
    offset: f32,
}

impl Level {
    const SAME: Self = Self {
        gain: 1.0,
        offset: 0.0,
    };

    fn apply(self, value: f32) -> f32 {
        (self.gain * value + self.offset).clamp(0.0, 255.0)
    }

    fn explains(self, (from, to): (f32, f32)) -> bool {
        (self.apply(from) - to).abs() < NEAR_LEVEL
    }

    /// Through two cells; `None` when they are too alike or no edit does that.
    fn through(a: (f32, f32), b: (f32, f32)) -> Option<Self> {
        let gain = (b.1 - a.1) / (b.0 - a.0);
        let plausible = (b.0 - a.0).abs() > NEAR_LEVEL && (GAIN[0]..=GAIN[1]).contains(&gain);
        plausible.then_some(Self {
            gain,
            offset: a.1 - gain * a.0,
        })
    }

    /// The level that explains most cells, refined on those.
    fn fit(cells: &[(f32, f32)]) -> Self {
        let mut sorted = cells.to_vec();
        sorted.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.total_cmp(&b.1)));
        let step = sorted.len().div_ceil(N_LEVEL_SEEDS).max(1);
        let seeds: Vec<_> = sorted.into_iter().step_by(step).collect();
        let pairs = (0..seeds.len()).flat_map(|i| (0..i).map(move |j| (j, i)));
        let through = pairs.filter_map(|(j, i)| Self::through(seeds[j], seeds[i]));
        let count = |level: &Self| cells.iter().filter(|c| level.explains(**c)).count();
        let mut best = (count(&Self::SAME), Self::SAME);
        for level in through {
            let n = count(&level);
            if n > best.0 {
                best = (n, level);
            }
        }
        best.1.refined(cells)
    }

    fn refined(self, cells: &[(f32, f32)]) -> Self {
        let mut moments = Moments::default();
        for &(from, to) in cells.iter().filter(|c| self.explains(**c)) {
            moments.add(from - 128.0, to - 128.0);
        }
        let [from, to] = moments.means().map(|m| m + 128.0);
        let [a, _, ab] = moments.spread();
        let gain = if a > NOISE {
            (ab / a).clamp(GAIN[0], GAIN[1])
        } else {
            self.gain
        };
        if moments.n < 1.0 {
            return self;
        }
        Self {
            gain,
            offset: to - gain * from,
        }
    }
}

impl Levels {
    pub(super) fn fit(colours: &[([f32; 3], [f32; 3])]) -> Self {
        Self(std::array::from_fn(|channel| {
            let cells: Vec<_> = colours
                .iter()
                .map(|(a, b)| (a[channel], b[channel]))
                .collect();
            Level::fit(&cells)
        }))
    }

    pub(super) fn apply(&self, rgb: [f32; 3]) -> [f32; 3] {
        std::array::from_fn(|i| self.0[i].apply(rgb[i]))
    }
}
