use anyhow::{Context, Result};
use gitstratum_client::agent::Door;
use gitstratum_client::cluster::{Applied, Feed, Follow, Publisher, StoreUse, follow};
use gitstratum_core::{GrantsVersion, ProcessRole};
use gitstratum_process::{Drain, TaskGroup};
use tokio::sync::watch;

use super::super::node::ready_within;
use super::super::plan::Plan;

/// Follows the agent for a role whose standing is what it has published.
pub(super) fn published(
    plan: &Plan,
    role: ProcessRole,
    drain: &Drain,
    running: &mut TaskGroup<Result<()>>,
) -> Feed {
    let (publisher, feed) = Feed::channel();
    told(plan, (role, publisher, Applied::Published), drain, running);
    feed
}

/// The same for an object store, which also says what it holds.
pub(super) fn stored(
    plan: &Plan,
    store: watch::Receiver<StoreUse>,
    drain: &Drain,
    running: &mut TaskGroup<Result<()>>,
) -> Feed {
    let (publisher, feed) = Feed::channel();
    let (role, applied) = (ProcessRole::Object, Applied::Published);
    let follow = Follow { agent: agent(plan), role, publisher, applied, store: Some(store) };
    start(follow, drain, running);
    feed
}

/// Follows the agent for a role that says itself what it has made its own.
pub(super) fn told(
    plan: &Plan,
    (role, publisher, applied): (ProcessRole, Publisher, Applied),
    drain: &Drain,
    running: &mut TaskGroup<Result<()>>,
) {
    let agent = agent(plan);
    start(Follow { agent, role, publisher, applied, store: None }, drain, running);
}

fn start(follows: Follow, drain: &Drain, running: &mut TaskGroup<Result<()>>) {
    let following = follow(follows, drain.clone());
    running.spawn(async move {
        following.await;
        Ok(())
    });
}

/// Where the agent of the node listens.
pub(super) fn agent(plan: &Plan) -> Door {
    Door::Socket(plan.role(ProcessRole::Agent.as_str()).join("agent.sock"))
}

/// Waits for the first snapshot.
pub(super) async fn first(feed: &Feed) -> Result<()> {
    let waiting = tokio::time::timeout(ready_within(), feed.wait_for(GrantsVersion(1)));
    waiting.await.map(drop).context("the control plane's state did not arrive in time")
}
