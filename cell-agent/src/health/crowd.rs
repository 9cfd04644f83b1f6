//! How many instances of the cell are starting at this moment: the more, the less often each is
//! probed.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

/// Cloning it is cheap.
#[derive(Debug, Clone, Default)]
pub struct Crowd(Arc<AtomicU32>);

/// One of the crowd, until it is dropped.
#[derive(Debug)]
pub struct Member(Crowd);

impl Crowd {
    #[must_use]
    pub fn join(&self) -> Member {
        self.0.fetch_add(1, Ordering::Relaxed);
        Member(self.clone())
    }

    #[must_use]
    pub fn count(&self) -> u32 {
        self.0.load(Ordering::Relaxed)
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, Ordering::Relaxed);
    }
}
