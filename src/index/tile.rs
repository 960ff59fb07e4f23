//! Products of many queries with many rows of codes at a time.
//!
//! Codes of [`TILE`] rows are laid side by side, four of each row after the other, so that the sums of
//! many rows grow in the lanes of a register and none has to be added up across it. Laying them out
//! costs about as much as multiplying them with a few queries.

use super::kernel::{Kernel, QueryCodes, Rows};

/// Rows in a [`Tile`].
pub(super) const TILE: usize = 64;
/// Queries that a [`Tile`] is multiplied with at a time.
pub(super) const TOGETHER: usize = 4;

#[cfg(target_arch = "x86_64")]
pub(super) struct Tile {
    /// Codes plus 128, shape `[stride / 4, TILE, 4]`.
    biased: Vec<[u8; 4 * TILE]>,
}

#[cfg(target_arch = "x86_64")]
impl Tile {
    /// An empty tile; `None` where the processor lacks the instructions that make it worth its while.
    pub(super) fn new(kernel: Kernel, stride: usize) -> Option<Self> {
        let biased = vec![[0; 4 * TILE]; stride / 4];
        (kernel == Kernel::Avx512Vnni).then_some(Self { biased })
    }

    /// Takes the rows from `first` on.
    pub(super) fn fill(&mut self, rows: Rows<'_>, first: usize) {
        // SAFETY: a tile is made only where the processor has the features.
        unsafe { avx512::fill(&mut self.biased, rows, first) }
    }

    /// Products of all rows with all queries, shape `[TOGETHER, TILE]`.
    pub(super) fn products(&self, queries: [&QueryCodes; TOGETHER]) -> [[i32; TILE]; TOGETHER] {
        // SAFETY: as in `fill`.
        unsafe { avx512::products(&self.biased, queries) }
    }

    /// A bit for each row whose product, times its own of `scales` and times `scale`, reaches `bar`.
    pub(super) fn reaching(
        &self,
        products: &[i32; TILE],
        scales: &[f32; TILE],
        scale: f32,
        bar: f32,
    ) -> u64 {
        // SAFETY: as in `fill`.
        unsafe { avx512::reaching(products, scales, scale, bar) }
    }
}

/// No other processor has one.
#[cfg(not(target_arch = "x86_64"))]
pub(super) enum Tile {}

#[cfg(not(target_arch = "x86_64"))]
impl Tile {
    pub(super) fn new(_: Kernel, _: usize) -> Option<Self> {
        None
    }

    pub(super) fn fill(&mut self, _: Rows<'_>, _: usize) {
        match *self {}
    }

    pub(super) fn products(&self, _: [&QueryCodes; TOGETHER]) -> [[i32; TILE]; TOGETHER] {
        match *self {}
    }

    pub(super) fn reaching(&self, _: &[i32; TILE], _: &[f32; TILE], _: f32, _: f32) -> u64 {
        match *self {}
    }
}

#[cfg(target_arch = "x86_64")]
mod avx512 {
    use std::arch::x86_64::*;

    use super::{QueryCodes, Rows, TILE, TOGETHER};

    /// Rows whose sums a register holds.
    const LANES: usize = 16;
    const N_REGISTERS: usize = TILE / LANES;

    #[inline]
    #[target_feature(enable = "avx512bw,avx512vnni")]
    fn load<T>(values: &[T; 64]) -> __m512i {
        const { assert!(size_of::<T>() == 1) };
        // SAFETY: 64 bytes are read, and the load needs no alignment.
        unsafe { _mm512_loadu_si512(values.as_ptr().cast()) }
    }

    #[inline]
    #[target_feature(enable = "avx512bw,avx512vnni")]
    fn load_numbers<T>(values: &[T; LANES]) -> __m512i {
        const { assert!(size_of::<T>() == 4) };
        // SAFETY: as in `load`.
        unsafe { _mm512_loadu_si512(values.as_ptr().cast()) }
    }

    #[inline]
    #[target_feature(enable = "avx512bw,avx512vnni")]
    fn store<T, const N: usize>(value: __m512i, place: &mut [T; N]) {
        const { assert!(size_of::<T>() * N == 64) };
        // SAFETY: 64 bytes are written, and the store needs no alignment.
        unsafe { _mm512_storeu_si512(place.as_mut_ptr().cast(), value) };
    }

    #[target_feature(enable = "avx512bw,avx512vnni")]
    pub(super) fn fill(biased: &mut [[u8; 4 * TILE]], rows: Rows<'_>, first: usize) {
        let bias = _mm512_set1_epi8(-128);
        for (chunk, columns) in biased.chunks_exact_mut(LANES).enumerate() {
            for register in 0..N_REGISTERS {
                let mut square = [bias; LANES];
                for (lane, out) in square.iter_mut().enumerate() {
                    let row = rows.row(first + register * LANES + lane);
                    *out = _mm512_xor_si512(bias, load(&row.as_chunks::<64>().0[chunk]));
                }
                for (column, turned) in columns.iter_mut().zip(turned(square)) {
                    store(turned, &mut column.as_chunks_mut::<64>().0[register]);
                }
            }
        }
    }

