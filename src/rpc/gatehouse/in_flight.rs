//! Which calls are with the handlers, so that a hand-over can wait for them.

use std::{sync::Arc, time::Duration};

use arc_swap::ArcSwap;
use parking_lot::Mutex;
use tokio_util::sync::{CancellationToken, DropGuard};

/// Calls that were admitted between two looks.
#[derive(Debug)]
struct Generation {
    /// Dropped with the last of its calls.
    _calls: DropGuard,
}

/// A call that is with a handler.
#[derive(Debug)]
pub(crate) struct Admitted {
    _generation: Arc<Generation>,
}

/// Counts calls by generation: whoever waits begins a new one, and waits for the old ones.
#[derive(Debug)]
pub(super) struct InFlight {
    current: ArcSwap<Generation>,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    current_over: CancellationToken,
    earlier: Vec<CancellationToken>,
}

fn generation() -> (Arc<Generation>, CancellationToken) {
    let over = CancellationToken::new();
    (Arc::new(Generation { _calls: over.clone().drop_guard() }), over)
}

impl InFlight {
    pub(super) fn new() -> Self {
        let (current, current_over) = generation();
        Self {
            current: ArcSwap::new(current),
            state: Mutex::new(State { current_over, earlier: Vec::new() }),
        }
    }

    /// To be called *before* the standing is looked at: a call that is let in by the
    /// old standing then is in a generation that who changed the standing will wait for.
    pub(super) fn enter(&self) -> Admitted {
        Admitted { _generation: self.current.load_full() }
    }

    /// How many calls entered since the last [`drain`](Self::drain) are still inside.
    pub(super) fn count(&self) -> usize {
        // One is ours, one the load's.
        Arc::strong_count(&self.current.load_full()).saturating_sub(2)
    }

    /// Waits until all calls that have entered so far are done, `within` at most.
    /// Tells whether they are.
    pub(super) async fn drain(&self, within: Duration) -> bool {
        let waiting = {
            let (next, next_over) = generation();
            let mut state = self.state.lock();
            drop(self.current.swap(next));
            let over = std::mem::replace(&mut state.current_over, next_over);
            state.earlier.push(over);
            state.earlier.retain(|over| !over.is_cancelled());
            state.earlier.clone()
        };
        let all = async {
            for over in waiting {
                over.cancelled().await;
            }
        };
        tokio::time::timeout(within, all).await.is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn waits_for_those_inside_and_for_no_others() {
        let calls = InFlight::new();
        assert!(calls.drain(Duration::ZERO).await);
        let (one, two) = (calls.enter(), calls.enter());
        assert_eq!(calls.count(), 2);
        assert!(!calls.drain(Duration::from_secs(1)).await);
        // Also after the first one has given up waiting.
        let late = calls.enter();
        drop(one);
        let drain = calls.drain(Duration::from_secs(1));
        tokio::pin!(drain);
        assert!(futures::poll!(&mut drain).is_pending());
        drop(late);
        assert!(futures::poll!(&mut drain).is_pending());
        let after = calls.enter();
        drop(two);
        assert!(drain.await);
        assert_eq!(calls.count(), 1);
        drop(after);
        assert_eq!(calls.count(), 0);
    }
}
