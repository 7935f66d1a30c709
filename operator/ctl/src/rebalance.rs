//! Nodes on their way into the ring or out of it.

use std::fmt::Write as _;

use gitstratum_core::{NodeId, UnixMillis};
use gitstratum_proto::control::v1 as wire;
use serde::Serialize;

use crate::Error;
use crate::moment::Moment;
use crate::output::{Column, Format, View, document, table};
use crate::text::{counted, size};

/// What waits and what is being emptied.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Rebalance {
    /// Number of the layout.
    pub epoch: u64,
    /// Nodes that are up, store segments and are not in the ring.
    pub waiting: Vec<String>,
    /// What letting them in would move, about; absent while a node has not said what it holds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub planned_bytes: Option<u64>,
    /// Plans of more bytes wait for `rebalance start`.
    pub approval_bytes: u64,
    /// Whether smaller ones begin by themselves.
    pub automatic: bool,
    /// Whether copies stay where they are.
    pub stopped: bool,
    /// Nodes being emptied.
    pub emptying: Vec<Emptying>,
}

/// A node whose segments go elsewhere.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Emptying {
    /// The node.
    pub node: String,
    /// Segments that partitions still list there.
    pub segments: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Of them those that are on no other node that lives.
    pub lost: u64,
    /// Partitions that have said so.
    pub partitions_heard: u32,
    /// Of how many.
    pub partitions: u32,
    /// Bytes that have gone.
    pub moved_bytes: u64,
    /// Since when.
    pub since_at: Option<Moment>,
    /// When it will be empty at this pace, in seconds; absent: not known.
    pub eta_seconds: Option<u64>,
    /// Whether it can be removed.
    pub clear: bool,
}

impl Rebalance {
    /// The answer, `now`.
    pub fn new(from: wire::Rebalance, now: UnixMillis) -> Self {
        let emptying = from.emptying.into_iter().map(|from| Emptying::new(from, now));
        Self {
            epoch: from.epoch,
            waiting: from.waiting.into_iter().map(|node| NodeId(node).to_string()).collect(),
            planned_bytes: from.planned_bytes,
            approval_bytes: from.approval_bytes,
            automatic: from.automatic,
            stopped: from.stopped,
            emptying: emptying.collect(),
        }
    }

    /// The same as text.
    ///
    /// # Errors
    /// When it does not serialise.
    pub fn text(&self, format: Format) -> Result<String, Error> {
        if matches!(format, Format::Json | Format::Yaml) {
            return document(self, format);
        }
        let mut text = format!("epoch {}\n", self.epoch);
        let mut line = |words: String| {
            writeln!(text, "{words}").expect("because writing to a String cannot fail");
        };
        if self.stopped {
            line("stopped: copies stay where they are until `rebalance start`".to_owned());
        }
        if !self.waiting.is_empty() {
            let nodes = counted(self.waiting.len(), "node waits", "nodes wait");
            let (who, unknown) =
                (self.waiting.join(", "), || "an unknown number of bytes".to_owned());
            let bytes =
                self.planned_bytes.map_or_else(unknown, |bytes| format!("about {}", size(bytes)));
            line(format!("{nodes}: {who}; `rebalance start` would move {bytes}"));
        }
        match self.emptying.is_empty() {
            true => line("no node is being emptied".to_owned()),
            false => line(format!("\n{}", table(&self.emptying, format).trim_end())),
        }
        Ok(text)
    }
}

impl Emptying {
    fn new(from: wire::Emptying, now: UnixMillis) -> Self {
        let passed = now.0.saturating_sub(from.since_millis) / 1_000;
        let eta = |moved: u64| u128::from(from.bytes) * u128::from(passed) / u128::from(moved);
        let eta = (from.moved_bytes > 0).then(|| eta(from.moved_bytes));
        Self {
            node: NodeId(from.node).to_string(),
            segments: from.segments,
            bytes: from.bytes,
            lost: from.lost,
            partitions_heard: from.partitions_heard,
            partitions: from.partitions,
            moved_bytes: from.moved_bytes,
            since_at: Moment::from_millis(from.since_millis),
            eta_seconds: eta.and_then(|seconds| u64::try_from(seconds).ok()),
            clear: from.clear,
        }
    }

    fn state(&self) -> String {
        if self.clear {
            return "empty: can be removed".to_owned();
        }
        if self.partitions_heard < self.partitions {
            let (heard, all) = (self.partitions_heard, self.partitions);
            return format!("{heard} of {all} partitions heard");
        }
        match self.lost {
            0 => "moving".to_owned(),
            lost => format!("{lost} segments are on no other node"),
        }
    }
}

impl View for Emptying {
    const COLUMNS: &'static [Column] = &[
        Column::always("EMPTYING"),
        Column::always("SEGMENTS"),
        Column::always("LEFT"),
        Column::always("MOVED"),
        Column::always("ETA"),
        Column::always("STATE"),
    ];

    fn cells(&self) -> Vec<String> {
        vec![
            self.node.clone(),
            self.segments.to_string(),
            size(self.bytes),
            size(self.moved_bytes),
            self.eta_seconds.map(|seconds| format!("{seconds}s")).unwrap_or_default(),
            self.state(),
        ]
    }

    fn name(&self) -> String {
        self.node.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn progress_has_an_estimate_once_something_has_moved() {
        let from = wire::Emptying {
            node: 4,
            segments: 9,
            bytes: 600,
            moved_bytes: 300,
            since_millis: 1_000,
            partitions: 4,
            partitions_heard: 4,
            ..wire::Emptying::default()
        };
        let emptying = Emptying::new(from, UnixMillis(11_000));
        assert_eq!(emptying.eta_seconds, Some(20));
        assert_eq!(emptying.state(), "moving");
        let unmoved = wire::Emptying { moved_bytes: 0, lost: 2, ..from };
        let unmoved = Emptying::new(unmoved, UnixMillis(11_000));
        assert_eq!(unmoved.eta_seconds, None);
        assert_eq!(unmoved.state(), "2 segments are on no other node");
        let early = Emptying::new(wire::Emptying { partitions_heard: 1, ..from }, UnixMillis(0));
        assert_eq!(early.state(), "1 of 4 partitions heard");
    }

    #[test]
    fn what_waits_is_said_with_what_it_would_move() {
        let from = wire::Rebalance {
            waiting: vec![4, 5],
            planned_bytes: Some(1 << 20),
            stopped: true,
            ..<_>::default()
        };
        let text = Rebalance::new(from, UnixMillis(0)).text(Format::Table).unwrap();
        assert!(text.contains("2 nodes wait: 0000000000000004, 0000000000000005"), "{text}");
        assert!(text.contains("would move about 1.0 MiB"), "{text}");
        assert!(text.contains("stopped: copies stay"), "{text}");
        assert!(text.ends_with("no node is being emptied\n"), "{text}");
    }
}
