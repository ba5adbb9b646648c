// The files of `kernels/` in the order in which they make one text. Read by the crate and by its build script.
const SOURCES: &[&str] = &[
    "shim.cuh",
    "real.cuh",
    "rows.cuh",
    "activation.cuh",
    "columns.cuh",
    "attention.cuh",
    "loss.cuh",
    "optimizer.cuh",
    "fragment.cuh",
    "operand.cuh",
    "product.cuh",
];
