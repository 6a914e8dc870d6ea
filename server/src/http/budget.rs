//! Shared resources such as memory, disk space and queue slots. No caller may hold more than what remains for the others, so
//! a single caller gets at most half, and there is always something left for the next one.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::http::problem::Problem;

/// The size up to which a body or a file does not count against any budget: a connection itself takes more.
pub(crate) const FREE_BYTES: u64 = 16 << 10;

/// The sender of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Caller {
    /// The holder of an API key, by its index.
    Key(usize),
    /// A caller without a key, by address.
    Address(IpAddr),
}

impl Caller {
    /// The caller at an address. All addresses of an IPv6 /64 network are one caller.
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

/// A limited amount of a resource.
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

/// The caller has used up its part of the budget.
#[derive(Debug, thiserror::Error)]
#[error("the budget of this caller is used up")]
pub(crate) struct BudgetExceeded;

impl From<BudgetExceeded> for Problem {
    fn from(_: BudgetExceeded) -> Self {
        Self::NoRoom
    }
}

impl Budget {
    pub(crate) fn new(total: u64) -> Arc<Self> {
        Arc::new(Self { total, held: Mutex::default() })
    }

    /// An empty share for a caller.
    pub(crate) fn share(self: &Arc<Self>, caller: Caller) -> Share {
        Share { budget: Arc::clone(self), caller, held: 0 }
    }

    /// Whether the caller could take this much more.
    pub(crate) fn allows(&self, caller: Caller, more: u64) -> bool {
        self.lock().allows(self.total, caller, more)
    }

    /// Nothing under the lock can panic halfway.
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

/// The part of a budget that a request or job holds, returned on drop.
#[derive(Debug)]
pub(crate) struct Share {
    budget: Arc<Budget>,
    caller: Caller,
    held: u64,
}

impl Share {
    /// Takes more of the budget.
    pub(crate) fn grow(&mut self, more: u64) -> Result<(), BudgetExceeded> {
        let mut held = self.budget.lock();
        if !held.allows(self.budget.total, self.caller, more) {
            return Err(BudgetExceeded);
        }
        held.by_all += more;
        *held.by_caller.entry(self.caller).or_default() += more;
        self.held += more;
        Ok(())
    }

    pub(crate) fn held(&self) -> u64 {
        self.held
    }

    /// Returns everything to the budget.
    pub(crate) fn clear(&mut self) {
        let returned = std::mem::take(&mut self.held);
        if returned == 0 {
            return;
        }
        let mut held = self.budget.lock();
        held.by_all -= returned;
        if let Some(of_caller) = held.by_caller.get_mut(&self.caller) {
            *of_caller -= returned;
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
    fn a_caller_gets_at_most_what_remains_for_others() {
        let budget = Budget::new(100);
        let (mut ann, mut bob) = (budget.share(Caller::Key(0)), budget.share(Caller::Key(1)));
        assert!(ann.grow(50).is_ok() && ann.grow(1).is_err());
        assert!(!budget.allows(Caller::Key(0), 1) && budget.allows(Caller::Key(1), 25));
        assert!(bob.grow(25).is_ok() && bob.grow(1).is_err());
        drop(ann);
        assert!(bob.grow(25).is_ok() && bob.grow(1).is_err());
        drop(bob);
        assert!(budget.lock().by_all == 0 && budget.lock().by_caller.is_empty());
    }

    #[test]
    fn an_ipv6_network_is_one_caller() {
        let at = |address: &str| Caller::at(address.parse().unwrap());
        assert_eq!(at("2001:db8:1:2::7"), at("2001:db8:1:2:ffff::"));
        assert_ne!(at("2001:db8:1:2::7"), at("2001:db8:1:3::7"));
        assert_ne!(at("192.0.2.1"), at("192.0.2.2"));
    }
}
