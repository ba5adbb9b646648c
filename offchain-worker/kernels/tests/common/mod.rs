//! The plain definition of a product, and operands to try it on.

use attune_kernels::{
    block, product, Column, Epilogue, Isa, Layout, Left, Output, Packed, Residual, Right, Second, Threads,
    Width,
};
use std::ops::Range;

/// A small generator (SplitMix64), so that a failing case is named by its seed.
pub(crate) struct Random(pub u64);

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub(crate) fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound as u64) as usize
    }

    pub(crate) fn flag(&mut self) -> bool {
        self.below(2) == 1
    }

    /// From −bound to bound; one in four is a bound, so that sums grow.
    pub(crate) fn integer(&mut self, bound: i64) -> i64 {
        match self.below(8) {
            0 => bound,
            1 => -bound,
            _ => (self.next() % (2 * bound as u64 + 1)) as i64 - bound,
        }
    }

    /// A scale as rows have them: mostly moderate, sometimes so large or small that results overflow or go subnormal.
    pub(crate) fn scale(&mut self) -> f32 {
        let mantissa = 1.0 + (self.next() % (1 << 23)) as f32 / (1 << 23) as f32;
        let exponent = match self.below(8) {
            0 => -120,
            1 => 100,
            2 => -70,
            _ => self.below(30) as i32 - 25,
        };
        mantissa * 2f32.powi(exponent) * if self.below(4) == 0 { -1.0 } else { 1.0 }
    }

    pub(crate) fn real(&mut self) -> f32 {
        match self.below(16) {
            0 => -0.0,
            1 => f32::MIN_POSITIVE / 3.0,
            _ => self.scale(),
        }
    }

    pub(crate) fn reals(&mut self, length: usize, value: impl Fn(&mut Random) -> f32) -> Vec<f32> {
        (0..length).map(|_| value(self)).collect()
    }
}

/// A left operand with room between its rows.
#[derive(Clone, Debug)]
pub(crate) struct OwnedLeft {
    pub data: Vec<i16>,
    pub rows: usize,
    pub depth: usize,
    pub stride: usize,
    pub width: Width,
}

impl OwnedLeft {
    pub(crate) fn random(random: &mut Random, rows: usize, depth: usize, width: Width) -> OwnedLeft {
        let stride = depth + random.below(4);
        // Not one element more than the view needs: a read beyond the end would leave the allocation.
        let length = if rows == 0 { 0 } else { (rows - 1) * stride + depth };
        let data = (0..length).map(|_| random.integer(width.max()) as i16).collect();
        OwnedLeft { data, rows, depth, stride, width }
    }

    pub(crate) fn view(&self) -> Left<'_> {
        Left::new(&self.data, self.rows, self.depth, self.stride, self.width)
    }

    pub(crate) fn at(&self, m: usize, k: usize) -> i64 {
        i64::from(self.data[m * self.stride + k])
    }
}

/// What a right operand is made of.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Kind {
    Int8,
    Int16(Width),
    Nibbles { group: usize },
}

#[derive(Clone, Debug)]
pub(crate) struct OwnedRight {
    kind: Kind,
    layout: Layout,
    pub columns: usize,
    pub depth: usize,
    stride: usize,
    bytes: Vec<i8>,
    words: Vec<i16>,
    nibbles: Vec<u8>,
    multipliers: Vec<u8>,
    /// `[columns, depth]`.
    values: Vec<i64>,
}

impl OwnedRight {
    pub(crate) fn random(
        random: &mut Random,
        columns: usize,
        depth: usize,
        kind: Kind,
        layout: Layout,
    ) -> OwnedRight {
        let (rows, length) = if layout == Layout::NK { (columns, depth) } else { (depth, columns) };
        let stride = length + random.below(4);
        let total = if rows == 0 { 0 } else { (rows - 1) * stride + length };
        let (mut bytes, mut words, mut nibbles, mut multipliers) = (vec![], vec![], vec![], vec![]);
        match kind {
            Kind::Int8 => bytes = (0..total).map(|_| random.integer(127) as i8).collect(),
            Kind::Int16(width) => words = (0..total).map(|_| random.integer(width.max()) as i16).collect(),
            Kind::Nibbles { group } => {
                nibbles = (0..rows * length.div_ceil(2)).map(|_| random.next() as u8).collect();
                multipliers =
                    (0..rows * length.div_ceil(group)).map(|_| 1 + random.below(16) as u8).collect();
            }
        }
        let mut right = OwnedRight {
            kind,
            layout,
            columns,
            depth,
            stride,
            bytes,
            words,
            nibbles,
            multipliers,
            values: vec![],
        };
        right.expand();
        right
    }

