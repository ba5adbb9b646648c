//! The loops: which tiles are computed in which order, and by whom.
//!
//! A task takes some rows and some columns. It packs as many panels as stay in the second-level cache, then walks
//! its rows once, all packed panels for each block of rows; so the right operand is read from memory once per task,
//! and the left one once per group of panels.

use super::epilogue::{
    padded, prefetch, Add, Base, Begin, Close, Column, Columns, Epilogue, Only, Output, Rows, Target, NOTHING,
};
use super::operands::{Left, Right};
use super::pack::{pack, panel_length, Aligned, Packed};
use super::{Kernel, Sums, Tile, LOW_MASK, MAX_ROWS};
use crate::isa::{Isa, Job};
use crate::threads::Threads;
use std::cell::RefCell;
use std::ops::Range;

/// How much of the second-level cache a group of panels may take: half of the 1 MiB of current server cores, and
/// little enough for the 512 KiB of older ones.
const GROUP_BYTES: usize = 384 << 10;
const GROUP_PANELS: usize = 16;

/// Tasks begin at multiples of this many columns: whole panels on every path.
const UNIT_COLUMNS: usize = 32;

/// Fewer rows than this do not pay for packing the panels once more.
const TASK_ROWS: usize = 64;

/// Tasks per thread, so that a faster thread can take more.
const TASKS_PER_THREAD: usize = 3;

thread_local! {
    /// Panels of this thread; kept, because asking the system for them costs more than filling them.
    static SCRATCH: RefCell<Scratch> = RefCell::default();
}

#[derive(Default)]
struct Scratch {
    panels: Aligned,
    second: Aligned,
}

/// The whole product of `left` `[M, K]` and `right` `[N, K]` to `out` `[M, N]`, spread over the threads.
///
/// # Panics
/// Shapes do not fit each other, or the depth is beyond what sums hold exactly (2^45 over the largest product of two
/// elements: 16 million for 15-bit by 8-bit).
pub fn product(
    isa: Isa,
    threads: &Threads,
    left: &Left<'_>,
    right: &Right<'_>,
    epilogue: &Epilogue<'_>,
    out: Output<'_>,
) {
    assert_eq!(left.depth, right.depth, "the operands' depths");
    let (rows, columns) = (left.rows, right.columns);
    epilogue.check(rows, columns);
    let target = out.target(rows, columns);
    let run = |rows: Range<usize>, columns: Range<usize>| {
        let depth = 0..left.depth;
        task(
            isa,
            Task { left, panels: Panels::Stored(right), depth, rows, columns, epilogue, target: &target },
        );
    };
    if threads.count() == 1 {
        return run(0..rows, 0..columns);
    }
    let wanted = threads.count() * TASKS_PER_THREAD;
    let units = columns.div_ceil(UNIT_COLUMNS).max(1);
    let across = units.div_ceil(units.div_ceil(wanted));
    let down = wanted.div_ceil(across).min(rows / TASK_ROWS).max(1);
    let (width, height) = (units.div_ceil(across) * UNIT_COLUMNS, rows.div_ceil(down));
    threads.for_each(across * down, |index| {
        let (top, start) = (index / across * height, index % across * width);
        run(top.min(rows)..(top + height).min(rows), start.min(columns)..(start + width).min(columns));
    });
}

/// A part of a product on the caller's thread: `left` `[M, depth.len()]`, whose first column is k `depth.start`, times
/// `columns` of a packed operand, to `out` `[M, columns.len()]`. The epilogue, too, counts columns from
/// `columns.start`.
///
/// # Panics
/// As [`product()`]; or a range does not lie in what was packed.
pub fn block(
    left: &Left<'_>,
    packed: &Packed,
    columns: Range<usize>,
    depth: Range<usize>,
    epilogue: &Epilogue<'_>,
    out: Output<'_>,
) {
    assert!(
        columns.start <= columns.end && columns.end <= packed.columns,
        "{columns:?} of {}",
        packed.columns
    );
    assert!(depth.start <= depth.end && depth.end <= packed.depth, "{depth:?} of {}", packed.depth);
    assert_eq!(left.depth, depth.len(), "the left operand's depth");
    epilogue.check(left.rows, columns.len());
    let target = &out.target(left.rows, columns.len());
    let panels = Panels::Packed { packed, skipped: columns.start };
    let (rows, columns) = (0..left.rows, 0..columns.len());
    task(packed.isa, Task { left, panels, depth, rows, columns, epilogue, target });
}

/// Where a task's panels come from.
enum Panels<'a> {
    /// It packs them itself.
    Stored(&'a Right<'a>),
    /// They are there; the product's first column is their column `skipped`.
    Packed { packed: &'a Packed, skipped: usize },
}

