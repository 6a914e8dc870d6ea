//! How many requests a second a key may make.

use std::num::NonZeroU32;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// An allowance of so many requests a second, and as many at once (the generic cell rate algorithm). Many cars in one
/// request are let in while any of it is left, and charged in full: what is more than there was is a debt that passes
/// like the rest.
#[derive(Debug)]
pub(crate) struct Allowance {
    began: Instant,
    /// Nanoseconds that a request costs.
    cost: u64,
    /// Nanoseconds that may be used up in advance.
    burst: u64,
    /// When all that was used will have passed, in nanoseconds since the beginning.
    used_until: AtomicU64,
}

impl Allowance {
    pub(crate) fn new(per_second: NonZeroU32) -> Self {
        let cost = 1_000_000_000 / u64::from(per_second.get());
        let burst = cost * (u64::from(per_second.get()) - 1);
        Self { began: Instant::now(), cost, burst, used_until: AtomicU64::new(0) }
    }

    /// Uses up one request, or tells how long to wait for one.
    pub(crate) fn admit(&self) -> Result<(), Duration> {
        let now = self.now();
        let admitted = self.used_until.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |used| {
            (used <= now + self.burst).then(|| used.max(now).saturating_add(self.cost))
        });
        admitted.map(drop).map_err(|used| Duration::from_nanos(used - now - self.burst))
    }

    /// Uses up so many requests, whether there are as many or not.
    pub(crate) fn charge(&self, requests: u64) {
        let (now, cost) = (self.now(), self.cost.saturating_mul(requests));
        let charged = |used: u64| Some(used.max(now).saturating_add(cost));
        // The closure never declines.
        let _ = self.used_until.fetch_update(Ordering::Relaxed, Ordering::Relaxed, charged);
    }

    fn now(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_nanos()).unwrap_or(u64::MAX / 2)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_many_at_once_as_in_a_second_and_debts_are_waited_for() {
        let allowance = Allowance::new(NonZeroU32::new(3).unwrap());
        assert!((0..3).all(|_| allowance.admit().is_ok()));
        assert!(allowance.admit().unwrap_err() <= Duration::from_secs(1) / 3);
        allowance.charge(30);
        let wait = allowance.admit().unwrap_err().as_secs_f64();
        assert!((9.5..10.5).contains(&wait), "{wait}");
    }
}
