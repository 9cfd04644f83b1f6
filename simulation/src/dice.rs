//! The one source of chance in the world. SplitMix64, written out here, so that a seed means the
//! same world for as long as this file stays as it is.

use std::time::Duration;

/// Numbers that only the seed decides.
#[derive(Debug, Clone)]
pub struct Dice(u64);

impl Dice {
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// Dice of their own for one part of the world: what it draws moves no other part.
    pub fn fork(&mut self) -> Self {
        Self(self.roll())
    }

    pub fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// In `low..=high`.
    pub fn between(&mut self, low: u64, high: u64) -> u64 {
        low + self.roll() % (high.max(low) - low + 1)
    }

    /// As `between`, for counts and sizes.
    pub fn count(&mut self, low: u32, high: u32) -> u32 {
        u32::try_from(self.between(low.into(), high.into())).unwrap_or(high)
    }

    pub fn index(&mut self, length: usize) -> usize {
        usize::try_from(self.roll() % (length.max(1) as u64)).unwrap_or_default()
    }

    pub fn ms(&mut self, low: u64, high: u64) -> Duration {
        Duration::from_micros(self.between(low * 1_000, high * 1_000))
    }

    pub fn chance(&mut self, percent: u32) -> bool {
        self.between(0, 99) < u64::from(percent)
    }

    /// One of some; the list must not be empty.
    pub fn pick<'a, T>(&mut self, some: &'a [T]) -> &'a T {
        &some[self.index(some.len())]
    }

    pub fn guid<Guid: From<uuid::Uuid>>(&mut self) -> Guid {
        let (high, low) = (u128::from(self.roll()), u128::from(self.roll()));
        Guid::from(uuid::Builder::from_u128((high << 64) | low).into_uuid())
    }
}
