//! Takes the place of the operating system's source of chance, so that a seed decides
//! everything: the keys of hash maps, the order in which tokio looks at the branches of
//! a `select!`, and whatever the product draws.
//!
//! Part of the binary only, and in force from [`seed`] on. Libraries find it because the
//! linker prefers a symbol of the program to one of the C library.
#![expect(unsafe_code, reason = "a symbol of the C library is replaced")]

use std::{
    ffi::{c_long, c_uint},
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
};

static SEEDED: AtomicBool = AtomicBool::new(false);
static STATE: AtomicU64 = AtomicU64::new(0);

/// From now on every byte follows from `seed`, for threads that have not drawn any before.
pub(crate) fn seed(seed: u64) {
    STATE.store(seed, Ordering::SeqCst);
    SEEDED.store(true, Ordering::SeqCst);
}

/// The next number of the SplitMix64 sequence.
fn next() -> u64 {
    const STEP: u64 = 0x9e37_79b9_7f4a_7c15;
    let mut z = STATE.fetch_add(STEP, Ordering::SeqCst).wrapping_add(STEP);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// As in the C library.
///
/// # Safety
/// `buffer` points to `length` writable bytes.
#[unsafe(no_mangle)]
unsafe extern "C" fn getrandom(buffer: *mut u8, length: usize, flags: c_uint) -> isize {
    if !SEEDED.load(Ordering::SeqCst) {
        // SAFETY: the arguments are the caller's, for the call that it wanted.
        let got: c_long = unsafe { libc::syscall(libc::SYS_getrandom, buffer, length, flags) };
        return isize::try_from(got).unwrap_or(-1);
    }
    // SAFETY: promised by the caller.
    let bytes = unsafe { std::slice::from_raw_parts_mut(buffer, length) };
    for chunk in bytes.chunks_mut(8) {
        chunk.copy_from_slice(&next().to_le_bytes()[..chunk.len()]);
    }
    isize::try_from(length).unwrap_or(isize::MAX)
}
