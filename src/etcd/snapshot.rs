//! Several ranges as they are at one revision, in pages.
//!
//! The first pages of all ranges come in one transaction, so small sets need no more
//! than that, and even an etcd that is compacted every few milliseconds can be loaded:
//! each time a page comes too late the next attempt asks for larger ones.

use std::time::Duration;

use crate::{
    etcd::{
        Etcd,
        call::{Answer, CallError, Header, Refusal},
        feed::Wanted,
        mirror::{KeyRange, MirrorEvent},
        requests::Page,
    },
    ids::Revision,
};

/// Entries a page, to begin with.
const PAGE: usize = 1_000;
/// More ranges than one transaction may read: then all between them is loaded, and
/// what is not wanted is dropped here.
const MOST_RANGES: usize = 100;
/// How long one page may take.
const PAGE_LIMIT: Duration = Duration::from_secs(10);

/// How many entries are asked for at once.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PageSize {
    now: usize,
    most: usize,
}

impl Default for PageSize {
    fn default() -> Self {
        Self { now: PAGE, most: usize::MAX }
    }
}

impl PageSize {
    /// The answer did not fit. `false`: nothing smaller is left.
    fn shrink(&mut self) -> bool {
        let shrunk = self.now / 2;
        if shrunk == 0 {
            return false;
        }
        self.now = shrunk;
        self.most = shrunk;
        true
    }

    fn grow(&mut self) {
        self.now = self.now.saturating_mul(4).min(self.most);
    }
}

/// Delivers `Reset`, the wanted entries, and `Loaded`.
///
/// # Errors
/// What etcd says. After `Compacted` the next attempt gets further.
pub(crate) async fn load(
    etcd: &Etcd,
    wanted: &Wanted,
    size: &mut PageSize,
    deliver: &mut (dyn FnMut(MirrorEvent) + Send),
) -> Result<Header, CallError> {
    let ranges = match wanted.ranges() {
        [first, .., last] if wanted.ranges().len() > MOST_RANGES => {
            &[KeyRange { start: first.start.clone(), end: last.end.clone() }]
        }
        ranges => ranges,
    };
    let first = loop {
        match etcd.first_pages(ranges, size.now, PAGE_LIMIT).await {
            Err(error) if is_too_large(&error) && size.shrink() => {}
            end => break end?,
        }
    };
    let Answer { header, value: pages, .. } = first;
    deliver(MirrorEvent::Reset);
    for (range, mut page) in ranges.iter().zip(pages) {
        loop {
            let entries = page.entries.into_iter().filter(|kv| wanted.contains(&kv.key));
            entries.map(MirrorEvent::Entry).for_each(&mut *deliver);
            let Some(from) = page.next else { break };
            page = match next_page(etcd, &from, range, header.revision, size).await {
                Err(error) if error.refusal() == Some(&Refusal::Compacted) => {
                    size.grow();
                    return Err(error);
                }
                end => end?,
            };
            // The sink works on this thread, which others need too.
            tokio::task::yield_now().await;
        }
    }
    deliver(MirrorEvent::Loaded(header));
    Ok(header)
}

async fn next_page(
    etcd: &Etcd,
    from: &[u8],
    range: &KeyRange,
    revision: Revision,
    size: &mut PageSize,
) -> Result<Page, CallError> {
    loop {
        match etcd.page(from, &range.end, Some(revision), size.now, PAGE_LIMIT).await {
            Err(error) if is_too_large(&error) && size.shrink() => {}
            end => return end.map(|answer| answer.value),
        }
    }
}

fn is_too_large(error: &CallError) -> bool {
    matches!(error.refusal(), Some(Refusal::TooLarge(_)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_shrink_for_good_and_grow_up_to_that() {
        let mut size = PageSize::default();
        size.grow();
        assert_eq!(size.now, 4 * PAGE);
        assert!(size.shrink());
        size.grow();
        assert_eq!(size.now, 2 * PAGE);
        while size.shrink() {}
        assert_eq!(size.now, 1);
    }
}
