//! What an operator does to a cluster.

use std::{
    process::Stdio,
    time::{Duration, Instant},
};

use tokio::process::Command;

use super::{Cluster, Rootcoord};

/// How long a hand-over may take, the start of the program that asks for it included.
const LIMIT: Duration = Duration::from_secs(30);

impl Cluster {
    /// `milvus-coord switchover rootcoord`, to its end. Returns the moment before.
    ///
    /// # Panics
    /// When it fails, or no rootcoord is milvus-coord.
    pub async fn switchover(&self) -> Instant {
        let ours = self.options.rootcoords.iter().find_map(|rootcoord| match rootcoord {
            Rootcoord::Ours(program) => Some(program),
            Rootcoord::Real => None,
        });
        let endpoints: Vec<String> = self.etcd.endpoints().iter().map(|e| e.replace("http://", "")).collect();
        let mut command = Command::new(ours.expect("a milvus-coord, whose program can ask for it"));
        command.args(["switchover", "rootcoord"]).env_clear().env("ETCD_ENDPOINTS", endpoints.join(","));
        command.current_dir(self.etcd.folder()).stdin(Stdio::null()).kill_on_drop(true);
        let before = Instant::now();
        let output = tokio::time::timeout(LIMIT, command.output());
        let output = output.await.expect("a hand-over that ends").expect("milvus-coord starts");
        assert!(output.status.success(), "switchover: {}", String::from_utf8_lossy(&output.stderr));
        before
    }
}
