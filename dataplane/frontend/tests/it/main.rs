//! One frontend, its real ports, stock git and hostile clients, a metadata double.
#![expect(clippy::unwrap_used, reason = "a test ends where something does not hold")]
#![expect(unreachable_pub, reason = "a test binary has no outside")]

mod broken_off;
mod git;
mod http;
mod http_foreign;
mod http_login;
mod listing;
mod pool;
mod raw;
mod segments;
mod service;
mod ssh;
mod ssh_hostile;

use std::future::Future;
use std::time::Duration;

/// Longest time that a step of a test may take.
const DEADLINE: Duration = Duration::from_secs(30);

/// `future`, or the end of the test.
async fn within<F: Future>(future: F) -> F::Output {
    tokio::time::timeout(DEADLINE, future).await.expect("the step takes too long")
}

/// Waits until `holds`.
async fn until(holds: impl Fn() -> bool) {
    within(async {
        while !holds() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
}
