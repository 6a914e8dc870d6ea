//! Room that callers share: bytes in memory, bytes on the disk, places. No caller may hold more of it than he leaves to
//! all others, so one alone gets half, and there is always room for another.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::problem::Problem;

/// Whose share of the room it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Caller {
    /// The holder of an API key, by its place among all.
    Key(usize),
    /// Somebody without a key, by address.
    Address(IpAddr),
}

impl Caller {
    /// The caller at an address. One network of IPv6 has 2⁶⁴ of them.
    pub(crate) fn at(address: IpAddr) -> Self {
        Self::Address(match address {
            IpAddr::V6(address) => {
                let [a, b, c, d, ..] = address.segments();
                Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0).into()
            }
            address @ IpAddr::V4(_) => address,
        })
    }
}

/// So much room.
#[derive(Debug)]
pub(crate) struct Budget {
    total: u64,
    held: Mutex<Held>,
}

#[derive(Debug, Default)]
struct Held {
    by_all: u64,
    by_caller: HashMap<Caller, u64>,
}

/// There is no more room for this caller now.
#[derive(Debug, thiserror::Error)]
#[error("there is no more room for this caller")]
pub(crate) struct Exhausted;

impl From<Exhausted> for Problem {
    fn from(_: Exhausted) -> Self {
        Self::NoRoom
    }
}

impl Budget {
    pub(crate) fn new(total: u64) -> Arc<Self> {
        Arc::new(Self { total, held: Mutex::default() })
    }

    /// A share of a caller's that holds nothing yet.
    pub(crate) fn share(self: &Arc<Self>, caller: Caller) -> Share {
        Share { budget: Arc::clone(self), caller, held: 0 }
    }

    /// Whether a caller could hold so much more.
    pub(crate) fn has_room(&self, caller: Caller, more: u64) -> bool {
        self.lock().allows(self.total, caller, more)
    }

    /// A panic leaves the counts whole: nothing is done within that could.
    fn lock(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Held {
    fn allows(&self, total: u64, caller: Caller, more: u64) -> bool {
        let left = total.saturating_sub(self.by_all.saturating_add(more));
        self.by_caller.get(&caller).copied().unwrap_or_default().saturating_add(more) <= left
    }
}

/// What one request or job holds of a budget, given back when it is dropped.
#[derive(Debug)]
pub(crate) struct Share {
    budget: Arc<Budget>,
    caller: Caller,
    held: u64,
}

impl Share {
    /// Takes as much more.
    pub(crate) fn grow(&mut self, more: u64) -> Result<(), Exhausted> {
        let mut held = self.budget.lock();
        if !held.allows(self.budget.total, self.caller, more) {
            return Err(Exhausted);
        }
        held.by_all += more;
        *held.by_caller.entry(self.caller).or_default() += more;
        self.held += more;
        Ok(())
    }

    pub(crate) fn held(&self) -> u64 {
        self.held
    }

    /// Gives all of it back.
    pub(crate) fn clear(&mut self) {
        let given_back = std::mem::take(&mut self.held);
        if given_back == 0 {
            return;
        }
        let mut held = self.budget.lock();
        held.by_all -= given_back;
        if let Some(of_caller) = held.by_caller.get_mut(&self.caller) {
            *of_caller -= given_back;
            if *of_caller == 0 {
                held.by_caller.remove(&self.caller);
            }
        }
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_holds_more_than_he_leaves_to_others() {
        let budget = Budget::new(100);
        let (mut ann, mut bob) = (budget.share(Caller::Key(0)), budget.share(Caller::Key(1)));
        assert!(ann.grow(50).is_ok() && ann.grow(1).is_err());
        assert!(!budget.has_room(Caller::Key(0), 1) && budget.has_room(Caller::Key(1), 25));
        assert!(bob.grow(25).is_ok() && bob.grow(1).is_err());
        drop(ann);
        assert!(bob.grow(25).is_ok() && bob.grow(1).is_err());
        drop(bob);
        assert!(budget.lock().by_all == 0 && budget.lock().by_caller.is_empty());
    }

    #[test]
    fn a_network_of_ipv6_is_one_caller() {
        let at = |address: &str| Caller::at(address.parse().unwrap());
        assert_eq!(at("2001:db8:1:2::7"), at("2001:db8:1:2:ffff::"));
        assert_ne!(at("2001:db8:1:2::7"), at("2001:db8:1:3::7"));
        assert_ne!(at("192.0.2.1"), at("192.0.2.2"));
    }
}
