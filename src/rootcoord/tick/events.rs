//! What operators hear of ticks. Milvus's own lines have its words and fields.

use std::{fmt, sync::Arc, time::Duration};

use tracing::{info, warn};

use super::alarms::LONG;
use crate::{
    clock::Clock,
    ids::ServerId,
    mq::QueueError,
    telemetry::{
        events::Events,
        log::Chain,
        metrics::{RootCoordMetrics, millis},
    },
    tso::hybrid::Timestamp,
};

/// Hears of ticks. What may happen often comes at a bearable rate.
pub trait TickWitness: Send + Sync + fmt::Debug {
    /// A proxy has a session: it holds back every channel until it reports.
    fn joined(&self, proxy: ServerId);

    /// Its session is gone.
    fn left(&self, proxy: ServerId);

    /// A tick is in its channel, so long after it was given to the queue.
    fn sent(&self, channel: &str, ts: Timestamp, took: Duration);

    /// No ticks go there any more.
    fn unused(&self, channel: &str);

    /// That took longer than ticks are apart. `channels`: how many there are.
    fn slow(&self, channel: &str, channels: usize, took: Duration);

    /// The queue did not take a tick, or may not have.
    fn failed(&self, channel: &str, error: &QueueError);

    /// These have not reported for so long, and hold back every channel.
    fn idle(&self, proxies: &[ServerId], time: Duration);

    /// No channel has got a tick for a long time.
    fn silent(&self);
}

/// Writes the lines and counts.
#[derive(Clone, Debug)]
pub struct TickEvents {
    events: Events,
    clock: Arc<dyn Clock>,
}

impl TickEvents {
    /// Through `events`.
    pub fn new(events: Events, clock: Arc<dyn Clock>) -> Self {
        Self { events, clock }
    }

    fn metrics(&self) -> &RootCoordMetrics {
        &self.events.metrics().rootcoord
    }
}

impl TickWitness for TickEvents {
    fn joined(&self, proxy: ServerId) {
        info!(serverID = proxy.0, "Add session for timeticksync");
    }

    fn left(&self, proxy: ServerId) {
        info!(serverID = proxy.0, "Remove session from timeticksync");
    }

    fn sent(&self, channel: &str, ts: Timestamp, took: Duration) {
        let lag = millis(self.clock.wall().since(ts.physical()));
        self.metrics().produce_tt_lag.with_label_values(&[channel]).set(lag);
        self.metrics().sync_timetick_latency.observe(millis(took));
    }

    fn unused(&self, channel: &str) {
        // A channel that never got a tick has no figure.
        _ = self.metrics().produce_tt_lag.remove_label_values(&[channel]);
    }

    fn slow(&self, channel: &str, channels: usize, took: Duration) {
        let span = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
        warn!(chanNum = channels, span, channel, "rootcoord send tt to all channels too slowly");
    }

    fn failed(&self, channel: &str, error: &QueueError) {
        warn!(channel, error = %Chain(error), "SendTimeTickToChannel fail");
    }

    fn idle(&self, proxies: &[ServerId], time: Duration) {
        let list: Vec<i64> = proxies.iter().map(|proxy| proxy.0).collect();
        let time = u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        warn!("idle list" = ?list, "idle time" = time, "session idle for long time");
    }

    fn silent(&self) {
        let minutes = LONG.as_secs_f64() / 60.0;
        warn!("RootCoord haven't synchronized the time tick for {minutes:.6} minutes");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        ids::Role,
        telemetry::{
            log::LogLevel,
            metrics::Metrics,
            testing::{Stopped, lines_of},
        },
    };

    fn events() -> TickEvents {
        let clock = Arc::new(Stopped);
        TickEvents::new(Events::new(Role::RootCoord, Metrics::new(Role::RootCoord, &*clock)), clock)
    }

    #[test]
    fn trouble_leaves_milvus_s_lines() {
        let events = events();
        let refused = QueueError::Refused {
            queue: "kafka",
            address: "broker:9092".to_owned(),
            channel: "dml_0".to_owned(),
            reason: "too large".to_owned(),
        };
        let lines = lines_of(LogLevel::Info, || {
            events.joined(ServerId(7));
            events.idle(&[ServerId(7), ServerId(9)], Duration::from_millis(2_200));
            events.failed("dml_0", &refused);
            events.slow("dml_0", 4, Duration::from_millis(787));
            events.silent();
            events.left(ServerId(7));
        });
        assert_eq!(
            lines,
            [
                r#"[INFO] ["Add session for timeticksync"] [serverID=7]"#,
                r#"[WARN] ["session idle for long time"] ["idle list"="[7, 9]"] ["idle time"=2200]"#,
                r#"[WARN] ["SendTimeTickToChannel fail"] [channel=dml_0] [error="message queue kafka at broker:9092 refuses messages of dml_0: too large"]"#,
                r#"[WARN] ["rootcoord send tt to all channels too slowly"] [chanNum=4] [span=787] [channel=dml_0]"#,
                r#"[WARN] ["RootCoord haven't synchronized the time tick for 2.000000 minutes"]"#,
                r#"[INFO] ["Remove session from timeticksync"] [serverID=7]"#,
            ]
        );
    }

    #[test]
    fn a_channel_has_a_lag_while_ticks_go_there() {
        let events = events();
        let wall = Stopped.wall();
        let lag = |channel| events.metrics().produce_tt_lag.with_label_values(&[channel]).get();
        events.sent("dml_0", Timestamp::at_milli(wall.millis() - 250), Duration::from_millis(3));
        assert_eq!(lag("dml_0"), 250.0);
        assert_eq!(events.metrics().sync_timetick_latency.get_sample_count(), 1);
        events.unused("dml_0");
        assert_eq!(lag("dml_0"), 0.0);
    }
}
