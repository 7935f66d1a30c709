//! Metrics of the metadata service, by their exact names (`requirements.md` §6).

use gitstratum_process::Metrics;
use gitstratum_process::metrics::{Counter, Gauge, Ratio};

/// Handles to the metrics of the metadata service.
#[derive(Clone, Debug)]
pub struct MetadataMetrics {
    /// GS-MX-08: refs stored in the partitions on this node.
    pub refs_total: Gauge,
    /// Partitions in which this node has a vote; a node that has lost none has as many as the
    /// layout gives it.
    pub votes: Gauge,
    /// GS-MX-09: commits in the graph cache; set by the planner.
    pub commit_graph_size: Gauge,
    /// GS-MX-10: ref listings answered from memory, of all that could be.
    pub refs_cache_hit_ratio: Ratio,
    /// Listings answered from memory.
    pub refs_cache_hits: Counter,
    /// Listings for which all refs had to be read.
    pub refs_cache_misses: Counter,
}

impl MetadataMetrics {
    /// Registers them.
    pub fn new(metrics: &Metrics) -> Self {
        Self {
            refs_total: metrics.gauge("gitstratum_metadata_refs_total", "refs stored on this node"),
            votes: metrics.gauge(
                "gitstratum_metadata_partition_votes",
                "partitions in which this node has a vote",
            ),
            commit_graph_size: metrics.gauge(
                "gitstratum_metadata_commit_graph_size",
                "commits in the commit-graph cache",
            ),
            refs_cache_hit_ratio: metrics.ratio(
                "gitstratum_metadata_refs_cache_hit_ratio",
                "ref listings answered from memory",
            ),
            refs_cache_hits: metrics.counter(
                "gitstratum_metadata_refs_cache_hits_total",
                "ref listings answered from memory",
            ),
            refs_cache_misses: metrics.counter(
                "gitstratum_metadata_refs_cache_misses_total",
                "ref listings that read all refs",
            ),
        }
    }

    /// Counts a listing answered from memory.
    pub(crate) fn refs_hit(&self) {
        self.refs_cache_hits.inc();
        self.update_ratio();
    }

    /// Counts a listing that read all refs.
    pub(crate) fn refs_miss(&self) {
        self.refs_cache_misses.inc();
        self.update_ratio();
    }

    fn update_ratio(&self) {
        let hits = self.refs_cache_hits.get();
        self.refs_cache_hit_ratio.set_of(hits, hits + self.refs_cache_misses.get());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gs_mx_08_to_10_names_are_exact_and_the_ratio_matches_its_counters() {
        let metrics = Metrics::new();
        let ours = MetadataMetrics::new(&metrics);
        ours.refs_total.set(7);
        ours.commit_graph_size.set(9);
        ours.refs_hit();
        ours.refs_miss();
        ours.refs_hit();
        ours.refs_hit();
        let page = metrics.render();
        for line in [
            "gitstratum_metadata_refs_total 7",
            "gitstratum_metadata_commit_graph_size 9",
            "gitstratum_metadata_refs_cache_hit_ratio 0.75",
        ] {
            assert!(page.lines().any(|found| found == line), "{line} in {page}");
        }
    }
}
