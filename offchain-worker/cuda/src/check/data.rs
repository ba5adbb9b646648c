//! Inputs of comparisons: random ones, and rows that are hard on arithmetic.

use attune_exact::weights::{quantise4, quantise8, Frozen, Packed4};

/// Kinds of hard rows.
const KINDS: usize = 9;

/// `[rows, columns]` of a table `[columns, rows]`.
pub(super) fn turned<T: Copy>(x: &[T], columns: usize) -> Vec<T> {
    let rows = x.len() / columns;
    (0..columns).flat_map(|column| (0..rows).map(move |row| x[row * columns + column])).collect()
}

/// Pseudo-random numbers (SplitMix64).
#[derive(Clone, Debug)]
pub struct Source(u64);

impl Source {
    /// The numbers of a seed.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// 64 random bits.
    pub fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// Below `end`.
    pub(super) fn below(&mut self, end: usize) -> usize {
        (self.bits() % end.max(1) as u64) as usize
    }

    /// In −1..1.
    pub(super) fn unit(&mut self) -> f32 {
        (self.bits() >> 40) as f32 / (1 << 23) as f32 - 1.0
    }

    /// Finite, of any exponent.
    pub(super) fn any(&mut self) -> f32 {
        loop {
            let x = f32::from_bits(self.bits() as u32);
            if x.is_finite() {
                return x;
            }
        }
    }

    /// `count` reals in ±`scale`.
    pub(super) fn reals(&mut self, count: usize, scale: f32) -> Vec<f32> {
        (0..count).map(|_| self.unit() * scale).collect()
    }

    /// `[rows, columns]` whose rows are hard in random order, in ±`limit` where an operator's own checks need it.
    pub(super) fn mixed_rows(&mut self, rows: usize, columns: usize, limit: f32) -> Vec<f32> {
        let one = |_| {
            let kind = self.below(KINDS);
            self.hard_row(kind, columns)
        };
        (0..rows).flat_map(one).map(|x| x.clamp(-limit, limit)).collect()
    }

    /// `[rows, columns]` whose rows take turns at being hard.
    pub(super) fn hard_rows(&mut self, rows: usize, columns: usize) -> Vec<f32> {
        (0..rows).flat_map(|row| self.hard_row(row, columns)).collect()
    }

    fn hard_row(&mut self, kind: usize, columns: usize) -> Vec<f32> {
        let outlier = self.below(columns);
        let sign = |bits: u64| if bits & 1 == 0 { 1.0f32 } else { -1.0 };
        let mut row: Vec<f32> = (0..columns)
            .map(|_| match kind % KINDS {
                0 => self.unit(),
                1 => 0.0,
                // All equal.
                2 => -0.375,
                // Subnormal.
                3 => f32::from_bits(self.bits() as u32 & 0x807F_FFFF),
                // Ties of wide and of narrow mantissas.
                4 => sign(self.bits()) * (self.below(16_383) as f32 + 0.5),
                5 => sign(self.bits()) * (self.below(2_047) as f32 + 0.5),
                // What rounds up to a power of two.
                6 => sign(self.bits()) * f32::from_bits(0x3FFF_FFFF - self.below(4) as u32),
                7 => self.unit() * 1e-3,
                _ => self.any(),
            })
            .collect();
        match kind % KINDS {
            4 => row[outlier] = 16_383.0,
            5 => row[outlier] = -2_047.0,
            7 => row[outlier] = 3e5,
            _ => {}
        }
        row
    }

    /// Mantissas of at most `limit` in magnitude, the limits among them.
    pub(super) fn mantissas(&mut self, count: usize, limit: i16) -> Vec<i16> {
        let span = 2 * limit as usize + 1;
        (0..count)
            .map(|_| match self.below(8) {
                0 => limit,
                1 => -limit,
                _ => (self.below(span) as i32 - i32::from(limit)) as i16,
            })
            .collect()
    }

    /// Powers of two.
    pub(super) fn scales(&mut self, count: usize) -> Vec<f32> {
        (0..count).map(|_| attune_exact::real::pow2(self.below(24) as i32 - 18)).collect()
    }

    /// A frozen matrix in 8 bits.
    pub(super) fn w8(&mut self, outputs: usize, inputs: usize) -> Frozen {
        quantise8(&self.reals(outputs * inputs, 0.1), inputs).expect("the weights are finite, qed")
    }

    /// A frozen matrix in 4 bits.
    pub(super) fn w4(&mut self, outputs: usize, inputs: usize) -> Packed4 {
        let mut weights = self.reals(outputs * inputs, 0.1);
        // Groups of different sizes, so that multipliers differ.
        for (at, weight) in weights.iter_mut().enumerate() {
            *weight *= [1.0, 0.3, 0.07, 0.6][at % inputs / 32 % 4];
        }
        quantise4(&weights, inputs).expect("the weights are finite, qed")
    }
}
