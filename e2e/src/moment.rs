use std::time::Instant;

/// The moment it is.
#[expect(clippy::disallowed_methods, reason = "tests of real processes measure real time")]
pub fn now() -> Instant {
    Instant::now()
}
