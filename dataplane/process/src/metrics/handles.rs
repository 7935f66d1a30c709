use std::sync::atomic::AtomicU64;
use std::time::Duration;

use prometheus_client::metrics::counter::Counter as RawCounter;
use prometheus_client::metrics::family::{Family, MetricConstructor};
use prometheus_client::metrics::gauge::Gauge as RawGauge;
use prometheus_client::metrics::histogram::Histogram as RawHistogram;
use prometheus_client::registry::Metric;

/// Values of a family's labels, each with its label's name.
type LabelSet<const N: usize> = [(&'static str, &'static str); N];

/// A way to a metric that the registry holds too.
pub(super) trait Handle: Clone + Send + Sync + 'static {
    fn metric(&self) -> impl Metric;
}

/// A number that only rises.
#[derive(Clone, Debug, Default)]
pub struct Counter(RawCounter);

impl Counter {
    /// One more.
    pub fn inc(&self) {
        self.0.inc();
    }

    /// `amount` more.
    pub fn add(&self, amount: u64) {
        self.0.inc_by(amount);
    }

    /// So many by now.
    pub fn get(&self) -> u64 {
        self.0.get()
    }
}

impl Handle for Counter {
    fn metric(&self) -> impl Metric {
        self.0.clone()
    }
}

/// A number that goes both ways.
#[derive(Clone, Debug, Default)]
pub struct Gauge(RawGauge);

impl Gauge {
    /// It is `value` now.
    pub fn set(&self, value: i64) {
        self.0.set(value);
    }

    /// One more.
    pub fn inc(&self) {
        self.0.inc();
    }

    /// One less.
    pub fn dec(&self) {
        self.0.dec();
    }

    /// `amount` more, or less when negative.
    pub fn add(&self, amount: i64) {
        self.0.inc_by(amount);
    }

    /// Its value.
    pub fn get(&self) -> i64 {
        self.0.get()
    }

    /// One more until the guard is dropped.
    pub fn track(&self) -> GaugeGuard {
        self.inc();
        GaugeGuard(self.clone())
    }
}

impl Handle for Gauge {
    fn metric(&self) -> impl Metric {
        self.0.clone()
    }
}

/// One more in a gauge while it lives.
#[must_use = "the gauge falls when this is dropped"]
#[derive(Debug)]
pub struct GaugeGuard(Gauge);

impl Drop for GaugeGuard {
    fn drop(&mut self) {
        self.0.dec();
    }
}

/// A fraction.
#[derive(Clone, Debug, Default)]
pub struct Ratio(RawGauge<f64, AtomicU64>);

impl Ratio {
    /// It is `value` now.
    pub fn set(&self, value: f64) {
        self.0.set(value);
    }

    /// It is `part` of `whole` now; 0 of nothing.
    pub fn set_of(&self, part: u64, whole: u64) {
        self.set(if whole == 0 { 0.0 } else { part as f64 / whole as f64 });
    }

    /// Its value.
    pub fn get(&self) -> f64 {
        self.0.get()
    }
}

impl Handle for Ratio {
    fn metric(&self) -> impl Metric {
        self.0.clone()
    }
}

/// A distribution.
#[derive(Clone, Debug)]
pub struct Histogram(RawHistogram);

impl Histogram {
    pub(super) fn new(buckets: &'static [f64]) -> Self {
        Self(RawHistogram::new(buckets.iter().copied()))
    }

    /// One more event that took `time`.
    pub fn observe(&self, time: Duration) {
        self.0.observe(time.as_secs_f64());
    }

    /// One more event of `value`, in the unit that the metric's name ends in.
    pub fn observe_value(&self, value: f64) {
        self.0.observe(value);
    }
}

impl Handle for Histogram {
    fn metric(&self) -> impl Metric {
        self.0.clone()
    }
}

/// Counters that differ in the values of their labels.
#[derive(Clone, Debug)]
pub struct Counters<const N: usize> {
    labels: [&'static str; N],
    family: Family<LabelSet<N>, RawCounter>,
}

impl<const N: usize> Counters<N> {
    pub(super) fn new(labels: [&'static str; N]) -> Self {
        Self { labels, family: Family::default() }
    }

    /// The counter of these label values, in the order of the label names.
    pub fn with(&self, values: [&'static str; N]) -> Counter {
        Counter(self.family.get_or_create_owned(&label_set(self.labels, values)))
    }
}

impl<const N: usize> Handle for Counters<N> {
    fn metric(&self) -> impl Metric {
        self.family.clone()
    }
}

/// Gauges that differ in the values of their labels.
#[derive(Clone, Debug)]
pub struct Gauges<const N: usize> {
    labels: [&'static str; N],
    family: Family<LabelSet<N>, RawGauge>,
}

impl<const N: usize> Gauges<N> {
    pub(super) fn new(labels: [&'static str; N]) -> Self {
        Self { labels, family: Family::default() }
    }

    /// The gauge of these label values, in the order of the label names.
    pub fn with(&self, values: [&'static str; N]) -> Gauge {
        Gauge(self.family.get_or_create_owned(&label_set(self.labels, values)))
    }
}

impl<const N: usize> Handle for Gauges<N> {
    fn metric(&self) -> impl Metric {
        self.family.clone()
    }
}

/// Histograms that differ in the values of their labels.
#[derive(Clone, Debug)]
pub struct Histograms<const N: usize> {
    labels: [&'static str; N],
    family: Family<LabelSet<N>, RawHistogram, Buckets>,
}

impl<const N: usize> Histograms<N> {
    pub(super) fn new(labels: [&'static str; N], buckets: &'static [f64]) -> Self {
        Self { labels, family: Family::new_with_constructor(Buckets(buckets)) }
    }

    /// The histogram of these label values, in the order of the label names.
    pub fn with(&self, values: [&'static str; N]) -> Histogram {
        Histogram(self.family.get_or_create_owned(&label_set(self.labels, values)))
    }
}

impl<const N: usize> Handle for Histograms<N> {
    fn metric(&self) -> impl Metric {
        self.family.clone()
    }
}

#[derive(Clone, Debug)]
struct Buckets(&'static [f64]);

impl MetricConstructor<RawHistogram> for Buckets {
    fn new_metric(&self) -> RawHistogram {
        RawHistogram::new(self.0.iter().copied())
    }
}

fn label_set<const N: usize>(names: [&'static str; N], values: [&'static str; N]) -> LabelSet<N> {
    std::array::from_fn(|index| (names[index], values[index]))
}
