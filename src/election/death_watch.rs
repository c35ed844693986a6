//! Certain news of another process's end, from the kernel of the same machine.
//!
//! Each process holds an exclusive lock on a file of its own in the run directory,
//! taken before its session appears in etcd and never released by itself: the kernel
//! releases it when the last of the process is gone. Others wait for that lock. Who
//! gets it knows that the process can answer nobody any more.
//!
//! It says nothing where the directory is not shared (another machine, a container of
//! its own) or not local (a network file system may lose locks of a living holder):
//! then hints and the lease decide.

use std::{
    collections::HashSet,
    fmt, fs,
    io::{self, Write as _},
    os::{fd::OwnedFd, unix::fs::OpenOptionsExt as _},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use nix::{
    errno::Errno,
    fcntl::{Flock, FlockArg},
    sys::statfs::{FsType, statfs},
};
use parking_lot::Mutex;

use crate::{
    descriptors::{ClosedEarly, raise},
    ids::{Role, ServerId},
};

/// Called once with the id of a process that is gone.
pub type OnGone = Arc<dyn Fn(ServerId) + Send + Sync>;

/// Tells when processes of this machine end.
pub trait DeathWatch: Send + Sync + fmt::Debug {
    /// Marks the own process as alive until it ends.
    ///
    /// # Errors
    /// If this can't be had here; the caller goes on without certainty.
    fn declare(&self, own: ServerId) -> io::Result<()>;

    /// Asks for `on_gone` when that process ends, once per process. Says nothing
    /// about a process that was never declared on this machine.
    fn watch(&self, of: ServerId, on_gone: OnGone);
}

/// No certainty: everything is on other machines.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoDeathWatch;

impl DeathWatch for NoDeathWatch {
    fn declare(&self, _own: ServerId) -> io::Result<()> {
        Ok(())
    }

    fn watch(&self, _of: ServerId, _on_gone: OnGone) {}
}

/// Lock files in a directory of this machine.
#[derive(Debug)]
pub struct LockFiles {
    directory: PathBuf,
    role: Role,
    own: Mutex<Option<Flock<fs::File>>>,
    watched: Mutex<HashSet<ServerId>>,
}

/// File systems on which a lock's holder may be alive without the lock.
const NETWORK_FILE_SYSTEMS: [i64; 8] = [
    0x6969,      // NFS
    0xff53_4d42, // CIFS
    0xfe53_4d42, // SMB2
    0x517b,      // SMB
    0x0102_1997, // 9p
    0x00c3_6400, // Ceph
    0x6573_5546, // FUSE
    0x0116_1970, // GFS2
];

/// Lock files older than this whose process is gone are removed; younger ones may
/// still be news to somebody.
const STALE_AFTER: Duration = Duration::from_secs(3600);

impl LockFiles {
    /// Lock files below `run_directory`, kept apart by `cluster` (the same role and id
    /// can exist in two clusters on one machine).
    ///
    /// # Errors
    /// If the directory can't be made or is not local.
    pub fn open(run_directory: &Path, cluster: &str, role: Role) -> io::Result<Self> {
        let directory = run_directory.join("milvus-coord").join(cluster);
        fs::create_dir_all(&directory)?;
        let FsType(kind) = statfs(&directory)?.filesystem_type();
        #[expect(clippy::useless_conversion, reason = "the type differs between platforms")]
        let kind = i64::from(kind);
        if NETWORK_FILE_SYSTEMS.contains(&kind) {
            return Err(io::Error::new(
                io::ErrorKind::Unsupported,
                format!("{} is on a network file system", directory.display()),
            ));
        }
        Ok(Self { directory, role, own: Mutex::default(), watched: Mutex::default() })
    }

    fn path(&self, id: ServerId) -> PathBuf {
        self.directory.join(format!("{}-{id}.lock", self.role))
    }

    /// Removes the files of processes that ended long ago.
    fn sweep(&self) {
        let Ok(entries) = fs::read_dir(&self.directory) else { return };
        for entry in entries.flatten() {
            let stale = entry
                .metadata()
                .and_then(|metadata| metadata.modified())
                .is_ok_and(|at| at.elapsed().is_ok_and(|age| age > STALE_AFTER));
            if !stale {
                continue;
            }
            let Ok(file) = fs::File::open(entry.path()) else { continue };
            if Flock::lock(file, FlockArg::LockExclusiveNonblock).is_ok() {
                // Somebody else may sweep, too; either way it is gone.
                let _ = fs::remove_file(entry.path());
            }
        }
    }
}

impl DeathWatch for LockFiles {
    fn declare(&self, own: ServerId) -> io::Result<()> {
        self.sweep();
        let file = fs::OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o644)
            .open(self.path(own))?;
        let file = fs::File::from(raise(OwnedFd::from(file), ClosedEarly::Lock));
        let mut lock = Flock::lock(file, FlockArg::LockExclusiveNonblock)
            .map_err(|(_, errno)| io::Error::from(errno))?;
        write!(lock, "{}", std::process::id())?;
        *self.own.lock() = Some(lock);
        Ok(())
    }

    fn watch(&self, of: ServerId, on_gone: OnGone) {
        if !self.watched.lock().insert(of) {
            return;
        }
        let Ok(file) = fs::File::open(self.path(of)) else {
            // Not of this machine, as far as can be seen from here; it may still appear.
            self.watched.lock().remove(&of);
            return;
        };
        // The wait for a lock can't be given up, so it has a thread of its own that no
        // runtime waits for. It ends with the watched process, or with this one.
        let waiter = move || {
            if wait_for_release(file).is_ok() {
                on_gone(of);
            }
        };
        let spawned =
            std::thread::Builder::new().name(format!("watch-{of}")).stack_size(64 * 1024).spawn(waiter);
        if let Err(error) = spawned {
            tracing::warn!(%error, server_id = of.0, "cannot watch a process of this machine");
            self.watched.lock().remove(&of);
        }
    }
}

