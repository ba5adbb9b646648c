//! Listens to the runtime's log for what must not happen.
//!
//! `defensive!` marks code that can't be reached. In an ordinary build it only writes to the log: here it counts.

use core::cell::RefCell;
use std::sync::Once;

thread_local! {
    static REACHED: RefCell<Option<String>> = const { RefCell::new(None) };
}

struct Listener;

impl log::Log for Listener {
    fn enabled(&self, metadata: &log::Metadata<'_>) -> bool {
        metadata.level() == log::Level::Error
    }

    fn log(&self, record: &log::Record<'_>) {
        if record.level() == log::Level::Error && record.target().starts_with("runtime::defensive") {
            REACHED.with_borrow_mut(|reached| *reached = Some(record.args().to_string()));
        }
    }

    fn flush(&self) {}
}

/// Starts to listen. Once is enough; a second logger in the process is left alone.
pub fn listen() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        if log::set_logger(&Listener).is_ok() {
            log::set_max_level(log::LevelFilter::Error);
        }
    });
}

/// What `defensive!` last said on this thread, once.
pub fn take() -> Option<String> {
    REACHED.with_borrow_mut(Option::take)
}
