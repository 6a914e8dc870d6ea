//! API keys and the admin token.

use std::net::IpAddr;
use std::time::Instant;

use axum::http::header::AUTHORIZATION;
use axum::http::{HeaderMap, HeaderValue};

use super::attempts::Attempts;
use super::rate_limit::RateLimit;
use crate::config::{Config, Secret};
use crate::http::budget::Caller;
use crate::http::problem::Problem;

const API_KEY: &str = "x-api-key";

/// The accepted secrets.
#[derive(Debug)]
pub(crate) struct Keys {
    /// The API keys, followed by the admin token, which is accepted as a key. Empty if no key is required.
    secrets: Vec<(Secret, Option<RateLimit>)>,
    admin: Option<Secret>,
    attempts: Attempts,
}

impl Keys {
    pub(crate) fn new(config: &Config) -> Self {
        let rate_limit = || config.rate_limit.map(RateLimit::new);
        let known = config.api_keys.iter().chain(&config.admin_token).filter(|_| !config.api_keys.is_empty());
        let secrets = known.map(|secret| (secret.clone(), rate_limit())).collect();
        Self { secrets, admin: config.admin_token.clone(), attempts: Attempts::default() }
    }

    /// Admits a request with a valid key within its rate limit, or any request if no keys are configured. Returns the index of
    /// the key.
    pub(crate) fn admit(&self, headers: &HeaderMap, address: IpAddr) -> Result<Option<usize>, Problem> {
        if self.secrets.is_empty() {
            return Ok(None);
        }
        let candidates = [bearer(headers), headers.get(API_KEY).map(HeaderValue::as_bytes)];
        if candidates == [None, None] {
            return Err(Problem::Unauthorized { admin: false });
        }
        let known = self
            .secrets
            .iter()
            .position(|(key, _)| candidates.iter().flatten().any(|candidate| key.matches(candidate)));
        self.record(address, known.map(|index| &self.secrets[index].0))?;
        let index = known.ok_or(Problem::Unauthorized { admin: false })?;
        let admitted = self.secrets[index].1.as_ref().map_or(Ok(()), RateLimit::admit);
        admitted.map(|()| Some(index)).map_err(|wait| Problem::TooManyRequests { wait })
    }

    /// Charges a caller for the other cars of a request; the first one was charged on admission.
    pub(crate) fn charge(&self, caller: Caller, cars: u64) {
        let Caller::Key(index) = caller else { return };
        if let Some((_, Some(rate_limit))) = self.secrets.get(index) {
            rate_limit.charge(cars);
        }
    }

    /// Admits a request with the admin token. Returns the name of the token for the log.
    pub(crate) fn admit_admin(&self, headers: &HeaderMap, address: IpAddr) -> Result<String, Problem> {
        let token = self.admin.as_ref().ok_or(Problem::AdminOff)?;
        let candidate = bearer(headers).ok_or(Problem::Unauthorized { admin: true })?;
        let known = Some(token).filter(|token| token.matches(candidate));
        self.record(address, known)?;
        known.map(Secret::name).ok_or(Problem::Unauthorized { admin: true })
    }

    fn record(&self, address: IpAddr, known: Option<&Secret>) -> Result<(), Problem> {
        self.attempts.record(address, known, Instant::now()).map_err(|wait| Problem::TooManyAttempts { wait })
    }
}

fn bearer(headers: &HeaderMap) -> Option<&[u8]> {
    let value = headers.get(AUTHORIZATION)?.as_bytes();
    let space = value.iter().position(|byte| *byte == b' ')?;
    value[..space].eq_ignore_ascii_case(b"bearer").then(|| value[space..].trim_ascii())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const HERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

    fn headers(name: &'static str, value: &'static str) -> HeaderMap {
        HeaderMap::from_iter([(name.parse().unwrap(), HeaderValue::from_bytes(value.as_bytes()).unwrap())])
    }

    #[test]
    fn each_key_has_a_rate_limit_of_its_own() {
        let api_keys = vec![Secret::new("ann"), Secret::new("bob")];
        let keys = Keys::new(&Config { api_keys, rate_limit: 2.try_into().ok(), ..Config::default() });
        let ask = |key| keys.admit(&headers(API_KEY, key), HERE);
        assert_eq!([ask("ann"), ask("ann")], [Ok(Some(0)), Ok(Some(0))]);
        let Err(Problem::TooManyRequests { wait }) = ask("ann") else { panic!("a third one") };
        assert!(wait <= Duration::from_millis(500), "{wait:?}");
        keys.charge(Caller::Key(0), 100);
        let Err(Problem::TooManyRequests { wait }) = ask("ann") else { panic!("a hundred more") };
        assert!(wait > Duration::from_secs(49), "{wait:?}");
        assert_eq!(ask("bob"), Ok(Some(1)));
        assert_eq!(ask("eve"), Err(Problem::Unauthorized { admin: false }));
    }

    #[test]
    fn a_key_may_be_any_text() {
        let keys = Keys::new(&Config { api_keys: vec![Secret::new("ключ")], ..Config::default() });
        assert_eq!(keys.admit(&headers(API_KEY, "ключ"), HERE), Ok(Some(0)));
        assert_eq!(keys.admit(&headers("authorization", "bearer  ключ "), HERE), Ok(Some(0)));
    }

    #[test]
    fn only_wrong_secrets_count_as_attempts() {
        let (api_keys, admin_token) = (vec![Secret::new("ann")], Some(Secret::new("root")));
        let keys = Keys::new(&Config { admin_token, api_keys, ..Config::default() });
        for _ in 0..100 {
            assert_eq!(keys.admit(&HeaderMap::new(), HERE), Err(Problem::Unauthorized { admin: false }));
            assert_eq!(keys.admit_admin(&HeaderMap::new(), HERE), Err(Problem::Unauthorized { admin: true }));
        }
        assert_eq!(keys.admit(&headers(API_KEY, "ann"), HERE), Ok(Some(0)));
        let wrong = || keys.admit_admin(&headers("authorization", "Bearer eve"), HERE);
        let refused = (0..100).filter(|_| matches!(wrong(), Err(Problem::TooManyAttempts { .. }))).count();
        assert!(refused >= 85, "{refused}");
        assert_eq!(keys.admit(&headers(API_KEY, "ann"), HERE), Ok(Some(0)));
    }
}
