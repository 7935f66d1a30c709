use std::sync::Arc;

use parking_lot::Mutex;

use crate::error::Error;

/// The first error that made a group stop. openraft keeps only its words; callers want
/// its kind.
#[derive(Clone, Default)]
pub(crate) struct Failure {
    first: Arc<Mutex<Option<Arc<Error>>>>,
}

impl Failure {
    /// Remembers `error`, unless there is one already, and hands it back.
    pub(crate) fn record(&self, error: Error) -> Error {
        let mut first = self.first.lock();
        if first.is_none() {
            tracing::error!(%error, "group stops");
            *first = Some(Arc::new(error.clone()));
        }
        error
    }

    /// What stopped the group, if anything did.
    pub(crate) fn cause(&self) -> Option<Arc<Error>> {
        self.first.lock().clone()
    }
}