    /// Plain numbers, chosen by stored row and place in the row.
    pub(crate) fn filled(
        columns: usize,
        depth: usize,
        kind: Kind,
        layout: Layout,
        value: impl Fn(usize, usize) -> i64,
    ) -> OwnedRight {
        let mut right = OwnedRight::random(&mut Random(1), columns, depth, kind, layout);
        let stride = right.stride;
        right.bytes.iter_mut().enumerate().for_each(|(i, to)| *to = value(i / stride, i % stride) as i8);
        right.words.iter_mut().enumerate().for_each(|(i, to)| *to = value(i / stride, i % stride) as i16);
        right.expand();
        right
    }

    fn expand(&mut self) {
        let (rows, length) =
            if self.layout == Layout::NK { (self.columns, self.depth) } else { (self.depth, self.columns) };
        let mut stored = vec![0; rows * length];
        for row in 0..rows {
            for i in 0..length {
                stored[row * length + i] = match self.kind {
                    Kind::Int8 => i64::from(self.bytes[row * self.stride + i]),
                    Kind::Int16(_) => i64::from(self.words[row * self.stride + i]),
                    Kind::Nibbles { group } => {
                        let byte = self.nibbles[row * length.div_ceil(2) + i / 2];
                        let nibble = if i % 2 == 0 { byte & 15 } else { byte >> 4 };
                        let multiplier = self.multipliers[row * length.div_ceil(group) + i / group];
                        (i64::from(nibble) - 8) * i64::from(multiplier)
                    }
                };
            }
        }
        self.values = (0..self.columns * self.depth)
            .map(|i| (i / self.depth.max(1), i % self.depth.max(1)))
            .map(
                |(n, k)| {
                    if self.layout == Layout::NK {
                        stored[n * length + k]
                    } else {
                        stored[k * length + n]
                    }
                },
            )
            .collect();
    }

    pub(crate) fn view(&self) -> Right<'_> {
        let (columns, depth, layout) = (self.columns, self.depth, self.layout);
        match self.kind {
            Kind::Int8 => Right::int8(&self.bytes, columns, depth, self.stride, layout),
            Kind::Int16(width) => Right::int16(&self.words, columns, depth, self.stride, width, layout),
            Kind::Nibbles { group } => {
                Right::nibbles(&self.nibbles, &self.multipliers, group, columns, depth, layout)
            }
        }
    }

    pub(crate) fn at(&self, n: usize, k: usize) -> i64 {
        self.values[n * self.depth + k]
    }
}

/// A second product with all that it owns.
#[derive(Clone, Debug)]
pub(crate) struct OwnedSecond {
    pub columns: Range<usize>,
    pub left: OwnedLeft,
    /// Which columns of `left` it uses.
    pub part: Range<usize>,
    pub right: OwnedRight,
    pub row_scale: Vec<f32>,
    pub column_scale: Vec<f32>,
}

/// An epilogue with all that it owns.
#[derive(Clone, Debug)]
pub(crate) struct OwnedEpilogue {
    pub row_scale: Vec<f32>,
    pub column: Vec<f32>,
    pub divide: bool,
    pub constant: Option<f32>,
    pub bias: Option<Vec<f32>>,
    pub second: Vec<OwnedSecond>,
    pub residual: Option<(Vec<f32>, usize)>,
    pub transposed: bool,
    pub accumulate: bool,
}

impl OwnedEpilogue {
    pub(crate) fn plain(random: &mut Random, rows: usize, columns: usize) -> OwnedEpilogue {
        OwnedEpilogue {
            row_scale: random.reals(rows, Random::scale),
            column: random.reals(columns, Random::scale),
            divide: false,
            constant: None,
            bias: None,
            second: vec![],
            residual: None,
            transposed: false,
            accumulate: false,
        }
    }

