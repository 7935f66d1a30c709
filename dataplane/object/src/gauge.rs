use std::sync::Arc;

use crate::segments::{Segments, blocking};

/// Looks at what an object node holds.
#[derive(Clone)]
pub struct Gauge {
    pub(crate) segments: Arc<Segments>,
}

/// What an object node holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Segments.
    pub segments: u64,
    /// Their bytes.
    pub stored_bytes: u64,
    /// Bytes free on its disk; 0 where that cannot be told.
    pub free_bytes: u64,
}

impl Gauge {
    /// What is held now.
    pub async fn read(&self) -> Usage {
        let segments = Arc::clone(&self.segments);
        let free = blocking(move || segments.free_bytes()).await;
        let metrics = self.segments.metrics();
        Usage {
            segments: u64::try_from(metrics.segments.get()).unwrap_or(0),
            stored_bytes: u64::try_from(metrics.stored_bytes.get()).unwrap_or(0),
            free_bytes: free.unwrap_or(0),
        }
    }
}

impl std::fmt::Debug for Gauge {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Gauge").finish_non_exhaustive()
    }
}
