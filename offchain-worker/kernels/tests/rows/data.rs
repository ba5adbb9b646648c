//! Rows to try, and comparison by bits.

use attune_kernels::Isa;

/// Lengths around the sizes of vectors, and some of models.
pub(crate) const LENGTHS: [usize; 14] = [1, 2, 3, 7, 8, 15, 17, 31, 64, 65, 100, 127, 576, 1031];

/// Runs a test on each path of this machine.
pub(crate) fn on_every_isa(test: impl Fn(Isa)) {
    Isa::available().into_iter().for_each(test);
}

/// A small generator (xorshift64*), seeded by name so that tests do not share rows.
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(name: &str) -> Random {
        Random(
            name.bytes().fold(0x9E37_79B9_7F4A_7C15, |seed, byte| {
                (seed ^ u64::from(byte)).wrapping_mul(0x100_0000_01B3)
            }) | 1,
        )
    }

    pub(crate) fn word(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }

    pub(crate) fn below(&mut self, bound: usize) -> usize {
        ((self.word() >> 32) as usize) % bound
    }

    /// In −scale..scale.
    pub(crate) fn real(&mut self, scale: f32) -> f32 {
        ((self.word() >> 40) as f32 / (1 << 23) as f32 - 1.0) * scale
    }

    /// Any finite bits.
    pub(crate) fn finite(&mut self) -> f32 {
        loop {
            let x = f32::from_bits((self.word() >> 32) as u32);
            if x.is_finite() {
                return x;
            }
        }
    }

    pub(crate) fn row(&mut self, n: usize, scale: f32) -> Vec<f32> {
        (0..n).map(|_| self.real(scale)).collect()
    }

    pub(crate) fn integers(&mut self, n: usize, limit: i16) -> Vec<i16> {
        (0..n).map(|_| (self.below(2 * limit as usize + 1) as i32 - i32::from(limit)) as i16).collect()
    }
}

/// Rows of `n` finite reals, from plain to mean.
pub(crate) fn rows(n: usize) -> Vec<(&'static str, Vec<f32>)> {
    let mut random = Random::new("rows");
    let mut any =
        |f: &mut dyn FnMut(&mut Random) -> f32| -> Vec<f32> { (0..n).map(|_| f(&mut random)).collect() };
    let extremes =
        [f32::MAX, f32::MIN, f32::MIN_POSITIVE, -f32::from_bits(1), 0.0, -0.0, 1.0, -1.0, f32::EPSILON];
    let mut outlier = any(&mut |random| random.real(1e-3));
    outlier[n / 2] = -777.0;
    let mut huge = any(&mut |random| random.real(1.0));
    huge[n - 1] = 3e38;
    let mut ties = any(&mut |random| (random.below(1 << 15) as f32 - 16_384.0 + 0.5) / 8192.0);
    ties[0] = 1.999_999_9;
    let mut narrow_ties = any(&mut |random| (random.below(1 << 12) as f32 - 2048.0 + 0.5) / 1024.0);
    narrow_ties[0] = -1.999_999_9;
    vec![
        ("plain", any(&mut |random| random.real(2.0))),
        ("small", any(&mut |random| random.real(1e-20))),
        ("large", any(&mut |random| random.real(1e15))),
        ("any bits", any(&mut Random::finite)),
        ("extremes", any(&mut |random| extremes[random.below(extremes.len())])),
        ("zeros", vec![0.0; n]),
        ("negative zeros", vec![-0.0; n]),
        ("subnormals", any(&mut |random| f32::from_bits(random.below(1 << 23) as u32))),
        ("about the lowest exponent", any(&mut |random| random.real(1.6e-30))),
        ("all equal", vec![-0.3; n]),
        ("just under a power", vec![f32::from_bits(0x3FFF_FFFF); n]),
        ("one outlier", outlier),
        ("one huge", huge),
        ("ties", ties),
        ("narrow ties", narrow_ties),
    ]
}

/// Each way in which a row can fail a check, at a few places.
pub(crate) fn poisoned(row: &[f32]) -> Vec<Vec<f32>> {
    let poisons = [f32::NAN, -f32::NAN, f32::INFINITY, f32::NEG_INFINITY, f32::from_bits(0x7F80_0001)];
    let places = [0, row.len() / 2, row.len() - 1];
    let with = |place: usize, poison| {
        let mut row = row.to_vec();
        row[place] = poison;
        row
    };
    places.into_iter().flat_map(|place| poisons.map(|poison| with(place, poison))).collect()
}

/// The bits of a row; of NaN, which has many, one.
pub(crate) fn bits(row: &[f32]) -> Vec<u32> {
    row.iter().map(|x| if x.is_nan() { 0x7FC0_0000 } else { x.to_bits() }).collect()
}