    pub(crate) fn random(random: &mut Random, rows: usize, columns: usize) -> OwnedEpilogue {
        let mut epilogue = OwnedEpilogue::plain(random, rows, columns);
        epilogue.divide = random.below(4) == 0;
        epilogue.constant = random.flag().then(|| random.scale());
        epilogue.bias = random.flag().then(|| random.reals(columns, Random::real));
        if random.flag() {
            let stride = columns + random.below(3);
            epilogue.residual = Some((random.reals(rows * stride, Random::real), stride));
        }
        epilogue.transposed = random.below(4) == 0;
        epilogue.accumulate = random.below(3) == 0;
        if random.flag() {
            // Parts as LoRA has them: neighbouring column ranges, each with columns of one left operand.
            let rank = 1 + random.below(20);
            let cut = random.below(columns + 1);
            let left = OwnedLeft::random(random, rows, 2 * rank, Width::Narrow);
            let row_scale = random.reals(rows, Random::scale);
            for (part, range) in [0..cut, cut..columns].into_iter().enumerate() {
                let layout = if random.flag() { Layout::NK } else { Layout::KN };
                epilogue.second.push(OwnedSecond {
                    left: left.clone(),
                    part: part * rank..(part + 1) * rank,
                    right: OwnedRight::random(random, range.len(), rank, Kind::Int16(Width::Wide), layout),
                    row_scale: row_scale.clone(),
                    column_scale: random.reals(range.len(), Random::scale),
                    columns: range,
                });
            }
        }
        epilogue
    }

    fn with<T>(&self, run: impl FnOnce(&Epilogue<'_>) -> T) -> T {
        let second: Vec<Second<'_>> = self
            .second
            .iter()
            .map(|second| Second {
                columns: second.columns.clone(),
                left: second.left.view().columns(second.part.clone()),
                right: second.right.view(),
                row_scale: &second.row_scale,
                column_scale: &second.column_scale,
            })
            .collect();
        run(&Epilogue {
            row_scale: &self.row_scale,
            column: if self.divide { Column::Divide(&self.column) } else { Column::Scale(&self.column) },
            constant: self.constant,
            bias: self.bias.as_deref(),
            second: &second,
            residual: self.residual.as_ref().map(|(data, stride)| Residual { data, stride: *stride }),
        })
    }
}

/// RN of an exact integer.
fn rounded(sum: i64) -> f32 {
    sum as f32
}

/// The definition, by plain loops. `before` is what the output held.
pub(crate) fn reference(
    rows: usize,
    columns: usize,
    sum: impl Fn(usize, usize) -> i64,
    epilogue: &OwnedEpilogue,
    before: impl Fn(usize, usize) -> f32,
) -> Vec<f32> {
    let mut out = vec![0.0; rows * columns];
    for m in 0..rows {
        for n in 0..columns {
            let sum = rounded(sum(m, n));
            let mut y = if epilogue.divide {
                let scaled = sum * epilogue.row_scale[m];
                scaled / epilogue.column[n]
            } else {
                let scale = epilogue.row_scale[m] * epilogue.column[n];
                sum * scale
            };
            if let Some(constant) = epilogue.constant {
                y *= constant;
            }
            if let Some(bias) = &epilogue.bias {
                y += bias[n];
            }
            for second in epilogue.second.iter().filter(|second| second.columns.contains(&n)) {
                let own = n - second.columns.start;
                let sum: i64 = (0..second.right.depth)
                    .map(|k| second.left.at(m, second.part.start + k) * second.right.at(own, k))
                    .sum();
                let scale = second.row_scale[m] * second.column_scale[own];
                let lora = rounded(sum) * scale;
                y += lora;
            }
            if let Some((residual, stride)) = &epilogue.residual {
                y += residual[m * stride + n];
            }
            out[m * columns + n] = if epilogue.accumulate { before(m, n) + y } else { y };
        }
    }
    out
}

/// An output buffer with room between its rows, which nobody may touch.
struct Buffer {
    data: Vec<f32>,
    stride: usize,
    rows: usize,
    columns: usize,
    transposed: bool,
}

impl Buffer {
    const UNTOUCHED: f32 = 12345.678;

