//! Stories of several calls, so that scenarios get to what single calls hardly reach: the end of an audit, a dispute, a
//! record, a pool that is cleared away. A template looks at the state and does what its parties would do next; what
//! happened before, and who interferes later, is the scenario's.

pub mod emergency;
pub mod job;
pub mod money;
pub mod stake;