struct Task<'a> {
    left: &'a Left<'a>,
    panels: Panels<'a>,
    /// The k's of the panels that the left operand's columns are.
    depth: Range<usize>,
    rows: Range<usize>,
    columns: Range<usize>,
    epilogue: &'a Epilogue<'a>,
    /// Tasks that run at the same time have rows or columns of their own.
    target: &'a Target<'a>,
}

fn task(isa: Isa, task: Task<'_>) {
    if task.rows.is_empty() || task.columns.is_empty() {
        return;
    }
    SCRATCH.with_borrow_mut(|scratch| isa.enter(TaskJob { task, scratch }));
}

struct TaskJob<'a, 's> {
    task: Task<'a>,
    scratch: &'s mut Scratch,
}

/// The part of a second product that falls into one panel.
struct SecondPanel<const C: usize> {
    second: usize,
    /// Where its panel starts in the scratch memory.
    at: usize,
    length: usize,
    /// Its columns' scales, 0 elsewhere.
    factor: [f32; C],
    /// Which of the product's panel's columns it is added to.
    valid: (usize, usize),
    period: usize,
}

/// After how many pairs an i32 that starts with `LOW_MASK` has to be emptied.
fn period(left: &Left<'_>, bound: i64) -> usize {
    let largest = left.width.max() * bound;
    let exact = i64::try_from(left.depth).ok().and_then(|depth| depth.checked_mul(largest));
    assert!(
        exact.is_some_and(|sum| sum <= 1 << 45),
        "a sum of {} products is too long to be exact",
        left.depth
    );
    let pairs = (i64::from(i32::MAX) - i64::from(LOW_MASK)) / (2 * largest);
    usize::try_from(pairs).expect("positive and below 2^31; qed")
}

impl Job for TaskJob<'_, '_> {
    #[inline(always)]
    fn run<K: Kernel<C>, const C: usize>(self, kernel: K) {
        let TaskJob { task, scratch } = self;
        let Scratch { panels: own, second: own_second } = scratch;
        let (skipped, bound, packed_depth) = match task.panels {
            Panels::Stored(right) => (0, right.bound, right.depth),
            Panels::Packed { packed, skipped } => (skipped, packed.bound, packed.depth),
        };
        let length = panel_length::<C>(packed_depth);
        let period = period(task.left, bound);
        // From here on columns are counted as the panels have them.
        let (first, last) = (task.columns.start + skipped, task.columns.end + skipped);
        let panels = first / C..last.div_ceil(C);
        let group = (GROUP_BYTES / (2 * length).max(1)).clamp(1, GROUP_PANELS);
        let mut columns: Vec<Columns<C>> = Vec::with_capacity(group);
        let mut seconds: Vec<SecondPanel<C>> = Vec::new();
        let mut work = Work { sums: Sums::ZERO, y: [[0.0; C]; MAX_ROWS] };
        for start in panels.clone().step_by(group) {
            let panels = start..panels.end.min(start + group);
            let packed = match task.panels {
                Panels::Stored(right) => {
                    let panels_columns = panels.start * C..last.min(panels.end * C);
                    let to = own.get(panels.len() * length);
                    pack(kernel, right, panels_columns, 0, task.depth.clone(), to);
                    &*to
                }
                Panels::Packed { packed, .. } => &packed.panels()[panels.start * length..],
            };
            columns.clear();
            seconds.clear();
            for panel in panels.clone() {
                let valid = (first.max(panel * C) - panel * C, last.min((panel + 1) * C) - panel * C);
                let at = panel * C + valid.0 - skipped;
                columns.push(panel_columns(task.epilogue, valid, at));
            }
            let used = pack_seconds(kernel, task.epilogue, &mut columns, &mut seconds, own_second);
            let second_panels = &own_second.get(used)[..used];
            let (task, columns, seconds, panels) = (&task, &columns, &seconds, packed);
            RowBlocks { task, columns, seconds, panels, second_panels, length, period }
                .run(kernel, &mut work);
        }
    }
}

#[inline(always)]
fn panel_columns<const C: usize>(epilogue: &Epilogue<'_>, valid: (usize, usize), first: usize) -> Columns<C> {
    let (Column::Scale(factor) | Column::Divide(factor)) = epilogue.column;
    let factor = padded(factor, first, valid, 1.0);
    let bias = epilogue.bias.map_or([NOTHING; C], |bias| padded(bias, first, valid, NOTHING));
    Columns { factor, bias, valid, first, seconds: (0, 0) }
}

