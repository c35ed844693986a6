//! A place for one link at a time, opened once for all who ask.

use std::{fmt, sync::Arc};

use futures::{
    FutureExt as _,
    future::{BoxFuture, Shared},
};
use parking_lot::Mutex;

use crate::{
    net::Dial,
    rpc::link::{Link, LinkError, LinkOwner, LinkSettings},
};

type Opening = Shared<BoxFuture<'static, Result<Link, Arc<LinkError>>>>;

/// Holds the link to whichever address was asked for last. Askers for the same
/// address share one attempt, and one failure.
pub struct Slot {
    dial: Arc<dyn Dial>,
    settings: LinkSettings,
    owner: LinkOwner,
    current: Mutex<Option<(String, Opening)>>,
}

impl fmt::Debug for Slot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let current = self.current.lock();
        f.debug_struct("Slot").field("address", &current.as_ref().map(|(address, _)| address)).finish()
    }
}

impl Slot {
    /// Empty so far.
    pub fn new(dial: Arc<dyn Dial>, settings: LinkSettings, owner: LinkOwner) -> Self {
        Self { dial, settings, owner, current: Mutex::new(None) }
    }

    /// The open link to `address`, made now if there is none.
    ///
    /// # Errors
    /// Why none could be opened; the next one who asks tries again.
    pub async fn link(&self, address: &str) -> Result<Link, Arc<LinkError>> {
        let opening = self.opening(address);
        let result = opening.clone().await;
        if result.is_err() {
            let mut current = self.current.lock();
            if current.as_ref().is_some_and(|(_, other)| other.ptr_eq(&opening)) {
                *current = None;
            }
        }
        result
    }

    /// Forgets the link, so that the next one who asks gets a new connection. Calls
    /// that run on it go on.
    pub fn forget(&self, link: &Link) {
        let mut current = self.current.lock();
        let same = current.as_ref().is_some_and(
            |(_, opening)| matches!(opening.peek(), Some(Ok(held)) if Arc::ptr_eq(&held.0, &link.0)),
        );
        if same {
            *current = None;
        }
    }

    fn opening(&self, address: &str) -> Opening {
        let mut current = self.current.lock();
        if let Some((held, opening)) = &*current
            && held == address
            && opening.peek().is_none_or(|result| result.as_ref().is_ok_and(Link::is_open))
        {
            return opening.clone();
        }
        let (dial, settings, owner) = (self.dial.clone(), self.settings, self.owner.clone());
        let to = address.to_owned();
        let opening = async move { Link::connect(&*dial, &to, settings, &owner).await.map_err(Arc::new) }
            .boxed()
            .shared();
        // Goes on when those who wait for it give up: the next one shall not find it half done and late.
        self.owner.tasks.spawn(opening.clone());
        *current = Some((address.to_owned(), opening.clone()));
        opening
    }
}
