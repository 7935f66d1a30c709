use std::fmt;
use std::fs;
use std::io;

use prometheus_client::collector::Collector as Collect;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use rustix::time::{ClockId, clock_gettime};

/// Reads the process's own figures when the page is made. A figure that cannot be
/// read is left out rather than shown as 0.
#[derive(Debug)]
pub(super) struct Collector;

impl Collect for Collector {
    fn encode(&self, mut page: DescriptorEncoder<'_>) -> fmt::Result {
        if let Ok(bytes) = resident_bytes() {
            let gauge = ConstGauge::new(bytes);
            write(&mut page, "process_resident_memory_bytes", "Memory in use.", &gauge)?;
        }
        let cpu = ConstCounter::new(cpu_seconds());
        write(&mut page, "process_cpu_seconds", "CPU time used.", &cpu)?;
        if let Ok(count) = open_files() {
            write(
                &mut page,
                "process_open_fds",
                "Open file descriptors.",
                &ConstGauge::new(count),
            )?;
        }
        Ok(())
    }
}

fn write(
    page: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    metric: &impl EncodeMetric,
) -> fmt::Result {
    metric.encode(page.encode_descriptor(name, help, None, metric.metric_type())?)
}

fn resident_bytes() -> io::Result<u64> {
    let status = fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kibibytes = line.and_then(|rest| rest.trim().strip_suffix(" kB")?.parse::<u64>().ok());
    kibibytes.map(|count| count * 1024).ok_or_else(|| io::ErrorKind::InvalidData.into())
}

fn cpu_seconds() -> f64 {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}

fn open_files() -> io::Result<u64> {
    // One of them is the directory being read.
    let count = fs::read_dir("/proc/self/fd")?.count().saturating_sub(1);
    Ok(u64::try_from(count).unwrap_or(u64::MAX))
}