/// Waits until nobody holds the file's lock exclusively. Shared, so that all who wait learn of it.
fn wait_for_release(mut file: fs::File) -> Result<(), Errno> {
    loop {
        match Flock::lock(file, FlockArg::LockShared) {
            Ok(_lock) => return Ok(()),
            Err((same, Errno::EINTR)) => file = same,
            Err((_, errno)) => return Err(errno),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    fn notify(sender: mpsc::Sender<ServerId>) -> OnGone {
        Arc::new(move |id| sender.send(id).unwrap())
    }

    #[test]
    fn all_watchers_learn_of_the_end_and_nobody_before() {
        let directory = tempfile::tempdir().unwrap();
        let open = || LockFiles::open(directory.path(), "c", Role::RootCoord).unwrap();
        let holder = open();
        holder.declare(ServerId(7)).unwrap();
        let (sender, gone) = mpsc::channel();
        let (first, second) = (open(), open());
        first.watch(ServerId(7), notify(sender.clone()));
        first.watch(ServerId(7), notify(sender.clone()));
        second.watch(ServerId(7), notify(sender));
        assert_eq!(gone.recv_timeout(Duration::from_millis(50)), Err(mpsc::RecvTimeoutError::Timeout));
        drop(holder);
        for _ in 0..2 {
            assert_eq!(gone.recv_timeout(Duration::from_secs(10)), Ok(ServerId(7)));
        }
        assert_eq!(gone.recv_timeout(Duration::from_millis(50)), Err(mpsc::RecvTimeoutError::Disconnected));
    }

    #[test]
    fn nothing_is_said_of_a_process_that_was_never_here() {
        let directory = tempfile::tempdir().unwrap();
        let files = LockFiles::open(directory.path(), "c", Role::RootCoord).unwrap();
        let (sender, gone) = mpsc::channel();
        files.watch(ServerId(8), notify(sender));
        assert_eq!(gone.recv_timeout(Duration::from_secs(10)), Err(mpsc::RecvTimeoutError::Disconnected));
    }

    #[test]
    fn clusters_do_not_mix() {
        let directory = tempfile::tempdir().unwrap();
        let open = |cluster| LockFiles::open(directory.path(), cluster, Role::RootCoord).unwrap();
        open("a").declare(ServerId(1)).unwrap();
        let (sender, gone) = mpsc::channel();
        open("b").watch(ServerId(1), notify(sender));
        assert_eq!(gone.recv_timeout(Duration::from_secs(10)), Err(mpsc::RecvTimeoutError::Disconnected));
    }
}
