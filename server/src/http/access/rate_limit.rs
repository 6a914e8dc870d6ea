//! A limit on requests per second.

use std::num::NonZeroU32;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// A limit of N requests per second with a burst of N (the generic cell rate algorithm). A request for many cars is
/// admitted while any of the limit is left and then charged in full: the excess is a debt that is paid off at the same
/// rate.
#[derive(Debug)]
pub(crate) struct RateLimit {
    began: Instant,
    /// Nanoseconds per request.
    cost: u64,
    /// Nanoseconds that may be used in advance.
    burst: u64,
    /// When everything used so far is paid off, in nanoseconds since `began`.
    used_until: AtomicU64,
}

impl RateLimit {
    pub(crate) fn new(per_second: NonZeroU32) -> Self {
        let cost = 1_000_000_000 / u64::from(per_second.get());
        let burst = cost * (u64::from(per_second.get()) - 1);
        Self { began: Instant::now(), cost, burst, used_until: AtomicU64::new(0) }
    }

    /// Charges one request, or returns how long to wait.
    pub(crate) fn admit(&self) -> Result<(), Duration> {
        let now = self.now();
        let admitted = self.used_until.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |used| {
            (used <= now + self.burst).then(|| used.max(now).saturating_add(self.cost))
        });
        admitted.map(drop).map_err(|used| Duration::from_nanos(used - now - self.burst))
    }

    /// Charges this many requests, even beyond the limit.
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
    fn a_burst_of_one_second_is_admitted_and_debts_are_paid_off() {
        let limit = RateLimit::new(NonZeroU32::new(3).unwrap());
        assert!((0..3).all(|_| limit.admit().is_ok()));
        assert!(limit.admit().unwrap_err() <= Duration::from_secs(1) / 3);
        limit.charge(30);
        let wait = limit.admit().unwrap_err().as_secs_f64();
        assert!((9.5..10.5).contains(&wait), "{wait}");
    }
}
