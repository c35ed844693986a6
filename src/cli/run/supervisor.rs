//! systemd, told where this process stands: `Type=notify`, watchdog and reload.
//!
//! READY is said once the instance has been STANDBY or ACTIVE: who restarts one after the
//! other may go on to the next one then. The watchdog hears of the process only while the
//! loop that drives the instance ticks, which is what the lease is renewed by, too: a process
//! that systemd believes to be alive can do its work.
//!
//! Without systemd there is no socket, and none of this happens.

use std::{sync::Arc, time::Duration};

use sd_notify::NotifyState;
use tokio::{
    signal::unix::Signal,
    sync::watch,
    time::{Interval, MissedTickBehavior, interval},
};
use tokio_util::sync::CancellationToken;

use super::reload::Reload;
use crate::{
    election::{standing::Standing, vitals::Vitals},
    etcd::lease::Pulse,
    hooks::queue::Told,
    ids::ServerId,
};

/// Several signs of life fit into the time that systemd waits for one: a tick that is late
/// once is no reason to be killed.
const BEATS: u32 = 4;

/// Whether this process was started by something that wants to be told.
pub(super) fn is_there(environment: &[(String, String)]) -> bool {
    environment.iter().any(|(name, value)| name == "NOTIFY_SOCKET" && !value.is_empty())
}

/// What the supervisor is told about.
pub(super) struct Supervised {
    /// What has happened so far.
    pub(super) told: watch::Receiver<Told>,
    /// Where the instance stands.
    pub(super) standing: watch::Receiver<Standing>,
    /// Its id.
    pub(super) own: watch::Receiver<ServerId>,
    /// Its sign of life.
    pub(super) vitals: Arc<Vitals>,
    /// Of the lease, whose renewal goes by the same sign.
    pub(super) lease: Duration,
    /// What a reload does.
    pub(super) reload: Reload,
}

/// See the module.
pub(super) struct Supervisor {
    about: Supervised,
    hangup: Signal,
    watchdog: Option<Interval>,
    ready: bool,
    stopping: bool,
    status: String,
}

impl Supervisor {
    /// `hangup`: what asks for a reload.
    pub(super) fn new(about: Supervised, hangup: Signal) -> Self {
        let watchdog = sd_notify::watchdog_enabled().map(|limit| {
            let mut beats = interval((limit / BEATS).max(Duration::from_millis(1)));
            beats.set_missed_tick_behavior(MissedTickBehavior::Delay);
            beats
        });
        Self { about, hangup, watchdog, ready: false, stopping: false, status: String::new() }
    }

    /// Tells until `over`. `stop`: the process is about to end.
    pub(super) async fn run(mut self, stop: CancellationToken, over: CancellationToken) {
        loop {
            self.say_news().await;
            tokio::select! {
                () = over.cancelled() => return,
                () = stop.cancelled(), if !self.stopping => self.stopping(vec![]).await,
                Ok(()) = self.about.told.changed() => {}
                Ok(()) = self.about.standing.changed() => {}
                Ok(()) = self.about.own.changed() => {}
                Some(()) = self.hangup.recv() => self.reload().await,
                () = beat(&mut self.watchdog) => self.beat().await,
            }
        }
    }

    /// What is different from what was said last.
    async fn say_news(&mut self) {
        let told = *self.about.told.borrow_and_update();
        let own = *self.about.own.borrow_and_update();
        let status = status(own, &self.about.standing.borrow_and_update());
        let mut news = Vec::new();
        if told.up && !self.ready {
            self.ready = true;
            news.push(NotifyState::Ready);
        }
        if status != self.status {
            self.status.clone_from(&status);
            news.push(NotifyState::Status(&status));
        }
        if told.ending && !self.stopping {
            self.stopping(news).await;
        } else if !news.is_empty() {
            say(&news).await;
        }
    }

    async fn stopping(&mut self, mut news: Vec<NotifyState<'_>>) {
        self.stopping = true;
        news.push(NotifyState::Stopping);
        say(&news).await;
    }

    async fn reload(&mut self) {
        // Before it is ready nothing may look like READY.
        let told = self.ready && !self.stopping;
        if told && let Ok(now) = NotifyState::monotonic_usec_now() {
            say(&[NotifyState::Reloading, now]).await;
        }
        self.about.reload.run().await;
        if told {
            say(&[NotifyState::Ready, NotifyState::Status(&self.status)]).await;
        }
    }

