//! The metrics of a process, by their exact names, and handles to them.

use std::any::Any;
use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::{Mutex, RwLock};
use prometheus_client::encoding::text::encode;
use prometheus_client::registry::Registry;

mod handles;
mod process;

pub use handles::{Counter, Counters, Gauge, GaugeGuard, Gauges, Histogram, Histograms, Ratio};

/// Bucket borders for the time of requests and calls, in seconds.
pub const LATENCY_BUCKETS_SECONDS: &[f64] = &[
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0,
];

/// What a counter's name ends in; the backend adds it by itself.
const COUNTER_ENDING: &str = "_total";

/// The metrics of a process. Names are exact: what is asked for here is what
/// `/metrics` shows, ending included. Asking for a name again gives the same
/// metric, so that several users of one client share it.
///
/// Labels are names known at compile time and values of enums, so that nothing a
/// client sends can grow the page.
#[derive(Clone, Debug, Default)]
pub struct Metrics {
    inner: Arc<Mutex<Inner>>,
    /// Held shared by who changes several metrics as one, and alone by who makes the page.
    page: Arc<RwLock<()>>,
}

#[derive(Debug, Default)]
struct Inner {
    registry: Registry,
    handles: BTreeMap<&'static str, Box<dyn Any + Send + Sync>>,
}

impl Metrics {
    /// No metrics yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Those of the process itself: memory, CPU time, open files (GF-39).
    pub fn with_process_metrics() -> Self {
        let metrics = Self::new();
        metrics.inner.lock().registry.register_collector(Box::new(process::Collector));
        metrics
    }

    /// A number that only rises.
    ///
    /// # Panics
    /// When `name` does not end in `_total`: the page could not show it exactly.
    pub fn counter(&self, name: &'static str, help: &str) -> Counter {
        self.register(name, counter_stem(name), help, Counter::default)
    }

