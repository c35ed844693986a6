//! Wall clocks that jump while a process runs, by libfaketime.
//!
//! Only the wall clock of dynamically linked programs: boot and monotonic clocks go
//! on evenly, as on a real machine, and Go programs ask the kernel themselves.

use std::{
    fs,
    path::{Path, PathBuf},
};

/// The clock of one process (or of several, if they get the same variables).
#[derive(Clone, Debug)]
pub struct Faketime {
    library: PathBuf,
    file: PathBuf,
}

impl Faketime {
    /// A clock that is right, kept in a file in `folder`.
    ///
    /// # Errors
    /// libfaketime is not installed, or the file can't be written.
    pub fn new(folder: &Path) -> Result<Self, String> {
        let library = find().ok_or("libfaketime is not installed (package faketime)")?;
        let clock = Self { library, file: folder.join("clock") };
        clock.set(0).map_err(|e| format!("{}: {e}", clock.file.display()))?;
        Ok(clock)
    }

    /// The environment of a process that shall live by this clock.
    pub fn environment(&self) -> [(&'static str, String); 4] {
        [
            ("LD_PRELOAD", self.library.display().to_string()),
            ("FAKETIME_TIMESTAMP_FILE", self.file.display().to_string()),
            ("FAKETIME_NO_CACHE", "1".to_owned()),
            ("FAKETIME_DONT_FAKE_MONOTONIC", "1".to_owned()),
        ]
    }

    /// From now on the wall clock is this many seconds off the real one.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn set(&self, seconds: i64) -> std::io::Result<()> {
        // In one step: the process may read at any moment.
        let next = self.file.with_extension("next");
        fs::write(&next, format!("{seconds:+}\n"))?;
        fs::rename(next, &self.file)
    }
}

fn find() -> Option<PathBuf> {
    let folders = fs::read_dir("/usr/lib").ok()?.flatten().map(|entry| entry.path());
    folders
        .chain([PathBuf::from("/usr/lib"), PathBuf::from("/usr/lib64")])
        .map(|folder| folder.join("faketime/libfaketime.so.1"))
        .find(|library| library.exists())
}

#[cfg(test)]
mod tests {
    use std::{
        process::{Command, Stdio},
        time::{SystemTime, UNIX_EPOCH},
    };

    use super::*;

    /// Wall clock in seconds and boot clock in seconds, as a fresh process sees them.
    fn clocks(clock: &Faketime) -> (i64, f64) {
        let script = "import time; print(int(time.time()), time.clock_gettime(time.CLOCK_BOOTTIME))";
        let output = Command::new("python3")
            .args(["-c", script])
            .envs(clock.environment())
            .stderr(Stdio::inherit())
            .output()
            .unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        let (wall, boot) = text.trim().split_once(' ').unwrap();
        (wall.parse().unwrap(), boot.parse().unwrap())
    }

    #[test]
    fn the_wall_clock_jumps_and_the_boot_clock_does_not() {
        let dir = tempfile::tempdir().unwrap();
        let clock = crate::or_skip!(Faketime::new(dir.path()));
        let (_, boot_before) = clocks(&clock);
        clock.set(-3600).unwrap();
        let (wall, boot) = clocks(&clock);
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs().cast_signed();
        assert!((now - 3600 - wall).abs() < 60, "{wall}");
        assert!((0.0..60.0).contains(&(boot - boot_before)), "{boot_before} {boot}");
    }
}
