//! A limit on failed authentication attempts per address.

use std::collections::{HashMap, HashSet};
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::config::Secret;
use crate::http::budget::Caller;

/// The number of wrong keys that an address may send at once.
const BURST: f64 = 10.0;
/// The number of wrong keys per second after that.
const PER_SECOND: f64 = 1.0;
/// The maximum number of addresses to remember, at about 100 bytes each.
const MAX_ADDRESSES: usize = 10_000;

/// The keys that addresses have sent.
///
/// After too many wrong keys, all new keys from an address are refused for a while, so guessing is slow even if a guess is
/// right. Keys that were used from the address before still work, since many callers may share the address of a proxy.
#[derive(Debug, Default)]
pub(crate) struct Attempts {
    known: Mutex<Known>,
}

#[derive(Debug, Default)]
struct Known {
    wrong: HashMap<Caller, FailureCount>,
    right: HashSet<(Caller, Secret)>,
}

/// The number of wrong keys from an address, which decreases by [`PER_SECOND`].
#[derive(Clone, Copy, Debug)]
struct FailureCount {
    count: f64,
    at: Instant,
}

impl Attempts {
    /// Records that an address sent this secret, or a wrong key if `None`. The error is the time to wait.
    pub(crate) fn record(&self, address: IpAddr, secret: Option<&Secret>, now: Instant) -> Result<(), Duration> {
        let caller = Caller::at(address);
        let known = &mut *self.lock();
        let pair = secret.map(|secret| (caller, secret.clone()));
        if pair.as_ref().is_some_and(|pair| known.right.contains(pair)) {
            return Ok(());
        }
        let count = known.wrong.get(&caller).map_or(0.0, |wrong| wrong.count_at(now));
        if count > BURST - 1.0 {
            return Err(Duration::from_secs_f64((count - (BURST - 1.0)) / PER_SECOND));
        }
        if let Some(pair) = pair {
            known.make_room_for_right();
            known.right.insert(pair);
        } else {
            known.make_room_for_wrong(now);
            known.wrong.insert(caller, FailureCount { count: count + 1.0, at: now });
        }
        Ok(())
    }

    /// Nothing under the lock can panic halfway.
    fn lock(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Known {
    /// Forgets the addresses whose count is zero, or else all: an attacker with thousands of addresses gains some guesses, but
    /// no caller is refused because of others.
    fn make_room_for_wrong(&mut self, now: Instant) {
        if self.wrong.len() >= MAX_ADDRESSES {
            self.wrong.retain(|_, wrong| wrong.count_at(now) > 0.0);
        }
        if self.wrong.len() >= MAX_ADDRESSES {
            self.wrong.clear();
        }
    }

    /// Forgets all right keys if there are too many; each is remembered again at its next use.
    fn make_room_for_right(&mut self) {
        if self.right.len() >= MAX_ADDRESSES {
            self.right.clear();
        }
    }
}

impl FailureCount {
    fn count_at(self, now: Instant) -> f64 {
        let elapsed = now.saturating_duration_since(self.at).as_secs_f64();
        (self.count - elapsed * PER_SECOND).max(0.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EVE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1));
    const BOB: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 2));

    fn wait(attempts: &Attempts, address: IpAddr, now: Instant) -> Duration {
        while attempts.record(address, None, now).is_ok() {}
        attempts.record(address, None, now).unwrap_err()
    }

    #[test]
    fn wrong_keys_are_limited_to_one_per_second() {
        let (attempts, start) = (Attempts::default(), Instant::now());
        let at_once = (0..100).filter(|_| attempts.record(EVE, None, start).is_ok()).count();
        assert_eq!(at_once, 10);
        assert_eq!(attempts.record(EVE, None, start), Err(Duration::from_secs(1)));
        let in_an_hour =
            (0..36_000).filter(|tenth| attempts.record(EVE, None, start + Duration::from_millis(tenth * 100)).is_ok());
        assert_eq!(in_an_hour.count(), 3599);
    }

    #[test]
    fn guessing_stays_slow_even_for_a_right_key() {
        let (attempts, key, now) = (Attempts::default(), Secret::new("key"), Instant::now());
        wait(&attempts, EVE, now);
        assert!(attempts.record(EVE, Some(&key), now).is_err());
        assert!(attempts.record(EVE, Some(&key), now + Duration::from_secs(1)).is_ok());
    }

    #[test]
    fn wrong_keys_do_not_lock_out_other_callers() {
        let (attempts, key, now) = (Attempts::default(), Secret::new("key"), Instant::now());
        assert!(attempts.record(EVE, Some(&key), now).is_ok());
        wait(&attempts, EVE, now);
        assert!(attempts.record(EVE, Some(&key), now).is_ok(), "the key was used from this address before");
        assert!(attempts.record(BOB, Some(&key), now).is_ok(), "another address");
        for _ in 0..1000 {
            assert!(attempts.record(BOB, Some(&key), now).is_ok(), "right keys are not counted");
        }
    }

    #[test]
    fn an_ipv6_network_is_one_address() {
        let (attempts, now) = (Attempts::default(), Instant::now());
        wait(&attempts, "2001:db8::1".parse().unwrap(), now);
        assert!(attempts.record("2001:db8::ffff:0:0:2".parse().unwrap(), None, now).is_err());
        assert!(attempts.record("2001:db8:0:1::1".parse().unwrap(), None, now).is_ok());
    }

    #[test]
    fn memory_stays_bounded() {
        let (attempts, now) = (Attempts::default(), Instant::now());
        for number in 0..25_000_u32 {
            let address = IpAddr::from(number.to_be_bytes());
            let key = Secret::new(number.to_be_bytes());
            assert!(attempts.record(address, None, now).is_ok() && attempts.record(address, Some(&key), now).is_ok());
        }
        let known = attempts.lock();
        assert!(known.wrong.len() <= MAX_ADDRESSES && known.right.len() <= MAX_ADDRESSES);
    }
}
