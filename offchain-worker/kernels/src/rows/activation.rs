//! SwiGLU (SPEC.md, sections 5 and 6), with the mantissas that the projection after it takes.

use super::lanes::{magnitude, sigmoid, Grid};
use super::{per_isa, NotFinite};
use crate::Width;

per_isa! {
    /// (gate × sigmoid(gate)) × up as reals into `act` and as wide mantissas into `q`: all are `[n]`. Returns the scale.
    ///
    /// # Errors
    /// An element is infinite or NaN.
    pub fn forward<'a>(
        gate: &'a [f32], up: &'a [f32], act: &'a mut [f32], q: &'a mut [i16],
    ) -> Result<f32, NotFinite> {
        let n = gate.len();
        assert!(n == up.len() && n == act.len() && n == q.len(), "activation of a row");
        let mut largest = 0;
        for ((act, gate), up) in act.iter_mut().zip(gate).zip(up) {
            *act = (gate * sigmoid(*gate)) * up;
            largest = largest.max(magnitude(*act));
        }
        let grid = Grid::of(largest, Width::Wide)?;
        grid.fill(act, q);
        Ok(grid.scale)
    }

    /// The gradients of gate and up into `dgate` and `dup`, from `da`, that of the activation: all are `[n]`.
    pub fn backward<'a>(
        gate: &'a [f32], up: &'a [f32], da: &'a [f32], dgate: &'a mut [f32], dup: &'a mut [f32],
    ) -> () {
        let n = gate.len();
        assert!(n == up.len() && n == da.len() && n == dgate.len() && n == dup.len(), "gradient of an activation");
        let (up, da, dgate, dup) = (&up[..n], &da[..n], &mut dgate[..n], &mut dup[..n]);
        for i in 0..n {
            let sigma = sigmoid(gate[i]);
            dup[i] = da[i] * (gate[i] * sigma);
            dgate[i] = (da[i] * up[i]) * (sigma * (1.0 + (gate[i] * (1.0 - sigma))));
        }
    }
}
