//! Scalar products of 8-bit codes, in the widest instructions that the processor has.
//!
//! A row of codes is padded with zeros to a multiple of [`ROW_ALIGN`] bytes. All kernels give the
//! same integers; tests hold them to that.

/// Rows of codes are a multiple of this many bytes long: one AVX-512 register.
pub(super) const ROW_ALIGN: usize = 64;

/// A query's codes in the forms that kernels want.
pub(super) struct QueryCodes {
    /// The codes, padded with zeros, shape `[stride]`, `-127..=127`.
    pub(super) signed: Vec<i8>,
    /// The same plus 128: `vpdpbusd` multiplies an unsigned with a signed operand.
    biased: Vec<u8>,
    /// The same without signs, for `vpmaddubsw`, which does so too.
    magnitudes: Vec<u8>,
    /// Sum of the codes.
    pub(super) sum: i32,
}

impl QueryCodes {
    pub(super) fn new(signed: Vec<i8>) -> Self {
        let biased = signed.iter().map(|&c| (c as u8) ^ 0x80).collect();
        let magnitudes = signed.iter().map(|c| c.unsigned_abs()).collect();
        let sum = signed.iter().map(|&c| i32::from(c)).sum();
        Self {
            signed,
            biased,
            magnitudes,
            sum,
        }
    }
}

/// Rows of codes, one after the other.
#[derive(Clone, Copy)]
pub(super) struct Rows<'a> {
    /// Shape `[n, stride]`.
    pub(super) codes: &'a [i8],
    /// Sum of each row, shape `[n]`.
    pub(super) sums: &'a [i32],
    /// Bytes in a row, a multiple of [`ROW_ALIGN`].
    pub(super) stride: usize,
}

impl<'a> Rows<'a> {
    #[inline]
    pub(super) fn row(&self, slot: usize) -> &'a [i8] {
        &self.codes[slot * self.stride..][..self.stride]
    }
}

/// Which instructions to use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kernel {
    Portable,
    #[cfg(target_arch = "x86_64")]
    Avx2,
    #[cfg(target_arch = "x86_64")]
    Avx512Vnni,
}

impl Kernel {
    /// The best that this processor has.
    pub(super) fn detect() -> Self {
        Self::available().pop().unwrap_or(Self::Portable)
    }

    /// All that this processor has, the best last.
    fn available() -> Vec<Self> {
        let mut kernels = vec![Self::Portable];
        #[cfg(target_arch = "x86_64")]
        {
            if is_x86_feature_detected!("avx2") {
                kernels.push(Self::Avx2);
            }
            if is_x86_feature_detected!("avx512bw") && is_x86_feature_detected!("avx512vnni") {
                kernels.push(Self::Avx512Vnni);
            }
        }
        kernels
    }

    /// Products of the query with the rows from `first` on, one for each place in `out`.
    #[inline]
    pub(super) fn scan(self, query: &QueryCodes, rows: Rows<'_>, first: usize, out: &mut [i32]) {
        match self {
            Self::Portable => portable::scan(query, rows, first, out),
            // SAFETY: made only by `available`, which found the features.
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => unsafe { avx2::scan(query, rows, first, out) },
            #[cfg(target_arch = "x86_64")]
            Self::Avx512Vnni => unsafe { avx512::scan(query, rows, first, out) },
        }
    }

    /// Products of the query with the rows at `slots`, shape of both `[n]`.
    #[inline]
    pub(super) fn gather(
        self,
        query: &QueryCodes,
        rows: Rows<'_>,
        slots: &[u32],
        out: &mut Vec<i32>,
    ) {
        out.clear();
        match self {
            Self::Portable => portable::gather(query, rows, slots, out),
            // SAFETY: as in `scan`.
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => unsafe { avx2::gather(query, rows, slots, out) },
            #[cfg(target_arch = "x86_64")]
            Self::Avx512Vnni => unsafe { avx512::gather(query, rows, slots, out) },
        }
    }

