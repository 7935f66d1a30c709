//! Lets a simulation hold a push back between what a leader checks of it and its entry: long enough
//! for all that may lie between the two (S15).

use std::cell::RefCell;
use std::sync::Arc;
use std::time::Duration;

use gitstratum_proto::metadata::v1::UpdateRefsRequest;

type Tap = Arc<dyn Fn(&UpdateRefsRequest) -> Duration>;

thread_local! {
    static TAP: RefCell<Option<Tap>> = const { RefCell::new(None) };
}

/// From now on each push that is checked on this thread waits as long as `tap` says.
pub fn set(tap: Tap) {
    TAP.with_borrow_mut(|slot| *slot = Some(tap));
}

pub(crate) async fn pass(request: &UpdateRefsRequest) {
    let tap = TAP.with_borrow(Clone::clone);
    let wait = tap.map_or(Duration::ZERO, |tap| tap(request));
    if !wait.is_zero() {
        tokio::time::sleep(wait).await;
    }
}
