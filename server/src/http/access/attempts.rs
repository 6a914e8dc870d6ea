//! Wrong keys: how many an address may try.

use std::collections::{HashMap, HashSet};
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::config::Secret;

/// Wrong keys that an address may send at once.
const BURST: f64 = 10.0;
/// Wrong keys a second that it may send from then on.
const PER_SECOND: f64 = 1.0;
/// Addresses that are remembered, each about a hundred bytes.
const MAX_ADDRESSES: usize = 10_000;

/// What is known of the addresses that send keys.
///
/// An address that has sent too many wrong keys is refused unread for a moment, so that guessing stays slow even when a
/// guess is right. The keys that it used before go on working: many callers may share the address of a proxy.
#[derive(Debug, Default)]
pub(crate) struct Attempts {
    known: Mutex<Known>,
}

#[derive(Debug, Default)]
struct Known {
    wrong: HashMap<IpAddr, Wrong>,
    right: HashSet<(IpAddr, Secret)>,
}

/// Wrong keys of one address; the count falls by [`PER_SECOND`].
#[derive(Clone, Copy, Debug)]
struct Wrong {
    count: f64,
    at: Instant,
}

impl Attempts {
    /// Notes that an address sent this secret, or a wrong key. An error says how long the address has to wait.
    pub(crate) fn note(&self, address: IpAddr, secret: Option<&Secret>, now: Instant) -> Result<(), Duration> {
        let address = network(address);
        let known = &mut *self.lock();
        let pair = secret.map(|secret| (address, secret.clone()));
        if pair.as_ref().is_some_and(|pair| known.right.contains(pair)) {
            return Ok(());
        }
        let count = known.wrong.get(&address).map_or(0.0, |wrong| wrong.count_at(now));
        if count > BURST - 1.0 {
            return Err(Duration::from_secs_f64((count - (BURST - 1.0)) / PER_SECOND));
        }
        if let Some(pair) = pair {
            known.make_room_for_right();
            known.right.insert(pair);
        } else {
            known.make_room_for_wrong(now);
            known.wrong.insert(address, Wrong { count: count + 1.0, at: now });
        }
        Ok(())
    }

    /// What is known stays sound whatever panicked.
    fn lock(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Known {
    /// Forgets the addresses whose wrong keys no longer count, or else all: one with thousands of addresses gains some
    /// guesses, while nobody is refused for the sake of others.
    fn make_room_for_wrong(&mut self, now: Instant) {
        if self.wrong.len() >= MAX_ADDRESSES {
            self.wrong.retain(|_, wrong| wrong.count_at(now) > 0.0);
        }
        if self.wrong.len() >= MAX_ADDRESSES {
            self.wrong.clear();
        }
    }

    /// Forgets all right keys when there are too many; each is known again at its next use.
    fn make_room_for_right(&mut self) {
        if self.right.len() >= MAX_ADDRESSES {
            self.right.clear();
        }
    }
}

impl Wrong {
    fn count_at(self, now: Instant) -> f64 {
        let passed = now.saturating_duration_since(self.at).as_secs_f64();
        (self.count - passed * PER_SECOND).max(0.0)
    }
}

/// The network that an address stands for: whoever has one address of IPv6 usually has 2^64 of them.
fn network(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() & (u128::MAX << 64)).into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EVE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1));
    const BOB: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 2));

    fn wait(attempts: &Attempts, address: IpAddr, now: Instant) -> Duration {
        while attempts.note(address, None, now).is_ok() {}
        attempts.note(address, None, now).unwrap_err()
    }

    #[test]
    fn wrong_keys_are_slowed_down_to_one_a_second() {
        let (attempts, start) = (Attempts::default(), Instant::now());
        let at_once = (0..100).filter(|_| attempts.note(EVE, None, start).is_ok()).count();
        assert_eq!(at_once, 10);
        assert_eq!(attempts.note(EVE, None, start), Err(Duration::from_secs(1)));
        let in_an_hour =
            (0..36_000).filter(|tenth| attempts.note(EVE, None, start + Duration::from_millis(tenth * 100)).is_ok());
        assert_eq!(in_an_hour.count(), 3599);
    }

    #[test]
    fn a_right_key_does_not_tell_itself_to_one_who_guesses() {
        let (attempts, key, now) = (Attempts::default(), Secret::new("key"), Instant::now());
        wait(&attempts, EVE, now);
        assert!(attempts.note(EVE, Some(&key), now).is_err());
        assert!(attempts.note(EVE, Some(&key), now + Duration::from_secs(1)).is_ok());
    }

    #[test]
    fn wrong_keys_of_one_never_lock_out_another() {
        let (attempts, key, now) = (Attempts::default(), Secret::new("key"), Instant::now());
        assert!(attempts.note(EVE, Some(&key), now).is_ok());
        wait(&attempts, EVE, now);
        assert!(attempts.note(EVE, Some(&key), now).is_ok(), "it was used from this address before");
        assert!(attempts.note(BOB, Some(&key), now).is_ok(), "another address");
        for _ in 0..1000 {
            assert!(attempts.note(BOB, Some(&key), now).is_ok(), "right keys are not counted");
        }
    }

    #[test]
    fn a_network_of_ipv6_is_one_address() {
        let (attempts, now) = (Attempts::default(), Instant::now());
        wait(&attempts, "2001:db8::1".parse().unwrap(), now);
        assert!(attempts.note("2001:db8::ffff:0:0:2".parse().unwrap(), None, now).is_err());
        assert!(attempts.note("2001:db8:0:1::1".parse().unwrap(), None, now).is_ok());
    }

    #[test]
    fn memory_stays_bounded() {
        let (attempts, now) = (Attempts::default(), Instant::now());
        for number in 0..25_000_u32 {
            let address = IpAddr::from(number.to_be_bytes());
            let key = Secret::new(number.to_be_bytes());
            assert!(attempts.note(address, None, now).is_ok() && attempts.note(address, Some(&key), now).is_ok());
        }
        let known = attempts.lock();
        assert!(known.wrong.len() <= MAX_ADDRESSES && known.right.len() <= MAX_ADDRESSES);
    }
}
