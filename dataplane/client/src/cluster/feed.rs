use std::sync::Arc;

use gitstratum_core::GrantsVersion;
use tokio::sync::watch;

use super::Snapshot;
use super::news::{News, Told};

/// Reads the newest snapshot. A request takes one and keeps it to its end.
#[derive(Clone, Debug)]
pub struct Feed {
    current: watch::Receiver<Arc<Snapshot>>,
    news: Arc<Told>,
}

/// Writes the newest snapshot; there is one writer.
#[derive(Debug)]
pub struct Publisher {
    current: watch::Sender<Arc<Snapshot>>,
    news: Arc<Told>,
}

impl Feed {
    /// A feed that starts empty, and its writer.
    pub fn channel() -> (Publisher, Self) {
        let (sender, receiver) = watch::channel(Arc::new(Snapshot::empty()));
        let news = Arc::<Told>::default();
        let publisher = Publisher { current: sender, news: Arc::clone(&news) };
        (publisher, Self { current: receiver, news })
    }

    /// A feed that always shows `snapshot`.
    pub fn fixed(snapshot: Snapshot) -> Self {
        let (_, receiver) = watch::channel(Arc::new(snapshot));
        Self { current: receiver, news: Arc::default() }
    }

    /// Whether there is news from the control plane; `None` where nobody says so.
    pub fn news(&self) -> Option<News> {
        self.news.get()
    }

    /// The newest snapshot.
    pub fn current(&self) -> Arc<Snapshot> {
        Arc::clone(&self.current.borrow())
    }

    /// Waits for a snapshot newer than the one this handle has last been told of.
    /// Pends for ever once the writer is gone.
    pub async fn changed(&mut self) -> Arc<Snapshot> {
        if self.current.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
        Arc::clone(&self.current.borrow_and_update())
    }

    /// Waits until the snapshot is at `version` or newer. The caller bounds the wait.
    pub async fn wait_for(&self, version: GrantsVersion) -> Arc<Snapshot> {
        let mut current = self.current.clone();
        let reached = current.wait_for(|snapshot| snapshot.version() >= version).await;
        let found = reached.map(|snapshot| Arc::clone(&snapshot)).ok();
        match found {
            Some(snapshot) => snapshot,
            None => std::future::pending().await,
        }
    }
}

impl Publisher {
    /// What the agent says of the control plane.
    pub fn tell(&self, news: News) {
        self.news.set(news);
    }

    /// Makes `snapshot` the newest.
    pub fn publish(&self, snapshot: Snapshot) {
        self.current.send_replace(Arc::new(snapshot));
    }

    /// The newest snapshot.
    pub fn current(&self) -> Arc<Snapshot> {
        Arc::clone(&self.current.borrow())
    }

    /// A reader.
    pub fn feed(&self) -> Feed {
        Feed { current: self.current.subscribe(), news: Arc::clone(&self.news) }
    }
}
