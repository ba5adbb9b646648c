//! SwiGLU: act = (gate × sigmoid(gate)) × up. Gate and up lie side by side, `[T, 2 * I]`; act is `[T, I]`.

use alloc::vec::Vec;

use crate::element;

/// act `[T, I]` of gate and up `[T, 2 * I]`.
pub fn forward(gate_up: &[f32], intermediate: usize) -> Vec<f32> {
    let mut act = Vec::with_capacity(gate_up.len() / 2);
    for row in gate_up.chunks(2 * intermediate) {
        let (gate, up) = row.split_at(intermediate);
        act.extend(gate.iter().zip(up).map(|(gate, up)| element::swiglu(*gate, *up)));
    }
    act
}

/// The gradient of gate and up, side by side, from that of act.
pub fn backward(gate_up: &[f32], da: &[f32], intermediate: usize) -> Vec<f32> {
    let mut d = Vec::with_capacity(gate_up.len());
    for (row, da) in gate_up.chunks(2 * intermediate).zip(da.chunks(intermediate)) {
        let (gate, up) = row.split_at(intermediate);
        let pairs = gate.iter().zip(up).zip(da);
        let (dgate, dup): (Vec<f32>, Vec<f32>) =
            pairs.map(|((gate, up), da)| element::swiglu_back(*gate, *up, *da)).unzip();
        d.extend(dgate);
        d.extend(dup);
    }
    d
}
