//! Changes whole steps, or a byte or two within one, so that what is changed does not shift all that follows.

use crate::{
    random::Random,
    scenario::{HEAD_BYTES, MAX_STEPS, STEP_BYTES},
};

/// Changes the scenario in the first `size` bytes of `data` and gives its new length, at most `max_size`. `inner` is the
/// fuzzer's own way to change bytes in place: it may not make them more.
pub fn mutate(
    data: &mut [u8],
    size: usize,
    max_size: usize,
    seed: u32,
    inner: &mut dyn FnMut(&mut [u8], usize) -> usize,
) -> usize {
    let mut random = Random::new(u64::from(seed));
    let most = max_size.min(data.len()).saturating_sub(HEAD_BYTES) / STEP_BYTES;
    let most = most.min(MAX_STEPS);
    let mut below = |bound: usize| usize::try_from(random.number() % bound.max(1) as u64).unwrap_or_default();
    let head: Vec<u8> = (0..HEAD_BYTES).map(|place| if place < size { data[place] } else { 0 }).collect();
    let body = data.get(HEAD_BYTES.min(size)..size).unwrap_or_default();
    let mut steps: Vec<[u8; STEP_BYTES]> = body
        .chunks(STEP_BYTES)
        .take(most)
        .map(|record| {
            let mut whole = [0; STEP_BYTES];
            whole[..record.len()].copy_from_slice(record);
            whole
        })
        .collect();
    let mut head = head;
    let place = below(steps.len());
    match below(16) {
        // A new step somewhere.
        0..=3 if steps.len() < most => {
            let mut fresh = [0; STEP_BYTES];
            fresh.iter_mut().for_each(|byte| *byte = u8::try_from(below(256)).unwrap_or_default());
            // Half of them plain: parameters of 0 are what mostly succeeds.
            if below(2) == 0 {
                fresh[3..].fill(0);
            }
            steps.insert(below(steps.len() + 1), fresh);
        }
        4 if !steps.is_empty() => {
            steps.remove(place);
        }
        5 if !steps.is_empty() && steps.len() < most => {
            let copy = steps[place];
            steps.insert(below(steps.len() + 1), copy);
        }
        6 if !steps.is_empty() => {
            let other = below(steps.len());
            steps.swap(place, other);
        }
        7 if !steps.is_empty() => steps.truncate(place + 1),
        8 => head[below(HEAD_BYTES)] = u8::try_from(below(256)).unwrap_or_default(),
        // Another call with the same parameters.
        9 if !steps.is_empty() => steps[place][1] = u8::try_from(below(256)).unwrap_or_default(),
        _ if !steps.is_empty() => {
            let record = &mut steps[place];
            let kept = inner(&mut record[..], STEP_BYTES).min(STEP_BYTES);
            record[kept..].fill(0);
        }
        _ if most > 0 => steps.push([0; STEP_BYTES]),
        _ => {}
    }
    let whole: Vec<u8> = head.into_iter().chain(steps.into_iter().flatten()).collect();
    let length = whole.len().min(max_size).min(data.len());
    data[..length].copy_from_slice(&whole[..length]);
    length
}
