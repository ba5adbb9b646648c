//! The parameters of each kernel, field by field as the structs of the same names in `kernels/`. The host's table of kernels
//! refuses a struct of another size, so a difference shows in the first test.

/// What a kernel takes.
///
/// # Safety
/// `#[repr(C)]`, and the same fields as the kernel's struct.
pub(crate) unsafe trait Params: Copy {}

macro_rules! params {
    ($(#[$doc:meta] $name:ident { $($field:ident: $type:ty),* $(,)? })*) => {$(
        #[$doc]
        #[derive(Clone, Copy, Debug, Default)]
        #[repr(C)]
        pub(crate) struct $name { $(pub(crate) $field: $type),* }
        // SAFETY: the fields are those of the kernel's struct.
        unsafe impl Params for $name {}
    )*};
}

/// The address of something in a device's memory; 0 for none.
pub(crate) type Address = u64;

params! {
    /// Where failed checks are noted.
    Fault { words: Address, code: u32, rows: u32 }
    /// Of `quantise_rows`.
    QuantiseRows {
        x: Address, times: Address, q: Address, scale: Address,
        x_row: i64, x_group: i64, q_row: i64, q_group: i64, scale_row: i64, scale_group: i64,
        fault: Fault, columns: u32, narrow: u32,
    }
    /// Of `norm_forward`.
    NormForward {
        x: Address, places: Address, w: Address, q: Address, scale: Address, rho: Address, y: Address,
        fault: Fault, reader: Fault, inverse: f32, epsilon: f32, columns: u32, end: u32,
    }
    /// Of `norm_backward`.
    NormBackward {
        dy: Address, x: Address, places: Address, w: Address, rho: Address, residual: Address, dx: Address,
        fault: Fault, inverse: f32, columns: u32,
    }
    /// Of `rotate`.
    Rotate {
        x: Address, cosine: Address, sine: Address, positions: Address,
        x_row: i64, heads: u32, pairs: u32, backward: u32, end: u32,
    }
    /// Of `embed`.
    Embed { q: Address, scale: Address, tokens: Address, x: Address, columns: u32, end: u32 }
    /// Of `swiglu_forward`.
    SwigluForward {
        gate_up: Address, q: Address, scale: Address, act: Address, fault: Fault, inner: u32, end: u32,
    }
    /// Of `swiglu_backward`.
    SwigluBackward {
        gate_up: Address, da: Address, w: Address, q: Address, scale: Address, d: Address,
        fault: Fault, inner: u32, end: u32,
    }
    /// Elements from sequence to sequence, and from table to table within one.
    Table { outer: i64, inner: i64 }
    /// Of `column_largest` and `column_mantissas`.
    Columns {
        x: Address, factor: Address, largest: Address, q: Address, scale: Address,
        x_row: i64, q_row: i64, x_table: Table, factor_table: Table, q_table: Table, scale_table: Table,
        fault: Fault,
        rows: u32, columns: u32, inner: u32, over: u32, narrow: u32, transposed: u32, chunk: u32, end: u32,
    }
    /// Of `softmax`.
    Softmax {
        scores: Address, starts: Address, p: Address, zeta: Address, fault: Fault, length: u32, heads: u32,
    }
    /// Of `score_gradient`.
    ScoreGradient {
        p: Address, zeta: Address, dp: Address, d_out: Address, out: Address, d_out_scale: Address,
        out_scale: Address, starts: Address, ds: Address, t: Address, row: i64, head: i64,
        fault: Fault, tau: f32, length: u32, heads: u32, dim: u32,
    }
    /// Of `cross_entropy`.
    CrossEntropy {
        logits: Address, w: Address, targets: Address, places: Address, loss: Address, q: Address,
        scale: Address, zeta: Address, fault: Fault, backward: Fault, vocabulary: u32, end: u32,
    }
    /// Of `head_gradient`.
    HeadGradient {
        dn: Address, zeta: Address, q: Address, w: Address, targets: Address, omega: f32, columns: u32,
    }
    /// Of `largest_of`.
    LargestOf { g: Address, largest: Address, n: u64 }
    /// Of `square_sum`.
    SquareSum { g: Address, largest: Address, sum: Address, n: u64 }
    /// Of `scale`.
    Scale { g: Address, n: u64, kappa: f32, end: u32 }
    /// Of `add_to`.
    Add { x: Address, y: Address, n: u64 }
    /// Of `adamw`.
    AdamW {
        theta: Address, g: Address, m: Address, v: Address, n: u64, fault: Fault,
        beta1: f32, one_minus_beta1: f32, beta2: f32, one_minus_beta2: f32, epsilon: f32,
        c1: f32, c2: f32, learning_rate: f32, decay: f32, end: u32,
    }
    /// An operand of a product.
    Operand {
        data: Address, multipliers: Address, row: i64, outer: i64, inner: i64,
        share: u32, transposed: u32, groups: u32, aligned: u32,
    }
    /// Scales of an operand's rows.
    Factors { data: Address, outer: i64, inner: i64, share: u32, unused: u32 }
    /// A second product.
    Second {
        left: Operand, right: Operand, rows: Factors, columns: Factors, from: u32, to: u32, depth: u32, unused: u32,
    }
    /// Of the products.
    Product {
        left: Operand, right: Operand, row_scale: Factors, column_scale: Factors,
        bias: Address, residual: Address, out: Address,
        residual_row: i64, out_row: i64, out_outer: i64, out_inner: i64,
        second: [Second; 3],
        seconds: u32, rows: u32, columns: u32, depth: u32, inner: u32, flags: u32, causal: u32, constant: f32,
    }
}
