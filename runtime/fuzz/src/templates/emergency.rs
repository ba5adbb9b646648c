//! Stories of a chain on which something is wrong.

use super::job;
use crate::{draw::Draw, run::Run};
use frame_system::RawOrigin;
use pallet_safe_mode::Call;

/// The administrator enters safe mode and standing jobs go on in it; then he ends it, or it ends by itself.
///
/// # Errors
/// A rule that is broken.
pub fn safe_mode(draw: &mut Draw<'_>, run: &mut Run<'_>) -> Result<(), String> {
    let is_ended = draw.rarely(2);
    run.attempt(&RawOrigin::Root, Call::force_enter {}.into())?;
    job::drive_on(draw, run)?;
    if is_ended {
        run.attempt(&RawOrigin::Root, Call::force_exit {}.into())?;
    }
    Ok(())
}