    fn before(m: usize, n: usize) -> f32 {
        (m as f32 - 3.0) * 0.37 + n as f32
    }

    fn new(rows: usize, columns: usize, epilogue: &OwnedEpilogue) -> Buffer {
        let transposed = epilogue.transposed;
        let (height, width) = if transposed { (columns, rows) } else { (rows, columns) };
        let stride = width + 3;
        let mut buffer =
            Buffer { data: vec![Self::UNTOUCHED; height * stride], stride, rows, columns, transposed };
        for m in 0..rows {
            for n in 0..columns {
                let at = buffer.at(m, n);
                buffer.data[at] = Self::before(m, n);
            }
        }
        buffer
    }

    fn at(&self, m: usize, n: usize) -> usize {
        if self.transposed {
            n * self.stride + m
        } else {
            m * self.stride + n
        }
    }

    fn output(&mut self, accumulate: bool) -> Output<'_> {
        let output = if self.transposed {
            Output::transposed(&mut self.data, self.stride)
        } else {
            Output::rows(&mut self.data, self.stride)
        };
        if accumulate {
            output.accumulate()
        } else {
            output
        }
    }

    fn compare(&self, expected: &[f32], what: &str) {
        let mut data = self.data.clone();
        for m in 0..self.rows {
            for n in 0..self.columns {
                let (found, expected) = (self.data[self.at(m, n)], expected[m * self.columns + n]);
                // Which NaN it is differs between processors; training stops at any.
                assert!(
                    found.to_bits() == expected.to_bits() || (found.is_nan() && expected.is_nan()),
                    "{what}: out[{m}][{n}] of [{}, {}]: expected {expected:e} ({:#x}), found {found:e} ({:#x})",
                    self.rows,
                    self.columns,
                    expected.to_bits(),
                    found.to_bits(),
                );
                data[self.at(m, n)] = Self::UNTOUCHED;
            }
        }
        assert!(
            data.iter().all(|value| *value == Self::UNTOUCHED),
            "{what}: wrote between the output's rows"
        );
    }
}

/// Every path and each of these pools yields the definition's bits.
pub(crate) fn check_product(
    left: &OwnedLeft,
    right: &OwnedRight,
    epilogue: &OwnedEpilogue,
    pools: &[Threads],
) {
    let (rows, columns, depth) = (left.rows, right.columns, right.depth);
    let sum = |m, n| (0..depth).map(|k| left.at(m, k) * right.at(n, k)).sum();
    let expected = reference(rows, columns, sum, epilogue, Buffer::before);
    for isa in Isa::available() {
        for threads in pools {
            let mut buffer = Buffer::new(rows, columns, epilogue);
            epilogue.with(|parts| {
                let output = buffer.output(epilogue.accumulate);
                product(isa, threads, &left.view(), &right.view(), parts, output);
            });
            buffer.compare(&expected, &format!("{isa}, {} threads, depth {depth}", threads.count()));
        }
    }
}

/// The same for a block of a packed operand: packed columns and depth, then of those the block's.
pub(crate) fn check_block(
    left: &OwnedLeft,
    right: &OwnedRight,
    epilogue: &OwnedEpilogue,
    packed_columns: Range<usize>,
    packed_depth: Range<usize>,
    columns: Range<usize>,
    depth: Range<usize>,
) {
    let (n0, k0) = (packed_columns.start + columns.start, packed_depth.start + depth.start);
    let sum = |m, n| (0..depth.len()).map(|k| left.at(m, k) * right.at(n0 + n, k0 + k)).sum();
    let expected = reference(left.rows, columns.len(), sum, epilogue, Buffer::before);
    for isa in Isa::available() {
        let mut packed = Packed::new(isa);
        packed.pack(&right.view(), 0..right.columns, 0..right.depth);
        packed.pack(&right.view(), packed_columns.clone(), packed_depth.clone());
        let mut buffer = Buffer::new(left.rows, columns.len(), epilogue);
        epilogue.with(|parts| {
            let output = buffer.output(epilogue.accumulate);
            block(&left.view(), &packed, columns.clone(), depth.clone(), parts, output);
        });
        buffer.compare(&expected, &format!("{isa}, columns {columns:?}, depth {depth:?}"));
    }
}