    /// One counter for each combination of values of `labels`.
    ///
    /// # Panics
    /// As [`Metrics::counter`].
    pub fn counters<const N: usize>(
        &self,
        name: &'static str,
        help: &str,
        labels: [&'static str; N],
    ) -> Counters<N> {
        self.register(name, counter_stem(name), help, || Counters::new(labels))
    }

    /// A number that goes both ways, or one whose exact name does not allow a counter.
    pub fn gauge(&self, name: &'static str, help: &str) -> Gauge {
        self.register(name, name, help, Gauge::default)
    }

    /// One gauge for each combination of values of `labels`.
    pub fn gauges<const N: usize>(
        &self,
        name: &'static str,
        help: &str,
        labels: [&'static str; N],
    ) -> Gauges<N> {
        self.register(name, name, help, || Gauges::new(labels))
    }

    /// A fraction, such as a hit ratio.
    pub fn ratio(&self, name: &'static str, help: &str) -> Ratio {
        self.register(name, name, help, Ratio::default)
    }

    /// A distribution over `buckets`, their upper borders in ascending order.
    pub fn histogram(&self, name: &'static str, help: &str, buckets: &'static [f64]) -> Histogram {
        self.register(name, name, help, || Histogram::new(buckets))
    }

    /// One histogram for each combination of values of `labels`.
    pub fn histograms<const N: usize>(
        &self,
        name: &'static str,
        help: &str,
        labels: [&'static str; N],
        buckets: &'static [f64],
    ) -> Histograms<N> {
        self.register(name, name, help, || Histograms::new(labels, buckets))
    }

    /// Runs `change`, of which every page shows all or nothing: what was attempted is what
    /// went well and what failed (RV-M1). It must not wait, nor make a page.
    pub fn as_one(&self, change: impl FnOnce()) {
        let _no_page_meanwhile = self.page.read();
        change();
    }

    /// The page that `/metrics` answers: OpenMetrics text. Reads `/proc`, so not for
    /// an async thread.
    pub fn render(&self) -> String {
        let _no_change_meanwhile = self.page.write();
        let mut page = String::new();
        encode(&mut page, &self.inner.lock().registry)
            .expect("because writing to a String cannot fail");
        page
    }

    fn register<M: handles::Handle>(
        &self,
        name: &'static str,
        registered_name: &'static str,
        help: &str,
        make: impl FnOnce() -> M,
    ) -> M {
        let mut inner = self.inner.lock();
        if let Some(known) = inner.handles.get(name) {
            let known = known.downcast_ref::<M>();
            return known.expect("because one name is asked for as one kind of metric").clone();
        }
        let handle = make();
        // The registry ends each text with a full stop.
        inner.registry.register(registered_name, help.trim_end_matches('.'), handle.metric());
        inner.handles.insert(name, Box::new(handle.clone()));
        handle
    }
}

fn counter_stem(name: &'static str) -> &'static str {
    name.strip_suffix(COUNTER_ENDING).expect("because every counter's name ends in _total")
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn lines(metrics: &Metrics) -> Vec<String> {
        metrics.render().lines().map(str::to_owned).collect()
    }

    fn has(metrics: &Metrics, line: &str) -> bool {
        lines(metrics).iter().any(|candidate| candidate == line)
    }

    #[test]
    fn gs_mx_names_on_the_page_are_exactly_those_asked_for() {
        let metrics = Metrics::new();
        metrics.counter("gitstratum_object_read_bytes_total", "Bytes read.").add(7);
        metrics.gauge("gitstratum_metadata_refs_total", "Refs stored.").set(3);
        metrics.gauge("gitstratum_object_gc_objects_collected", "Objects swept.").add(2);
        metrics.ratio("gitstratum_metadata_refs_cache_hit_ratio", "Hits of all.").set_of(1, 4);
        for line in [
            "gitstratum_object_read_bytes_total 7",
            "gitstratum_metadata_refs_total 3",
            "gitstratum_object_gc_objects_collected 2",
            "gitstratum_metadata_refs_cache_hit_ratio 0.25",
        ] {
            assert!(has(&metrics, line), "{line} not in {:#?}", lines(&metrics));
        }
    }

    #[test]
    fn gs_mx_01_02_labels_tell_operations_apart() {
        let metrics = Metrics::new();
        let requests = metrics.counters("gitstratum_frontend_requests_total", "x", ["operation"]);
        requests.with(["fetch"]).inc();
        requests.with(["fetch"]).inc();
        let name = "gitstratum_frontend_request_duration_seconds";
        let seconds = metrics.histograms(name, "x", ["operation"], &[0.1, 1.0]);
        seconds.with(["fetch"]).observe(Duration::from_millis(200));
        for line in [
            r#"gitstratum_frontend_requests_total{operation="fetch"} 2"#,
            r#"gitstratum_frontend_request_duration_seconds_bucket{le="0.1",operation="fetch"} 0"#,
            r#"gitstratum_frontend_request_duration_seconds_bucket{le="1.0",operation="fetch"} 1"#,
            r#"gitstratum_frontend_request_duration_seconds_sum{operation="fetch"} 0.2"#,
        ] {
            assert!(has(&metrics, line), "{line} not in {:#?}", lines(&metrics));
        }
    }

    #[test]
    fn a_name_asked_for_twice_is_one_metric() {
        let metrics = Metrics::new();
        metrics.counter("calls_total", "Calls.").inc();
        metrics.clone().counter("calls_total", "Calls.").inc();
        assert!(has(&metrics, "calls_total 2"));
        assert_eq!(lines(&metrics).iter().filter(|line| line.starts_with("calls")).count(), 1);
    }

    #[test]
    fn rv_m1_what_was_attempted_is_what_went_well_and_what_failed_on_every_page() {
        let metrics = Metrics::new();
        let attempted = metrics.counter("attempted_total", "Calls.");
        let ended = metrics.counters("ended_total", "Calls by result.", ["result"]);
        let value = |page: &str, name: &str| -> u64 {
            let line = page.lines().find(|line| line.starts_with(name));
            line.map_or(0, |line| line.rsplit(' ').next().unwrap().parse().unwrap())
        };
        let is_done = std::sync::atomic::AtomicBool::new(false);
        std::thread::scope(|scope| {
            for result in ["ok", "failed"] {
                let (attempted, ended) = (attempted.clone(), ended.with([result]));
                let (metrics, is_done) = (&metrics, &is_done);
                scope.spawn(move || {
                    while !is_done.load(std::sync::atomic::Ordering::Relaxed) {
                        metrics.as_one(|| {
                            attempted.inc();
                            ended.inc();
                        });
                    }
                });
            }
            // Pages and calls are at it at once, whoever began first.
            let (mut pages, mut unequal) = (0, 0);
            while pages < 2_000 || attempted.get() < 2_000 {
                let page = metrics.render();
                let of =
                    |result: &str| value(&page, &format!("ended_total{{result=\"{result}\"}}"));
                let is_equal = value(&page, "attempted_total ") == of("ok") + of("failed");
                (pages, unequal) = (pages + 1, unequal + u32::from(!is_equal));
            }
            is_done.store(true, std::sync::atomic::Ordering::Relaxed);
            assert_eq!(unequal, 0);
        });
    }

    #[test]
    fn gs_mx_04_a_tracked_gauge_falls_with_its_guard() {
        let gauge = Metrics::new().gauge("gitstratum_frontend_active_connections", "Open.");
        let (first, second) = (gauge.track(), gauge.track());
        assert_eq!(gauge.get(), 2);
        drop((first, second));
        assert_eq!(gauge.get(), 0);
    }

    #[test]
    fn gf_39_the_process_shows_memory_cpu_and_open_files() {
        let page = Metrics::with_process_metrics().render();
        let value = |name: &str| -> f64 {
            let line = page.lines().find(|line| line.starts_with(&format!("{name} ")));
            line.unwrap().split(' ').nth(1).unwrap().parse().unwrap()
        };
        assert!(value("process_resident_memory_bytes") > 100_000.0);
        assert!(value("process_cpu_seconds_total") > 0.0);
        assert!(value("process_open_fds") >= 3.0);
    }

    #[test]
    #[should_panic(expected = "ends in _total")]
    fn a_counter_without_the_ending_is_a_bug() {
        Metrics::new().counter("calls", "Calls.");
    }
}
