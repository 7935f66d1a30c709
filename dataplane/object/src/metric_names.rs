use gitstratum_process::Metrics;
use gitstratum_process::metrics::{Counter, Gauge};

/// What an object node counts.
#[derive(Clone, Debug)]
pub(crate) struct ObjectMetrics {
    /// GS-MX-11.
    pub(crate) stored_bytes: Gauge,
    /// GS-MX-12.
    pub(crate) read_bytes: Counter,
    /// Reads that are being answered (GS-CP-19).
    pub(crate) reads_in_flight: Gauge,
    /// Segments held.
    pub(crate) segments: Gauge,
    /// Segments swept because nobody lists them.
    pub(crate) swept: Counter,
    /// Segments copied from other nodes.
    pub(crate) pulled: Counter,
    /// Their bytes.
    pub(crate) pulled_bytes: Counter,
    /// Reads that found damage.
    pub(crate) damage: Counter,
    /// Copies that were told as lost.
    pub(crate) reported: Counter,
    /// Bytes read by scrubbing.
    pub(crate) scrub_bytes: Counter,
    /// Times that everything was scrubbed.
    pub(crate) scrub_passes: Counter,
    /// How far the pass under way is.
    pub(crate) scrub_percent: Gauge,
}

impl ObjectMetrics {
    pub(crate) fn new(metrics: &Metrics) -> Self {
        Self {
            stored_bytes: metrics
                .gauge("gitstratum_object_stored_bytes", "Bytes of the segments held here"),
            read_bytes: metrics
                .counter("gitstratum_object_read_bytes_total", "Bytes of segments read here"),
            reads_in_flight: metrics.gauge(
                "gitstratum_object_reads_in_flight",
                "Reads of segments that are being answered",
            ),
            segments: metrics.gauge("gitstratum_object_segments", "Segments held here"),
            swept: metrics.counter(
                "gitstratum_object_segments_swept_total",
                "Segments removed because no manifest lists them",
            ),
            pulled: metrics.counter(
                "gitstratum_object_segments_pulled_total",
                "Segments copied from other nodes",
            ),
            pulled_bytes: metrics.counter(
                "gitstratum_object_pulled_bytes_total",
                "Bytes of segments copied from other nodes",
            ),
            damage: metrics.counter(
                "gitstratum_object_damage_found_total",
                "Reads that found damaged bytes and gave none",
            ),
            reported: metrics.counter(
                "gitstratum_object_copies_lost_total",
                "Listed copies that were damaged or missing here and were put on a repair list",
            ),
            scrub_bytes: metrics
                .counter("gitstratum_object_scrub_bytes_total", "Bytes verified by scrubbing"),
            scrub_passes: metrics.counter(
                "gitstratum_object_scrub_passes_total",
                "Times that everything held here was scrubbed",
            ),
            scrub_percent: metrics.gauge(
                "gitstratum_object_scrub_percent",
                "Part of what is held here that the scrub under way has passed",
            ),
        }
    }
}
