//! Where it was measured: figures without that mean little.

use std::{fs, process::Command};

use crate::party::Party;

/// Lines for the head of the report.
pub fn describe(parties: &[Party]) -> Vec<String> {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let field = |text: &str, name: &str| {
        let line = text.lines().find(|line| line.starts_with(name))?;
        Some(line.split_once(':')?.1.trim().to_owned())
    };
    let processor =
        field(&read("/proc/cpuinfo"), "model name").unwrap_or_else(|| "unknown processor".to_owned());
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let memory = field(&read("/proc/meminfo"), "MemTotal").unwrap_or_default();
    let kernel = read("/proc/sys/kernel/osrelease");
    let names: Vec<&str> = parties.iter().map(|party| party.name()).collect();
    vec![
        format!("{processor}, {cores} cores, {memory}, Linux {}", kernel.trim()),
        etcd(),
        format!(
            "load before: {}",
            read("/proc/loadavg").split_whitespace().take(3).collect::<Vec<_>>().join(" ")
        ),
        format!("measured: {}", names.join(", ")),
    ]
}

fn etcd() -> String {
    let output = Command::new("etcd").arg("--version").output();
    let text = output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default();
    text.lines().next().unwrap_or("etcd of unknown version").to_owned()
}
