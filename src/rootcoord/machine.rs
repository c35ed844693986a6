//! What the operating system says of the machine, as far as GetMetrics tells it.
//! Where there is no `/proc`, the figures are 0.

use std::{fs, path::Path, thread};

use parking_lot::Mutex;

/// Figures at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Hardware {
    /// Processors that this process may use.
    pub cpu_core_count: usize,
    /// Percent of all processors' time that was not idle since the last look.
    pub cpu_core_usage: f64,
    /// Bytes: the machine's memory, or the control group's limit if that is less.
    pub memory: u64,
    /// Bytes of this process, shared ones left out.
    pub memory_usage: u64,
}

/// Processor time since boot, in ticks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct CpuTime {
    busy: u64,
    total: u64,
}

/// Looks at the machine.
#[derive(Debug)]
pub struct Machine {
    last: Mutex<CpuTime>,
}

impl Default for Machine {
    fn default() -> Self {
        Self { last: Mutex::new(read("/proc/stat").as_deref().and_then(cpu_time).unwrap_or_default()) }
    }
}

impl Machine {
    /// Looks now. Reads a handful of small files that the kernel makes up.
    pub fn look(&self) -> Hardware {
        let now = read("/proc/stat").as_deref().and_then(cpu_time).unwrap_or_default();
        let before = std::mem::replace(&mut *self.last.lock(), now);
        let host = read("/proc/meminfo").as_deref().and_then(|text| kilobytes(text, "MemTotal:"));
        let memory = [host, group_limit()].into_iter().flatten().min().unwrap_or_default();
        Hardware {
            cpu_core_count: thread::available_parallelism().map_or(1, usize::from),
            cpu_core_usage: percent(before, now),
            memory,
            memory_usage: read("/proc/self/status").as_deref().and_then(own_memory).unwrap_or_default(),
        }
    }
}

fn read(path: impl AsRef<Path>) -> Option<String> {
    fs::read_to_string(path).ok()
}

/// The bytes on the line that begins with `field` and counts kilobytes.
fn kilobytes(text: &str, field: &str) -> Option<u64> {
    let rest = text.lines().find_map(|line| line.strip_prefix(field))?;
    rest.split_whitespace().next()?.parse::<u64>().ok()?.checked_mul(1024)
}

/// Resident, but neither files nor shared.
fn own_memory(status: &str) -> Option<u64> {
    let shared = |field| kilobytes(status, field).unwrap_or_default();
    Some(kilobytes(status, "VmRSS:")?.saturating_sub(shared("RssFile:")).saturating_sub(shared("RssShmem:")))
}

/// The first line: user, nice, system, idle, iowait, irq, softirq, steal; guests are in user.
fn cpu_time(stat: &str) -> Option<CpuTime> {
    let line = stat.lines().find_map(|line| line.strip_prefix("cpu "))?;
    let ticks: Vec<u64> = line.split_whitespace().take(8).map_while(|field| field.parse().ok()).collect();
    let total = ticks.iter().copied().fold(0, u64::saturating_add);
    let idle = ticks.get(3)?.saturating_add(ticks.get(4).copied().unwrap_or_default());
    Some(CpuTime { busy: total.saturating_sub(idle), total })
}

fn percent(before: CpuTime, now: CpuTime) -> f64 {
    let total = now.total.saturating_sub(before.total);
    if total == 0 {
        return 0.0;
    }
    (now.busy.saturating_sub(before.busy) as f64 / total as f64 * 100.0).min(100.0)
}

/// The least limit of the control groups that this process is in.
fn group_limit() -> Option<u64> {
    let own = read("/proc/self/cgroup").unwrap_or_default();
    limit_files(&own).iter().filter_map(|file| limit(&read(file)?)).min()
}

/// Where a limit may stand, by the lines of `/proc/self/cgroup`. Inside a container
/// the own group is mounted as the root.
fn limit_files(own: &str) -> Vec<String> {
    let mut files = vec![
        "/sys/fs/cgroup/memory.max".to_owned(),
        "/sys/fs/cgroup/memory/memory.limit_in_bytes".to_owned(),
    ];
    for line in own.lines() {
        let mut fields = line.splitn(3, ':');
        let (_, Some(controllers), Some(path)) = (fields.next(), fields.next(), fields.next()) else {
            continue;
        };
        let path = path.trim_end_matches('/');
        if controllers.is_empty() {
            files.push(format!("/sys/fs/cgroup{path}/memory.max"));
        } else if controllers.split(',').any(|controller| controller == "memory") {
            files.push(format!("/sys/fs/cgroup/memory{path}/memory.limit_in_bytes"));
        }
    }
    files
}

/// `max`, and the huge number by which old kernels say so, are no limits.
fn limit(text: &str) -> Option<u64> {
    text.trim().parse().ok().filter(|&bytes: &u64| bytes < 1 << 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_linux_writes() {
        let status = "VmRSS:\t   20480 kB\nRssAnon:\t 10240 kB\nRssFile:\t 8192 kB\nRssShmem:\t 1024 kB\n";
        assert_eq!(own_memory(status), Some(11_264 * 1024));
        assert_eq!(own_memory("VmRSS:\t 4 kB\n"), Some(4096));
        assert_eq!(own_memory("garbage"), None);
        assert_eq!(kilobytes("MemFree: 1 kB\nMemTotal:       16384 kB\n", "MemTotal:"), Some(16_777_216));
        assert_eq!(kilobytes("MemTotal: 99999999999999999999 kB\n", "MemTotal:"), None);

        let time = cpu_time("cpu  10 1 5 100 20 2 3 4 7 0\ncpu0 1 1 1 1\n");
        assert_eq!(time, Some(CpuTime { busy: 25, total: 145 }));
        assert_eq!(cpu_time("cpu  1 2"), None);
    }

    #[test]
    fn usage_is_what_passed_since_the_last_look() {
        let before = CpuTime { busy: 10, total: 100 };
        assert_eq!(percent(before, CpuTime { busy: 35, total: 200 }), 25.0);
        assert_eq!(percent(before, before), 0.0);
        assert_eq!(percent(CpuTime { busy: 5, total: 500 }, before), 0.0);
    }

    #[test]
    fn limits_of_both_kinds_of_control_groups_are_found() {
        let files = limit_files("12:cpu,cpuacct:/a\n5:memory:/kubepods/pod1\n0::/user.slice\ngarbage\n");
        assert!(files.contains(&"/sys/fs/cgroup/memory/kubepods/pod1/memory.limit_in_bytes".to_owned()));
        assert!(files.contains(&"/sys/fs/cgroup/user.slice/memory.max".to_owned()));
        assert_eq!(files.len(), 4);
        assert_eq!(limit("536870912\n"), Some(536_870_912));
        assert_eq!(limit("max\n"), None);
        assert_eq!(limit("9223372036854771712\n"), None);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn this_machine_has_processors_and_memory() {
        let hardware = Machine::default().look();
        assert!(hardware.cpu_core_count > 0 && hardware.memory > hardware.memory_usage);
        assert!(hardware.memory_usage > 0);
    }
}