    async fn beat(&self) {
        let begun = *self.about.own.borrow() != ServerId(0);
        if self.stopping || is_at_work(begun, self.about.vitals.pulse(), self.about.lease) {
            say(&[NotifyState::Watchdog]).await;
        }
    }
}

/// While etcd has given no id nothing drives the instance, and this loop stands for it.
fn is_at_work(begun: bool, pulse: &Pulse, lease: Duration) -> bool {
    !begun || pulse.age() < lease / 2
}

async fn beat(watchdog: &mut Option<Interval>) {
    match watchdog {
        Some(beats) => {
            beats.tick().await;
        }
        None => std::future::pending().await,
    }
}

/// A supervisor that does not read its socket holds up nothing but what it is told.
async fn say(news: &[NotifyState<'_>]) {
    let lines: Vec<String> = news.iter().map(ToString::to_string).collect();
    let sent = tokio::task::spawn_blocking(move || {
        let news: Vec<_> = lines.iter().map(|line| NotifyState::Custom(line)).collect();
        sd_notify::notify(&news)
    });
    if let Ok(Err(error)) = sent.await {
        tracing::warn!(%error, "systemd could not be told");
    }
}

/// Where it stands, for `systemctl status`.
fn status(own: ServerId, standing: &Standing) -> String {
    let word = match standing {
        Standing::Starting => return "waiting for etcd".to_owned(),
        Standing::Standby { active: Some((peer, epoch)) } => {
            format!("STANDBY; {} at {} is ACTIVE, epoch {epoch}", peer.server_id, peer.address)
        }
        Standing::Standby { active: None } => "STANDBY; nobody is ACTIVE".to_owned(),
        Standing::Activating { epoch } => format!("about to be ACTIVE, epoch {epoch}"),
        Standing::Active { epoch } => format!("ACTIVE, epoch {epoch}"),
        Standing::Suspended { epoch } => format!("ACTIVE, epoch {epoch}; calls wait for etcd"),
        Standing::HandingOver { .. } => "handing over".to_owned(),
        Standing::Forwarding { to, .. } => {
            format!("handed over to {} at {}; forwarding calls", to.server_id, to.address)
        }
        Standing::Leaving { .. } => "ending".to_owned(),
    };
    if own == ServerId(0) { word } else { format!("server id {own}: {word}") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{clock::testing::Hand, election::standing::Peer, ids::Epoch};

    #[test]
    fn the_watchdog_goes_hungry_when_the_driver_is_stuck_as_the_lease_does() {
        let hand = Arc::new(Hand::default());
        let pulse = Pulse::new(Arc::clone(&hand) as _);
        let lease = Duration::from_secs(4);
        assert!(is_at_work(true, &pulse, lease));
        hand.set(Duration::from_millis(1999));
        assert!(is_at_work(true, &pulse, lease));
        hand.set(Duration::from_secs(2));
        assert!(!is_at_work(true, &pulse, lease));
        // Nothing drives it before etcd has answered.
        assert!(is_at_work(false, &pulse, lease));
        pulse.tick();
        assert!(is_at_work(true, &pulse, lease));
    }

    #[test]
    fn the_status_names_the_state_first() {
        let peer = Peer { server_id: ServerId(7), address: "10.0.0.7:53100".into() };
        let epoch = Epoch(61);
        let check = |standing, expected| assert_eq!(status(ServerId(4), &standing), expected);
        check(Standing::Active { epoch }, "server id 4: ACTIVE, epoch 61");
        check(Standing::Standby { active: None }, "server id 4: STANDBY; nobody is ACTIVE");
        check(
            Standing::Standby { active: Some((peer.clone(), epoch)) },
            "server id 4: STANDBY; 7 at 10.0.0.7:53100 is ACTIVE, epoch 61",
        );
        check(
            Standing::Forwarding { to: peer, epoch },
            "server id 4: handed over to 7 at 10.0.0.7:53100; forwarding calls",
        );
        assert_eq!(status(ServerId(0), &Standing::Starting), "waiting for etcd");
    }
}
