//! The ring: who owns how much of everything, and what a change would move.

use std::fmt::Write as _;

use gitstratum_core::NodeId;
use gitstratum_proto::control::v1 as wire;
use serde::Serialize;

use crate::Error;
use crate::output::{Column, Format, View, document, table};
use crate::text::size;

/// A node's part of the ring.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Share {
    /// The node.
    pub node: String,
    /// Its failure domain.
    pub zone: String,
    /// Its weight.
    pub weight: u32,
    /// Its points on the ring (virtual nodes).
    pub points: u32,
    /// Millionths of all segments of which it is to hold a copy.
    pub share_ppm: u32,
}

/// The ring.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Ring {
    /// Number of the layout that it follows from.
    pub epoch: u64,
    /// Copies of every segment.
    pub replication_factor: u32,
    /// Points for each unit of weight.
    pub points_per_weight: u32,
    /// The nodes on it.
    pub shares: Vec<Share>,
}

/// What a change of the ring would do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Plan {
    /// The ring as it is.
    pub before: Ring,
    /// The ring as it would be.
    pub after: Ring,
    /// Millionths of the bytes of one copy of everything that would move.
    pub moved_ppm: u32,
    /// The same as bytes, about; absent while a node has not said what it holds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub moved_bytes: Option<u64>,
}

impl From<wire::HashRing> for Ring {
    fn from(from: wire::HashRing) -> Self {
        let share = |share: wire::RingShare| Share {
            node: NodeId(share.node).to_string(),
            zone: share.zone,
            weight: share.weight,
            points: share.points,
            share_ppm: share.share,
        };
        Self {
            epoch: from.epoch,
            replication_factor: from.replication_factor,
            points_per_weight: from.points_per_weight,
            shares: from.shares.into_iter().map(share).collect(),
        }
    }
}

impl From<wire::RingPlan> for Plan {
    fn from(from: wire::RingPlan) -> Self {
        Self {
            before: from.before.unwrap_or_default().into(),
            after: from.after.unwrap_or_default().into(),
            moved_ppm: from.moved,
            moved_bytes: from.moved_bytes,
        }
    }
}

impl View for Share {
    const COLUMNS: &'static [Column] = &[
        Column::always("NODE"),
        Column::always("SHARE"),
        Column::always("POINTS"),
        Column::always("WEIGHT"),
        Column::always("ZONE"),
    ];

    fn cells(&self) -> Vec<String> {
        vec![
            self.node.clone(),
            percent(self.share_ppm),
            self.points.to_string(),
            self.weight.to_string(),
            self.zone.clone(),
        ]
    }

    fn name(&self) -> String {
        self.node.clone()
    }
}

/// A node before and after a change.
#[derive(Serialize)]
struct Changed {
    node: String,
    before: Option<u32>,
    after: Option<u32>,
}

impl View for Changed {
    const COLUMNS: &'static [Column] =
        &[Column::always("NODE"), Column::always("SHARE"), Column::always("THEN")];

    fn cells(&self) -> Vec<String> {
        let share = |share: Option<u32>| share.map(percent).unwrap_or_default();
        vec![self.node.clone(), share(self.before), share(self.after)]
    }

    fn name(&self) -> String {
        self.node.clone()
    }
}

impl Ring {
    /// The ring as text.
    ///
    /// # Errors
    /// When it does not serialise.
    pub fn text(&self, format: Format) -> Result<String, Error> {
        if matches!(format, Format::Json | Format::Yaml) {
            return document(self, format);
        }
        let Self { epoch, replication_factor, points_per_weight, shares } = self;
        Ok(format!(
            "epoch {epoch}, replication factor {replication_factor}, \
             {points_per_weight} points per weight\n\n{}",
            table(shares, format)
        ))
    }

    fn share_of(&self, node: &str) -> Option<u32> {
        self.shares.iter().find(|share| share.node == node).map(|share| share.share_ppm)
    }
}

impl Plan {
    /// The plan as text.
    ///
    /// # Errors
    /// When it does not serialise.
    pub fn text(&self, format: Format) -> Result<String, Error> {
        if matches!(format, Format::Json | Format::Yaml) {
            return document(self, format);
        }
        let all = self.before.shares.iter().chain(&self.after.shares);
        let mut nodes: Vec<String> = all.map(|share| share.node.clone()).collect();
        nodes.sort_unstable();
        nodes.dedup();
        let changed = nodes.into_iter().map(|node| Changed {
            before: self.before.share_of(&node),
            after: self.after.share_of(&node),
            node,
        });
        let changed: Vec<Changed> = changed.collect();
        let mut text = table(&changed, format);
        let part = percent(self.moved_ppm);
        let bytes =
            self.moved_bytes.map_or_else(String::new, |bytes| format!(", about {}", size(bytes)));
        writeln!(text, "\nmoves {part} of one copy of everything{bytes}")
            .expect("because writing to a String cannot fail");
        Ok(text)
    }
}

fn percent(millionths: u32) -> String {
    // The last millionth may be lost on the way: a whole is shown as one.
    let thousandths = (u64::from(millionths) + 500) / 1_000;
    format!("{}.{} %", thousandths / 10, thousandths % 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ring(shares: &[(u64, u32)]) -> wire::HashRing {
        let share = |(node, share): &(u64, u32)| wire::RingShare {
            node: *node,
            weight: 1,
            points: 1_024,
            share: *share,
            ..wire::RingShare::default()
        };
        let shares = shares.iter().map(share).collect();
        wire::HashRing { epoch: 7, replication_factor: 2, points_per_weight: 1_024, shares }
    }

    #[test]
    fn gs_cp_29_the_ring_shows_shares_points_and_version() {
        let ring = Ring::from(ring(&[(1, 999_999), (2, 500_000)]));
        let text = ring.text(Format::Table).unwrap();
        let expected = "\
epoch 7, replication factor 2, 1024 points per weight

NODE              SHARE    POINTS  WEIGHT  ZONE
0000000000000001  100.0 %  1024    1       -
0000000000000002  50.0 %   1024    1       -
";
        assert_eq!(text, expected);
    }

    #[test]
    fn a_plan_shows_each_node_before_and_after_and_what_moves() {
        let plan = Plan::from(wire::RingPlan {
            before: Some(ring(&[(1, 999_999)])),
            after: Some(ring(&[(1, 400_000), (2, 600_000)])),
            moved: 600_000,
            moved_bytes: Some(3 << 20),
        });
        let text = plan.text(Format::Table).unwrap();
        assert!(text.contains("0000000000000002  -        60.0 %"), "{text}");
        assert!(text.ends_with("moves 60.0 % of one copy of everything, about 3.0 MiB\n"));
        assert!(plan.text(Format::Json).unwrap().contains("\"movedBytes\": 3145728"));
    }
}