    /// Rows of sixteen 32-bit numbers to columns.
    #[inline]
    #[target_feature(enable = "avx512bw,avx512vnni")]
    fn turned(rows: [__m512i; LANES]) -> [__m512i; LANES] {
        let mut pairs = rows;
        for at in (0..LANES).step_by(2) {
            pairs[at] = _mm512_unpacklo_epi32(rows[at], rows[at + 1]);
            pairs[at + 1] = _mm512_unpackhi_epi32(rows[at], rows[at + 1]);
        }
        // Of four rows each: quarter `q` of the register at `place` holds column `4 * q + place`.
        let mut fours = pairs;
        for at in (0..LANES).step_by(4) {
            fours[at] = _mm512_unpacklo_epi64(pairs[at], pairs[at + 2]);
            fours[at + 1] = _mm512_unpackhi_epi64(pairs[at], pairs[at + 2]);
            fours[at + 2] = _mm512_unpacklo_epi64(pairs[at + 1], pairs[at + 3]);
            fours[at + 3] = _mm512_unpackhi_epi64(pairs[at + 1], pairs[at + 3]);
        }
        let mut columns = fours;
        for place in 0..4 {
            let [a, b, c, d] = [0, 4, 8, 12].map(|at| fours[at + place]);
            let low_ab = _mm512_shuffle_i32x4::<0b01_00_01_00>(a, b);
            let low_cd = _mm512_shuffle_i32x4::<0b01_00_01_00>(c, d);
            let high_ab = _mm512_shuffle_i32x4::<0b11_10_11_10>(a, b);
            let high_cd = _mm512_shuffle_i32x4::<0b11_10_11_10>(c, d);
            columns[place] = _mm512_shuffle_i32x4::<0b10_00_10_00>(low_ab, low_cd);
            columns[4 + place] = _mm512_shuffle_i32x4::<0b11_01_11_01>(low_ab, low_cd);
            columns[8 + place] = _mm512_shuffle_i32x4::<0b10_00_10_00>(high_ab, high_cd);
            columns[12 + place] = _mm512_shuffle_i32x4::<0b11_01_11_01>(high_ab, high_cd);
        }
        columns
    }

    /// With the rows' codes raised by 128, which adds 128 times the query's sum to each product.
    #[target_feature(enable = "avx512bw,avx512vnni")]
    pub(super) fn products(
        biased: &[[u8; 4 * TILE]],
        queries: [&QueryCodes; TOGETHER],
    ) -> [[i32; TILE]; TOGETHER] {
        let fours = queries.map(|query| &query.signed.as_chunks::<4>().0[..biased.len()]);
        let mut sums = queries.map(|query| [_mm512_set1_epi32(-128 * query.sum); N_REGISTERS]);
        for (at, column) in biased.iter().enumerate() {
            let (registers, _) = column.as_chunks::<64>();
            for (sums, fours) in sums.iter_mut().zip(&fours) {
                let codes = fours[at].map(|code| code as u8);
                let query = _mm512_set1_epi32(i32::from_le_bytes(codes));
                for (sum, rows) in sums.iter_mut().zip(registers) {
                    *sum = _mm512_dpbusd_epi32(*sum, load(rows), query);
                }
            }
        }
        let mut products = [[0; TILE]; TOGETHER];
        for (products, sums) in products.iter_mut().zip(sums) {
            let (lanes, _) = products.as_chunks_mut::<LANES>();
            for (lanes, sum) in lanes.iter_mut().zip(sums) {
                store(sum, lanes);
            }
        }
        products
    }

    #[target_feature(enable = "avx512bw,avx512vnni")]
    pub(super) fn reaching(
        products: &[i32; TILE],
        scales: &[f32; TILE],
        scale: f32,
        bar: f32,
    ) -> u64 {
        let (scale, bar) = (_mm512_set1_ps(scale), _mm512_set1_ps(bar));
        let products = products.as_chunks::<LANES>().0.iter();
        let scales = scales.as_chunks::<LANES>().0.iter();
        let mut bits = 0;
        for (at, (products, scales)) in products.zip(scales).enumerate() {
            let own = _mm512_castsi512_ps(load_numbers(scales));
            let product = _mm512_cvtepi32_ps(load_numbers(products));
            // In the order in which a candidate's score is made, so that they are the same numbers.
            let score = _mm512_mul_ps(product, _mm512_mul_ps(own, scale));
            let is_reached = _mm512_cmp_ps_mask::<_CMP_GE_OQ>(score, bar);
            bits |= u64::from(is_reached) << (LANES * at);
        }
        bits
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn tiles_give_the_products_of_rows(
            n_chunks in 1usize..4,
            seed in prop::collection::vec(-127i8..=127, 64 * 3 * (TILE + 1 + TOGETHER)),
            bar in -9_000f32..9_000.0,
        ) {
            let stride = 64 * n_chunks;
            let kernel = Kernel::detect();
            let Some(mut tile) = Tile::new(kernel, stride) else {
                return Ok(());
            };
            let (codes, queries) = seed.split_at(stride * (TILE + 1));
            let sums: Vec<i32> = codes
                .chunks(stride)
                .map(|row| row.iter().map(|&c| i32::from(c)).sum())
                .collect();
            let rows = Rows { codes, sums: &sums, stride };
            let mut queries = queries.chunks(stride).map(|q| QueryCodes::new(q.to_vec()));
            let queries: [QueryCodes; TOGETHER] = std::array::from_fn(|_| queries.next().unwrap());
            tile.fill(rows, 1);
            let found = tile.products(queries.each_ref());
            let scales: [f32; TILE] = std::array::from_fn(|at| 0.3 + at as f32 / 90.0);
            for (query, found) in queries.iter().zip(&found) {
                let mut expected = [0; TILE];
                kernel.scan(query, rows, 1, &mut expected);
                prop_assert_eq!(found, &expected);
                let bits = tile.reaching(found, &scales, 0.7, bar);
                for (at, &product) in found.iter().enumerate() {
                    let is_reached = product as f32 * (scales[at] * 0.7) >= bar;
                    prop_assert_eq!(bits >> at & 1 == 1, is_reached);
                }
            }
        }
    }
}
