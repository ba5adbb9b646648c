//! Panels: the right operand in the order in which tiles read it.
//!
//! `panel[pair][column][2]` as i16, `C` columns wide, with zeros where columns or the last k are missing. Packing
//! widens (int8, 4-bit) and transposes once for all rows of the left operand.

use super::operands::{Layout, Right, Source, Values};
use super::{Kernel, Stage, CHUNK};
use crate::isa::{Isa, Job};
use std::ops::Range;

/// Memory that starts on a cache line, so that no vector of a panel straddles two.
#[derive(Default)]
pub(crate) struct Aligned {
    lines: Vec<Line>,
}

#[derive(Clone, Copy)]
#[repr(C, align(64))]
struct Line([i16; 32]);

impl Aligned {
    /// At least `length` elements, whatever they hold.
    pub(crate) fn get(&mut self, length: usize) -> &mut [i16] {
        let lines = length.div_ceil(32);
        if self.lines.len() < lines {
            self.lines.resize(lines, Line([0; 32]));
        }
        // SAFETY: a line is 32 i16 without padding (its size is its alignment), and all of them are initialised.
        unsafe { std::slice::from_raw_parts_mut(self.lines.as_mut_ptr().cast(), self.lines.len() * 32) }
    }

    fn all(&self) -> &[i16] {
        // SAFETY: as above.
        unsafe { std::slice::from_raw_parts(self.lines.as_ptr().cast(), self.lines.len() * 32) }
    }
}

/// How many elements one panel takes; whole chunks, so that transposing needs no special end.
pub(crate) fn panel_length<const C: usize>(depth: usize) -> usize {
    depth.div_ceil(CHUNK) * CHUNK * C
}

/// Packs `columns` (at most as many as the panels hold) from k `depth.start` on into `panels`; the first of them
/// becomes column `skip` of its panel.
#[inline(always)]
pub(crate) fn pack<K: Kernel<C>, const C: usize>(
    kernel: K,
    right: &Right<'_>,
    columns: Range<usize>,
    skip: usize,
    depth: Range<usize>,
    panels: &mut [i16],
) {
    let layout = right.layout;
    match right.values {
        Values::Int8(source) => kernel.apart(Pack { kernel, source, layout, columns, skip, depth, panels }),
        Values::Int16(source) => kernel.apart(Pack { kernel, source, layout, columns, skip, depth, panels }),
        Values::Nibbles(source) => {
            kernel.apart(Pack { kernel, source, layout, columns, skip, depth, panels })
        }
    }
}

struct Pack<'a, K, S, const C: usize> {
    kernel: K,
    source: S,
    layout: Layout,
    columns: Range<usize>,
    skip: usize,
    depth: Range<usize>,
    panels: &'a mut [i16],
}

impl<K: Kernel<C>, S: Source, const C: usize> Stage for Pack<'_, K, S, C> {
    #[inline(always)]
    fn run(self) {
        if self.depth.is_empty() {
            return;
        }
        match self.layout {
            Layout::NK => self.columns_of_rows(),
            Layout::KN => self.rows_of_columns(),
        }
    }
}

impl<K: Kernel<C>, S: Source, const C: usize> Pack<'_, K, S, C> {
    /// One panel after the other, a chunk of its columns' k's at a time.
    #[inline(always)]
    fn columns_of_rows(self) {
        let Pack { kernel, source, columns, skip, depth, panels, .. } = self;
        let mut block = [[0; CHUNK]; C];
        let starts = (columns.start..columns.end + skip).step_by(C);
        for (start, panel) in starts.zip(panels.chunks_exact_mut(panel_length::<C>(depth.len()))) {
            for (k, to) in depth.clone().step_by(CHUNK).zip(panel.chunks_exact_mut(CHUNK * C)) {
                for (column, row) in block.iter_mut().enumerate() {
                    let column = (start + column).wrapping_sub(skip);
                    if columns.contains(&column) {
                        source.read(kernel, column, k, CHUNK.min(depth.end - k), row);
                    } else {
                        *row = [0; CHUNK];
                    }
                }
                kernel.transpose(&block, to);
            }
        }
    }

    /// All panels for one pair of k's, so that memory is read along the stored rows.
    #[inline(always)]
    fn rows_of_columns(self) {
        let Pack { kernel, source, columns, skip, depth, panels, .. } = self;
        for (pair, k) in depth.clone().step_by(2).enumerate() {
            let (mut at, mut skip) = (columns.start, skip);
            for panel in panels.chunks_exact_mut(panel_length::<C>(depth.len())) {
                let length = (C - skip).min(columns.end - at);
                let (mut first, mut second) = ([0; C], [0; C]);
                source.read(kernel, k, at, length, &mut first);
                if k + 1 < depth.end {
                    source.read(kernel, k + 1, at, length, &mut second);
                }
                if skip > 0 {
                    first.rotate_right(skip);
                    second.rotate_right(skip);
                }
                let to = panel[pair * 2 * C..].as_chunks_mut().0;
                kernel.interleave(&first, &second, to[..C].as_mut_array().expect("C of them; qed"));
                at += length;
                skip = 0;
                if at == columns.end {
                    break;
                }
            }
        }
    }
}

/// A right operand packed ahead, for many calls of [`block()`](crate::block()).
///
/// One value can be packed again and again; its memory stays.
pub struct Packed {
    pub(crate) isa: Isa,
    pub(crate) columns: usize,
    pub(crate) depth: usize,
    pub(crate) bound: i64,
    panels: Aligned,
}

impl Packed {
    /// Nothing yet: no columns, no depth.
    pub fn new(isa: Isa) -> Packed {
        Packed { isa, columns: 0, depth: 0, bound: 0, panels: Aligned::default() }
    }

    /// Packs these columns and this part of the depth of `right`, in place of what was there. In calls that use it,
    /// both count from 0.
    ///
    /// # Panics
    /// A range does not lie in the operand.
    pub fn pack(&mut self, right: &Right<'_>, columns: Range<usize>, depth: Range<usize>) {
        assert!(
            columns.start <= columns.end && columns.end <= right.columns,
            "{columns:?} of {}",
            right.columns
        );
        assert!(depth.start <= depth.end && depth.end <= right.depth, "{depth:?} of {}", right.depth);
        (self.columns, self.depth, self.bound) = (columns.len(), depth.len(), right.bound);
        self.isa.enter(PackJob { right, columns, depth, panels: &mut self.panels });
    }

    /// How many columns were packed.
    pub fn columns(&self) -> usize {
        self.columns
    }

    /// How many k's were packed.
    pub fn depth(&self) -> usize {
        self.depth
    }

    /// All panels, each [`panel_length`] long.
    pub(crate) fn panels(&self) -> &[i16] {
        self.panels.all()
    }
}

struct PackJob<'a> {
    right: &'a Right<'a>,
    columns: Range<usize>,
    depth: Range<usize>,
    panels: &'a mut Aligned,
}

impl Job for PackJob<'_> {
    #[inline(always)]
    fn run<K: Kernel<C>, const C: usize>(self, kernel: K) {
        let length = self.columns.len().div_ceil(C) * panel_length::<C>(self.depth.len());
        pack(kernel, self.right, self.columns, 0, self.depth, self.panels.get(length));
    }
}