/// Packs what the second products have in these panels, and tells each panel which are its own; returns how much
/// memory they take.
#[inline(always)]
fn pack_seconds<K: Kernel<C>, const C: usize>(
    kernel: K,
    epilogue: &Epilogue<'_>,
    columns: &mut [Columns<C>],
    seconds: &mut Vec<SecondPanel<C>>,
    memory: &mut Aligned,
) -> usize {
    let mut at = 0;
    for panel in columns {
        let (from, to) = (panel.first, panel.first + panel.valid.1 - panel.valid.0);
        panel.seconds.0 = seconds.len();
        for (index, second) in epilogue.second.iter().enumerate() {
            // The product's columns that both have.
            let (start, end) = (from.max(second.columns.start), to.min(second.columns.end));
            if start >= end {
                continue;
            }
            let valid = (start - from + panel.valid.0, end - from + panel.valid.0);
            let own = start - second.columns.start..end - second.columns.start;
            let length = panel_length::<C>(second.right.depth);
            // Its columns stand in its panel where they stand in the product's.
            let panels = &mut memory.get(at + length)[at..at + length];
            pack(kernel, &second.right, own.clone(), valid.0, 0..second.right.depth, panels);
            let factor = padded(second.column_scale, own.start, valid, 0.0);
            let period = period(&second.left, second.right.bound);
            seconds.push(SecondPanel { second: index, at, length, factor, valid, period });
            at += length;
        }
        panel.seconds.1 = seconds.len();
    }
    at
}

/// All rows of a task by one group of panels.
struct RowBlocks<'a, const C: usize> {
    task: &'a Task<'a>,
    columns: &'a [Columns<C>],
    seconds: &'a [SecondPanel<C>],
    panels: &'a [i16],
    second_panels: &'a [i16],
    length: usize,
    period: usize,
}

/// What a tile is made in.
struct Work<const C: usize> {
    sums: Sums<C>,
    y: Rows<C>,
}

impl<const C: usize> RowBlocks<'_, C> {
    #[inline(always)]
    fn run<K: Kernel<C>>(&self, kernel: K, work: &mut Work<C>) {
        let rows = &self.task.rows;
        // Blocks of nearly the same height: 12 and 4 rows would leave the second tile waiting for its operands.
        let blocks = rows.len().div_ceil(K::ROWS);
        let mut start = rows.start;
        for block in 0..blocks {
            let end = rows.start + rows.len() * (block + 1) / blocks;
            for (panel, columns) in self.columns.iter().enumerate() {
                self.tile(kernel, start..end, &self.panels[panel * self.length..], columns, work);
            }
            start = end;
        }
    }

    #[inline(always)]
    fn tile<K: Kernel<C>>(
        &self,
        kernel: K,
        rows: Range<usize>,
        panel: &[i16],
        columns: &Columns<C>,
        work: &mut Work<C>,
    ) {
        let Work { sums, y } = work;
        let Task { left, depth, epilogue, target, .. } = self.task;
        let panel = &panel[depth.start / 2 * 2 * C..];
        let head = !depth.start.is_multiple_of(2);
        prefetch(kernel, epilogue, target, rows.clone(), columns.first);
        let first = tile(left, rows.clone(), panel, columns.valid.1, self.period);
        let spilled = sum(kernel, &Tile { head, ..first }, sums);
        let seconds = &self.seconds[columns.seconds.0..columns.seconds.1];
        let base = Base { epilogue, columns, sums, spilled, rows: rows.clone() };
        // SAFETY: this task alone has these rows and columns.
        let base = match unsafe { Only::new(base, target) } {
            Ok(only) => return kernel.apart(only),
            Err(base) => base,
        };
        kernel.apart(Begin { base, y });
        for panel in seconds {
            let SecondPanel { factor, valid, .. } = panel;
            let second = &epilogue.second[panel.second];
            let packed = &self.second_panels[panel.at..panel.at + panel.length];
            let tile = tile(&second.left, rows.clone(), packed, valid.1, panel.period);
            let spilled = sum(kernel, &tile, sums);
            let scales = &second.row_scale[rows.clone()];
            kernel.apart(Add { scales, factor, valid: *valid, sums, spilled, y });
        }
        // SAFETY: this task alone has these rows and columns.
        kernel.apart(unsafe { Close::new(epilogue, columns, rows, target, y) });
    }
}

/// Some rows of `left` by one panel, which begins with the first k.
#[inline(always)]
fn tile<'a>(
    left: &Left<'a>,
    rows: Range<usize>,
    panel: &'a [i16],
    columns: usize,
    period: usize,
) -> Tile<'a> {
    let (stride, depth) = (left.stride, left.depth);
    let left = &left.data[rows.start * stride..];
    Tile { left, stride, rows: rows.len(), depth, panel, head: false, columns, period }
}

/// The sums of a tile; true if they spilled.
#[inline(always)]
fn sum<K: Kernel<C>, const C: usize>(kernel: K, tile: &Tile<'_>, sums: &mut Sums<C>) -> bool {
    if tile.depth == 0 {
        sums.low = [[0; C]; MAX_ROWS];
        return false;
    }
    kernel.tile(tile, sums)
}
