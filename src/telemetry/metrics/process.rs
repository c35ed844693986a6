//! What the operating system says of this process.

use std::{fs, time::Duration};

use nix::time::ClockId;
use parking_lot::Mutex;
use prometheus::{Counter, Registry, proto::MetricFamily};

use crate::{
    clock::Clock,
    telemetry::metrics::{
        names,
        register::{OptionalGauge, Register},
    },
};

/// The unit of times in `/proc/<pid>/stat`: hundredths of a second on every Linux of today.
const TICKS_PER_SECOND: u64 = 100;

/// The standard process metrics. Without `/proc` only the processor time is known.
#[derive(Debug)]
pub(super) struct ProcessMetrics {
    registry: Registry,
    /// Also keeps two scrapes from counting the same processor time twice.
    cpu: Mutex<Counter>,
    open_fds: OptionalGauge,
    max_fds: OptionalGauge,
    virtual_memory: OptionalGauge,
    resident_memory: OptionalGauge,
    threads: OptionalGauge,
}

impl ProcessMetrics {
    pub(super) fn new(clock: &dyn Clock) -> Self {
        let registry = Registry::new();
        let register = Register(&registry);
        let metrics = Self {
            cpu: Mutex::new(register.counter(&names::PROCESS_CPU)),
            open_fds: register.optional(&names::PROCESS_OPEN_FDS),
            max_fds: register.optional(&names::PROCESS_MAX_FDS),
            virtual_memory: register.optional(&names::PROCESS_VIRTUAL_MEMORY),
            resident_memory: register.optional(&names::PROCESS_RESIDENT_MEMORY),
            threads: register.optional(&names::PROCESS_THREADS),
            registry: registry.clone(),
        };
        let started = register.gauge(&names::PROCESS_START_TIME);
        if let Some(after_boot) =
            fs::read_to_string("/proc/self/stat").ok().as_deref().and_then(started_after_boot)
        {
            let age = clock.boot().since_boot().saturating_sub(after_boot);
            let at = Duration::from_nanos(clock.wall().0).saturating_sub(age);
            started.set(at.as_secs_f64());
        }
        metrics
    }

    /// Measures, and returns all of them.
    pub(super) fn gather(&self) -> Vec<MetricFamily> {
        if let Ok(used) = ClockId::CLOCK_PROCESS_CPUTIME_ID.now() {
            let cpu = self.cpu.lock();
            cpu.inc_by((Duration::from(used).as_secs_f64() - cpu.get()).max(0.0));
        }
        // The listing itself takes a descriptor.
        let open = fs::read_dir("/proc/self/fd").ok().map(|fds| fds.count().saturating_sub(1));
        self.open_fds.set(open.map(|count| count as f64));
        let limits = fs::read_to_string("/proc/self/limits").unwrap_or_default();
        self.max_fds.set(number_after(&limits, "Max open files"));
        let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
        let kilobytes = |field| number_after(&status, field).map(|kilobytes| kilobytes * 1024.0);
        self.virtual_memory.set(kilobytes("VmSize:"));
        self.resident_memory.set(kilobytes("VmRSS:"));
        self.threads.set(number_after(&status, "Threads:"));
        self.registry.gather()
    }
}

/// The number that follows on the line which begins with `field`.
fn number_after(text: &str, field: &str) -> Option<f64> {
    let rest = text.lines().find_map(|line| line.strip_prefix(field))?;
    rest.split_whitespace().next()?.parse::<u64>().ok().map(|number| number as f64)
}

/// The 22nd field of `/proc/<pid>/stat`. The second, the program's name, may hold anything.
fn started_after_boot(stat: &str) -> Option<Duration> {
    let (_, after_name) = stat.rsplit_once(')')?;
    let ticks: u64 = after_name.split_whitespace().nth(19)?.parse().ok()?;
    Some(Duration::from_millis(ticks.saturating_mul(1000 / TICKS_PER_SECOND)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_linux_writes() {
        let status = "Name:\tx\nVmSize:\t   20480 kB\nVmRSS:\t    1024 kB\nThreads:\t7\n";
        assert_eq!(number_after(status, "VmRSS:"), Some(1024.0));
        assert_eq!(number_after(status, "Threads:"), Some(7.0));
        assert_eq!(number_after(status, "VmPeak:"), None);
        let limits = "Max open files            1024                 524288               files     \n";
        assert_eq!(number_after(limits, "Max open files"), Some(1024.0));
        assert_eq!(number_after("Max open files            unlimited ", "Max open files"), None);

        let stat = "12813 (mil) vus (x) S 1 12813 12813 0 -1 4194560 100 0 0 0 5 3 0 0 20 0 9 0 123456 410709648 82432";
        assert_eq!(started_after_boot(stat), Some(Duration::from_millis(1_234_560)));
        assert_eq!(started_after_boot("garbage"), None);
    }
}
