//! Who may ask, and how often.

use std::time::Duration;

use axum::http::HeaderMap;
use axum::http::header::AUTHORIZATION;
use governor::clock::{Clock, DefaultClock};
use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};

use crate::config::{Config, Secret};
use crate::problem::Problem;

const API_KEY: &str = "x-api-key";

/// The secrets that open the API, each with its own allowance.
#[derive(Debug)]
pub(crate) struct Keys {
    /// The API keys, and behind them the admin token, which is as good. None where no key is needed.
    keys: Vec<(Secret, Option<DefaultDirectRateLimiter>)>,
    admin: Option<Secret>,
}

impl Keys {
    pub(crate) fn new(config: &Config) -> Self {
        let limiter = || config.rate_limit.map(|most| RateLimiter::direct(Quota::per_second(most)));
        let known = config.api_keys.iter().chain(&config.admin_token).filter(|_| !config.api_keys.is_empty());
        Self { keys: known.map(|secret| (secret.clone(), limiter())).collect(), admin: config.admin_token.clone() }
    }

    /// Lets a request in that brings a key, where one is needed, and has not used its allowance up.
    pub(crate) fn admit(&self, headers: &HeaderMap) -> Result<(), Problem> {
        if self.keys.is_empty() {
            return Ok(());
        }
        let given = [bearer(headers), headers.get(API_KEY).and_then(|key| key.to_str().ok())];
        let known = self.keys.iter().find(|(key, _)| given.iter().flatten().any(|given| key.is(given)));
        let Some((_, limiter)) = known else { return Err(Problem::Unauthorized { admin: false }) };
        let Some(Err(until)) = limiter.as_ref().map(DefaultDirectRateLimiter::check) else { return Ok(()) };
        Err(Problem::TooManyRequests { wait: until.wait_time_from(DefaultClock::default().now()) })
    }

    /// Lets a request in that brings the admin token; tells its name for the log.
    pub(crate) fn admit_admin(&self, headers: &HeaderMap) -> Result<String, Problem> {
        let token = self.admin.as_ref().ok_or(Problem::AdminOff)?;
        if bearer(headers).is_some_and(|given| token.is(given)) {
            Ok(token.name())
        } else {
            Err(Problem::Unauthorized { admin: true })
        }
    }
}

/// Whole seconds to wait, one at least.
pub(crate) fn whole_seconds(wait: Duration) -> u64 {
    wait.as_secs() + u64::from(wait.subsec_nanos() > 0 || wait.is_zero())
}

fn bearer(headers: &HeaderMap) -> Option<&str> {
    let (scheme, token) = headers.get(AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(name: &'static str, value: &'static str) -> HeaderMap {
        HeaderMap::from_iter([(name.parse().unwrap(), value.parse().unwrap())])
    }

    #[test]
    fn each_key_has_an_allowance_of_its_own() {
        let api_keys = vec![Secret::new("ann"), Secret::new("bob")];
        let keys = Keys::new(&Config { api_keys, rate_limit: 2.try_into().ok(), ..Config::default() });
        let ask = |key| keys.admit(&headers(API_KEY, key));
        assert_eq!([ask("ann"), ask("ann")], [Ok(()), Ok(())]);
        let Err(Problem::TooManyRequests { wait }) = ask("ann") else { panic!("a third one") };
        assert!(wait <= Duration::from_millis(500), "{wait:?}");
        assert_eq!(ask("bob"), Ok(()));
        assert_eq!(ask("eve"), Err(Problem::Unauthorized { admin: false }));
    }

    #[test]
    fn seconds_are_rounded_up() {
        assert_eq!([0, 1, 999, 1000, 1001].map(|ms| whole_seconds(Duration::from_millis(ms))), [1, 1, 1, 1, 2]);
    }
}
