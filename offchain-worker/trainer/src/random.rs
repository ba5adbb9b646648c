//! Initial values that are the same on every machine.
//!
//! Bytes come from BLAKE3's extendable output over (seed, tensor name), so a tensor's values depend on nothing but its
//! name and the seed: not on the order of creation, threads, or libtorch's generator. Values are multiples of 2⁻²⁴
//! times the bound: one exact conversion and three binary32 operations.

/// `count` values uniform in `[-bound, bound)`.
pub fn uniform(seed: u64, name: &str, count: usize, bound: f32) -> Vec<f32> {
    let mut hasher = blake3::Hasher::new_derive_key("attune trainer: uniform initial values, version 1");
    hasher.update(&seed.to_le_bytes());
    hasher.update(name.as_bytes());
    let mut raw = vec![0u8; count * 4];
    hasher.finalize_xof().fill(&mut raw);
    raw.chunks_exact(4)
        .map(|b| {
            let bits = u32::from_le_bytes([b[0], b[1], b[2], b[3]]) >> 8;
            (bits as f32 / (1u32 << 23) as f32 - 1.0) * bound
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_depend_on_seed_and_name_only_and_are_pinned() {
        let one = uniform(1, "a", 6, 0.5);
        assert_eq!(one[..4], uniform(1, "a", 4, 0.5));
        assert_ne!(one, uniform(2, "a", 6, 0.5));
        assert_ne!(one, uniform(1, "b", 6, 0.5));
        let bits: Vec<u32> = one.iter().map(|v| v.to_bits()).collect();
        assert_eq!(bits, PINNED, "initial values are part of the protocol: a change raises ENGINE_VERSION");
    }

    #[test]
    fn values_fill_the_range_evenly() {
        let values = uniform(7, "x", 100_000, 2.0);
        assert!(values.iter().all(|v| (-2.0..2.0).contains(v)));
        let mean = values.iter().map(|v| f64::from(*v)).sum::<f64>() / 1e5;
        let square = values.iter().map(|v| f64::from(*v).powi(2)).sum::<f64>() / 1e5;
        assert!(mean.abs() < 0.02, "mean {mean}");
        assert!((square - 4.0 / 3.0).abs() < 0.02, "mean square {square}");
    }

    const PINNED: [u32; 6] = [3197031118, 1055833570, 1055328652, 3160206720, 1050530792, 1033581016];
}
