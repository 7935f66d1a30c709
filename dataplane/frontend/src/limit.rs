//! How many fetches of one repository run at once (promises §6): the next ones wait a
//! moment, those beyond are told that the server is busy (P-L2, P-L3).

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use gitstratum_core::{ErrorKind, RepoId};
use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use crate::{Config, Error};

/// The places of all repositories that are being fetched from.
#[derive(Debug)]
pub(crate) struct Fetches {
    running_max: usize,
    waiting_max: usize,
    wait: Duration,
    open: Mutex<BTreeMap<RepoId, Gate>>,
}

#[derive(Debug)]
struct Gate {
    places: Arc<Semaphore>,
    /// Those that run and those that wait; the gate goes with the last of them.
    present: usize,
}

/// A place to run a fetch; given back when dropped.
#[must_use = "the place is given back when this is dropped"]
#[derive(Debug)]
pub(crate) struct FetchPlace {
    // Before `presence`: the permit must be back when the gate may go.
    _permit: OwnedSemaphorePermit,
    _presence: Presence,
}

#[derive(Debug)]
struct Presence {
    fetches: Arc<Fetches>,
    repo: RepoId,
}

impl Fetches {
    /// With the limits of `config`.
    pub(crate) fn new(config: &Config) -> Arc<Self> {
        Arc::new(Self {
            running_max: config.fetches_per_repository_max,
            waiting_max: config.fetches_waiting_max,
            wait: config.fetch_wait,
            open: Mutex::default(),
        })
    }

    /// A place for a fetch of `repo`, within the wait.
    ///
    /// # Errors
    /// `Busy` when too many wait already or none comes free in time.
    pub(crate) async fn enter(self: &Arc<Self>, repo: RepoId) -> Result<FetchPlace, Error> {
        let (presence, places) = self.arrive(repo)?;
        match timeout(self.wait, places.acquire_owned()).await {
            Ok(Ok(permit)) => Ok(FetchPlace { _permit: permit, _presence: presence }),
            Ok(Err(_)) | Err(_) => Err(busy()),
        }
    }

    fn arrive(self: &Arc<Self>, repo: RepoId) -> Result<(Presence, Arc<Semaphore>), Error> {
        let mut open = self.open.lock();
        let gate = open.entry(repo).or_insert_with(|| Gate {
            places: Arc::new(Semaphore::new(self.running_max)),
            present: 0,
        });
        if gate.present >= self.running_max + self.waiting_max {
            return Err(busy());
        }
        gate.present += 1;
        let presence = Presence { fetches: Arc::clone(self), repo };
        Ok((presence, Arc::clone(&gate.places)))
    }
}

impl Drop for Presence {
    fn drop(&mut self) {
        let mut open = self.fetches.open.lock();
        let Some(gate) = open.get_mut(&self.repo) else { return };
        gate.present -= 1;
        if gate.present == 0 {
            open.remove(&self.repo);
        }
    }
}

fn busy() -> Error {
    Error::new(ErrorKind::Busy, "too many fetches of this repository; try again later")
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    const REPO: RepoId = RepoId(7);

    fn fetches(running: usize, waiting: usize) -> Arc<Fetches> {
        Fetches::new(&Config {
            fetches_per_repository_max: running,
            fetches_waiting_max: waiting,
            ..Config::new(PathBuf::new())
        })
    }

    #[tokio::test(start_paused = true)]
    async fn p_l2_who_waits_too_long_is_told_busy() {
        let fetches = fetches(2, 1);
        let _first = fetches.enter(REPO).await.unwrap();
        let _second = fetches.enter(REPO).await.unwrap();
        assert_eq!(fetches.enter(REPO).await.unwrap_err().kind(), ErrorKind::Busy);
    }

    #[tokio::test(start_paused = true)]
    async fn p_l2_beyond_the_queue_the_answer_is_at_once() {
        let fetches = fetches(1, 0);
        let _first = fetches.enter(REPO).await.unwrap();
        let before = tokio::time::Instant::now();
        assert!(fetches.enter(REPO).await.is_err());
        assert_eq!(before.elapsed(), Duration::ZERO);
    }

    #[tokio::test(start_paused = true)]
    async fn p_l3_one_hot_repository_takes_no_place_of_another() {
        let fetches = fetches(1, 0);
        let _hot = fetches.enter(REPO).await.unwrap();
        assert!(fetches.enter(RepoId(8)).await.is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn places_come_back_and_idle_repositories_cost_nothing() {
        let fetches = fetches(1, 1);
        let first = fetches.enter(REPO).await.unwrap();
        let (second, ()) = tokio::join!(fetches.enter(REPO), async { drop(first) });
        drop(second.unwrap());
        assert!(fetches.open.lock().is_empty());
    }
}