    /// Product of two rows.
    #[inline]
    pub(super) fn pair(self, rows: Rows<'_>, a: usize, b: usize) -> i32 {
        let (a, b) = (rows.row(a), rows.row(b));
        match self {
            Self::Portable => portable::product(a, b),
            // SAFETY: as in `scan`.
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => unsafe { avx2::product(a, b) },
            #[cfg(target_arch = "x86_64")]
            Self::Avx512Vnni => unsafe { avx512::product(a, b) },
        }
    }
}

/// The loops around one product; they must carry the same features for it to be inlined.
macro_rules! loops {
    ($product:ident $(, #[$features:meta])?) => {
        $(#[$features])?
        pub(super) fn scan(query: &QueryCodes, rows: Rows<'_>, first: usize, out: &mut [i32]) {
            for (slot, out) in (first..).zip(out) {
                *out = $product(query, rows.row(slot), rows.sums[slot]);
            }
        }

        $(#[$features])?
        pub(super) fn gather(
            query: &QueryCodes,
            rows: Rows<'_>,
            slots: &[u32],
            out: &mut Vec<i32>,
        ) {
            for &slot in slots {
                let slot = slot as usize;
                out.push($product(query, rows.row(slot), rows.sums[slot]));
            }
        }
    };
}

mod portable {
    use super::{QueryCodes, Rows};

    pub(super) fn product(a: &[i8], b: &[i8]) -> i32 {
        a.iter()
            .zip(b)
            .map(|(&a, &b)| i32::from(a) * i32::from(b))
            .sum()
    }

    fn with_query(query: &QueryCodes, row: &[i8], _row_sum: i32) -> i32 {
        product(&query.signed, row)
    }

    loops!(with_query);
}

#[cfg(target_arch = "x86_64")]
mod avx2 {
    use std::arch::x86_64::*;

    use super::{QueryCodes, Rows};

    /// Rows multiplied at a time: each piece of the query is loaded once for all of them, and their
    /// lanes are summed up together.
    const BLOCK: usize = 4;

    #[inline]
    #[target_feature(enable = "avx2")]
    fn load(bytes: &[u8; 32]) -> __m256i {
        // SAFETY: 32 bytes are read, and the load needs no alignment.
        unsafe { _mm256_loadu_si256(bytes.as_ptr().cast()) }
    }

    #[inline]
    #[target_feature(enable = "avx2")]
    fn load_codes(codes: &[i8; 32]) -> __m256i {
        // SAFETY: as in `load`.
        unsafe { _mm256_loadu_si256(codes.as_ptr().cast()) }
    }

    /// Sums of four products each. `magnitudes` are those of `a`, whose signs move to `b`:
    /// `vpmaddubsw` multiplies an unsigned with a signed operand. Codes end at 127, so that two
    /// products (at most 32,258) have room in 16 bits.
    #[inline]
    #[target_feature(enable = "avx2")]
    fn quads(a: __m256i, magnitudes: __m256i, b: __m256i) -> __m256i {
        let pairs = _mm256_maddubs_epi16(magnitudes, _mm256_sign_epi8(b, a));
        _mm256_madd_epi16(pairs, _mm256_set1_epi16(1))
    }

    #[inline]
    #[target_feature(enable = "avx2")]
    fn total(sum: __m256i) -> i32 {
        let sum = _mm_add_epi32(
            _mm256_castsi256_si128(sum),
            _mm256_extracti128_si256::<1>(sum),
        );
        let sum = _mm_add_epi32(sum, _mm_shuffle_epi32::<0b01_00_11_10>(sum));
        let sum = _mm_add_epi32(sum, _mm_shuffle_epi32::<0b10_11_00_01>(sum));
        _mm_cvtsi128_si32(sum)
    }

    #[inline]
    #[target_feature(enable = "avx2")]
    pub(super) fn product(a: &[i8], b: &[i8]) -> i32 {
        let (a, _) = a.as_chunks::<32>();
        let (b, _) = b.as_chunks::<32>();
        let mut sum = _mm256_setzero_si256();
        for (a, b) in a.iter().zip(b) {
            let a = load_codes(a);
            sum = _mm256_add_epi32(sum, quads(a, _mm256_abs_epi8(a), load_codes(b)));
        }
        total(sum)
    }

    #[inline]
    #[target_feature(enable = "avx2")]
    fn with_query(query: &QueryCodes, row: &[i8]) -> i32 {
        let (signed, _) = query.signed.as_chunks::<32>();
        let (magnitudes, _) = query.magnitudes.as_chunks::<32>();
        let (row, _) = row.as_chunks::<32>();
        let mut sum = _mm256_setzero_si256();
        for ((q, m), r) in signed.iter().zip(magnitudes).zip(row) {
            let quads = quads(load_codes(q), load(m), load_codes(r));
            sum = _mm256_add_epi32(sum, quads);
        }
        total(sum)
    }

    #[inline]
    #[target_feature(enable = "avx2")]
    fn block(query: &QueryCodes, rows: [&[i8]; BLOCK], out: &mut [i32; BLOCK]) {
        let (signed, _) = query.signed.as_chunks::<32>();
        let (magnitudes, _) = query.magnitudes.as_chunks::<32>();
        let rows = rows.map(|row| &row.as_chunks::<32>().0[..signed.len()]);
        let mut sums = [_mm256_setzero_si256(); BLOCK];
        for (at, (q, m)) in signed.iter().zip(magnitudes).enumerate() {
            let (q, m) = (load_codes(q), load(m));
            for (sum, row) in sums.iter_mut().zip(&rows) {
                *sum = _mm256_add_epi32(*sum, quads(q, m, load_codes(&row[at])));
            }
        }
        let [a, b, c, d] = sums;
        let all = _mm256_hadd_epi32(_mm256_hadd_epi32(a, b), _mm256_hadd_epi32(c, d));
        let all = _mm_add_epi32(
            _mm256_castsi256_si128(all),
            _mm256_extracti128_si256::<1>(all),
        );
        // SAFETY: 16 bytes are written, and the store needs no alignment.
        unsafe { _mm_storeu_si128(out.as_mut_ptr().cast(), all) };
    }

    #[target_feature(enable = "avx2")]
    pub(super) fn scan(query: &QueryCodes, rows: Rows<'_>, first: usize, out: &mut [i32]) {
        let (blocks, rest) = out.as_chunks_mut::<BLOCK>();
        let mut slot = first;
        for out in blocks {
            block(query, std::array::from_fn(|i| rows.row(slot + i)), out);
            slot += BLOCK;
        }
        for out in rest {
            *out = with_query(query, rows.row(slot));
            slot += 1;
        }
    }

    #[target_feature(enable = "avx2")]
    pub(super) fn gather(query: &QueryCodes, rows: Rows<'_>, slots: &[u32], out: &mut Vec<i32>) {
        let (blocks, rest) = slots.as_chunks::<BLOCK>();
        for slots in blocks {
            let mut products = [0; BLOCK];
            block(
                query,
                slots.map(|slot| rows.row(slot as usize)),
                &mut products,
            );
            out.extend_from_slice(&products);
        }
        for &slot in rest {
            out.push(with_query(query, rows.row(slot as usize)));
        }
    }
}

#[cfg(target_arch = "x86_64")]
mod avx512 {
    use std::arch::x86_64::*;

    use super::{QueryCodes, Rows};

    #[inline]
    #[target_feature(enable = "avx512bw,avx512vnni")]
    pub(super) fn product(a: &[i8], b: &[i8]) -> i32 {
        let (a, _) = a.as_chunks::<32>();
        let (b, _) = b.as_chunks::<32>();
        let mut sum = _mm512_setzero_si512();
        for (a, b) in a.iter().zip(b) {
            // SAFETY: both are 32 bytes long, and the loads need no alignment.
            let (a, b) = unsafe {
                (
                    _mm256_loadu_si256(a.as_ptr().cast()),
                    _mm256_loadu_si256(b.as_ptr().cast()),
                )
            };
            sum = _mm512_dpwssd_epi32(sum, _mm512_cvtepi8_epi16(a), _mm512_cvtepi8_epi16(b));
        }
        _mm512_reduce_add_epi32(sum)
    }

    /// With the query's codes raised by 128, which adds 128 times the row's sum to the product.
    #[inline]
    #[target_feature(enable = "avx512bw,avx512vnni")]
    fn with_query(query: &QueryCodes, row: &[i8], row_sum: i32) -> i32 {
        let (query, _) = query.biased.as_chunks::<64>();
        let (row, _) = row.as_chunks::<64>();
        let mut sum = _mm512_setzero_si512();
        for (q, r) in query.iter().zip(row) {
            // SAFETY: both are 64 bytes long, and the loads need no alignment.
            let (q, r) = unsafe {
                (
                    _mm512_loadu_si512(q.as_ptr().cast()),
                    _mm512_loadu_si512(r.as_ptr().cast()),
                )
            };
            sum = _mm512_dpbusd_epi32(sum, q, r);
        }
        _mm512_reduce_add_epi32(sum) - 128 * row_sum
    }

    loops!(with_query, #[target_feature(enable = "avx512bw,avx512vnni")]);
}

/// Asks for memory ahead of its use.
#[inline]
pub(super) fn prefetch<T>(values: &[T]) {
    #[cfg(target_arch = "x86_64")]
    {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        let start: *const i8 = values.as_ptr().cast();
        for line in (0..size_of_val(values)).step_by(64) {
            // SAFETY: a hint, which reads nothing.
            unsafe { _mm_prefetch::<_MM_HINT_T0>(start.wrapping_add(line)) };
        }
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = values;
}

/// Scalar product of two vectors of equal length, summed in sixteen lanes: the same number on every
/// machine, and quick without special instructions.
pub(super) fn product_f32(a: &[f32], b: &[f32]) -> f32 {
    let (a_chunks, a_rest) = a.as_chunks::<16>();
    let (b_chunks, b_rest) = b.as_chunks::<16>();
    let mut lanes = [0f32; 16];
    for (a, b) in a_chunks.iter().zip(b_chunks) {
        for lane in 0..16 {
            lanes[lane] += a[lane] * b[lane];
        }
    }
    let rest: f32 = a_rest.iter().zip(b_rest).map(|(a, b)| a * b).sum();
    lanes.iter().sum::<f32>() + rest
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn all_kernels_agree(
            n_chunks in 1usize..6,
            n_rows in 2usize..12,
            seed in prop::collection::vec(-127i8..=127, 64 * 5 * 11),
        ) {
            let stride = n_chunks * ROW_ALIGN;
            let query = QueryCodes::new(seed[..stride].to_vec());
            let codes = &seed[..stride * n_rows];
            let sums: Vec<i32> = codes
                .chunks(stride)
                .map(|row| row.iter().map(|&c| i32::from(c)).sum())
                .collect();
            let rows = Rows { codes, sums: &sums, stride };
            let truth: Vec<i32> = codes
                .chunks(stride)
                .map(|row| portable::product(&query.signed, row))
                .collect();
            for kernel in Kernel::available() {
                let mut scanned = vec![0; n_rows - 1];
                kernel.scan(&query, rows, 1, &mut scanned);
                prop_assert_eq!(&scanned, &truth[1..], "{:?}", kernel);
                let backwards: Vec<u32> = (0..n_rows as u32).rev().collect();
                let mut gathered = Vec::new();
                kernel.gather(&query, rows, &backwards, &mut gathered);
                gathered.reverse();
                prop_assert_eq!(&gathered, &truth, "{:?}", kernel);
                // The query is the first row.
                prop_assert_eq!(kernel.pair(rows, 0, 1), truth[1], "{:?}", kernel);
            }
        }
    }

    #[test]
    fn extremes_do_not_overflow() {
        const N: usize = 5;
        let (codes, sums) = (vec![-127i8; N * 4096], [-127 * 4096; N]);
        let rows = Rows {
            codes: &codes,
            sums: &sums,
            stride: 4096,
        };
        for value in [-127, 127] {
            let query = QueryCodes::new(vec![value; 4096]);
            for kernel in Kernel::available() {
                let mut out = [0; N];
                kernel.scan(&query, rows, 0, &mut out);
                let expected = i32::from(value) * -127 * 4096;
                assert_eq!(out, [expected; N], "{kernel:?}");
            }
        }
    }
}
