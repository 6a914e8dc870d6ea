//! A server under load while models change, clients misbehave, the database fails and the server stops.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use reqwest::{Client, StatusCode};
use serde_json::{Value, json};

use crate::market::{Home, SMALL, Server, block_on, rio, wait_until};

const TOKEN: &str = "Bearer open sesame";

/// A home with two model versions, of which the first is the champion.
fn two_versions() -> Home {
    let home = Home::new();
    home.ok(&["synth", "--rows", "1500"]);
    home.ok(&[&["train", "--promote"], SMALL.as_slice()].concat());
    home.ok(&[&["train", "--set=seed=1"], SMALL.as_slice()].concat());
    home
}

fn start(home: &Home, variables: &[(&str, &str)]) -> Server {
    let mut command = home.command(&["serve", "--bind", "127.0.0.1:0"]);
    command.env("PROBEG_ADMIN_TOKEN", &TOKEN[7..]).env("RUST_LOG", "warn").envs(variables.iter().copied());
    let server = Server::from_process(command.stdout(Stdio::piped()).spawn().unwrap());
    server.wait_until_ready();
    server
}

async fn value(client: &Client, server: &Server, car: &Value) -> reqwest::Result<(StatusCode, Value)> {
    let response = client.post(server.url("/v1/valuations")).json(car).send().await?;
    Ok((response.status(), response.json().await?))
}

async fn promote(client: &Client, server: &Server, version: i64) {
    let request = client.put(server.url("/v1/models/champion")).header("authorization", TOKEN);
    assert_eq!(request.json(&json!({ "version": version })).send().await.unwrap().status(), 200);
    for _ in 0..500 {
        let models: Value = client.get(server.url("/v1/models")).send().await.unwrap().json().await.unwrap();
        if models["served"] == version {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("version {version} was never served");
}

fn cars() -> Vec<Value> {
    (0..20)
        .map(|index| {
            let mut car = rio();
            (car["year"], car["mileage"]) = ((2005 + index).into(), (20_000 * (index + 1)).into());
            car
        })
        .collect()
}

/// Clients that send requests in a loop and check each response.
struct Load {
    stop: Arc<AtomicBool>,
    responses: Arc<AtomicU64>,
    clients: Vec<JoinHandle<()>>,
}

impl Load {
    fn start(
        server: &Server,
        clients: usize,
        check: impl Fn(usize, StatusCode, &Value) + Clone + Send + 'static,
    ) -> Self {
        let (stop, responses) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let client = |number: usize| {
            let (stop, responses, check) = (Arc::clone(&stop), Arc::clone(&responses), check.clone());
            let url = server.url("/v1/valuations");
            std::thread::spawn(move || {
                block_on(async {
                    let (client, cars) = (Client::new(), cars());
                    for index in (number..).map(|number| number % cars.len()) {
                        if stop.load(Ordering::Relaxed) {
                            return;
                        }
                        let response = client.post(&url).json(&cars[index]).send().await.unwrap();
                        let (status, body) = (response.status(), response.json().await.unwrap());
                        check(index, status, &body);
                        responses.fetch_add(1, Ordering::Relaxed);
                    }
                });
            })
        };
        let clients = (0..clients).map(client).collect();
        Self { stop, responses, clients }
    }

    /// Number of checked responses so far.
    fn response_count(&self) -> u64 {
        self.responses.load(Ordering::Relaxed)
    }

    /// Stops the clients and returns the number of checked responses.
    fn end(self) -> u64 {
        self.stop.store(true, Ordering::Relaxed);
        self.clients.into_iter().for_each(|client| client.join().unwrap());
        self.responses.load(Ordering::Relaxed)
    }
}

#[test]
fn responses_are_consistent_while_versions_change() {
    let home = two_versions();
    let server = start(&home, &[]);
    let prices: Vec<Vec<Value>> = block_on(async {
        let client = Client::new();
        let mut prices = Vec::new();
        for version in [1, 2] {
            promote(&client, &server, version).await;
            let mut prices_of_version = Vec::new();
            for car in cars() {
                prices_of_version.push(value(&client, &server, &car).await.unwrap().1["quantiles"].clone());
            }
            prices.push(prices_of_version);
        }
        prices
    });
    assert_ne!(prices[0], prices[1]);
    let load = Load::start(&server, 8, move |index, status, response| {
        assert_eq!(status, 200, "{response}");
        let version = usize::try_from(response["model"]["version"].as_u64().unwrap()).unwrap();
        assert_eq!(response["quantiles"], prices[version - 1][index]);
    });
    block_on(async {
        let client = Client::new();
        for swap in 0..10 {
            promote(&client, &server, 1 + swap % 2).await;
        }
        let rollback = client.post(server.url("/v1/models/rollback")).header("authorization", TOKEN);
        assert_eq!(rollback.send().await.unwrap().status(), 200);
        let history: Value = client.get(server.url("/v1/models/history")).send().await.unwrap().json().await.unwrap();
        assert_eq!(history[0]["action"], "rollback");
        assert!(history[0]["who"].as_str().unwrap().starts_with("admin "), "{history}");
    });
    assert!(load.end() > 100);
}

#[test]
fn a_stopping_server_responds_to_all_accepted_requests() {
    let home = two_versions();
    for _ in 0..3 {
        let server = start(&home, &[]);
        // Connections are only refused once it has exited; accepted requests get a response.
        let url = server.url("/v1/valuations");
        let responses = Arc::new(AtomicU64::new(0));
        let counter = Arc::clone(&responses);
        let client = std::thread::spawn(move || {
            block_on(async {
                let client = Client::new();
                loop {
                    match client.post(&url).json(&rio()).send().await {
                        Ok(response) => {
                            assert_eq!(response.status(), 200);
                            response.bytes().await.unwrap();
                            counter.fetch_add(1, Ordering::Relaxed);
                        }
                        Err(error) => {
                            assert!(error.is_connect(), "{error:?}");
                            return;
                        }
                    }
                }
            });
        });
        wait_until("there are ten responses", || responses.load(Ordering::Relaxed) >= 10);
        server.request_stop();
        let ready = block_on(async {
            for _ in 0..100 {
                let ready = reqwest::get(server.url("/health/ready")).await.unwrap();
                if ready.status() == 503 {
                    return ready.json::<Value>().await.unwrap();
                }
            }
            panic!("the server stays ready");
        });
        assert_eq!(ready["type"], "urn:probeg:problem:draining");
        assert_eq!(server.wait(), Some(0));
        client.join().unwrap();
    }
}

#[test]
fn misbehaving_clients_do_not_disturb_others() {
    let home = two_versions();
    let server = start(&home, &[("PROBEG_IDLE_TIMEOUT_SECONDS", "2")]);
    let expected = block_on(async {
        let client = Client::new();
        let mut prices = Vec::new();
        for car in cars() {
            prices.push(value(&client, &server, &car).await.unwrap().1["price"].clone());
        }
        prices
    });
    let load = Load::start(&server, 4, move |index, status, response| {
        assert_eq!((status, &response["price"]), (StatusCode::OK, &expected[index]));
    });
    let connect = || TcpStream::connect(&server.address).unwrap();
    let head =
        "POST /v1/valuations HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 50\r\n\r\n";
    let mut stalled = Vec::new();
    for number in 0..200 {
        let mut client = connect();
        match number % 4 {
            // Disconnect in the middle of the request or of the response.
            0 => client.write_all(&head.as_bytes()[..number % head.len()]).unwrap(),
            1 => client
                .write_all(format!("{head}{{\"brand\": \"Kia\", \"year\": 2018, \"mileage\": 83000    }}").as_bytes())
                .unwrap(),
            2 => client.write_all(b"\x16\x03\x01\x02\x00\x01\x00").unwrap(),
            _ => {
                client.write_all(&head.as_bytes()[..20]).unwrap();
                stalled.push(client);
            }
        }
    }
    for mut client in stalled {
        client.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        // Closed by the server, with or without a response; a read timeout would be a different error.
        match client.read_to_end(&mut Vec::new()) {
            Ok(_) => {}
            Err(error) => assert_eq!(error.kind(), ErrorKind::ConnectionReset, "{error}"),
        }
    }
    assert!(load.end() > 50);
    block_on(async {
        let metrics = reqwest::get(server.url("/metrics")).await.unwrap().text().await.unwrap();
        assert!(metrics.contains("probeg_queue_depth 0"), "{metrics}");
        assert!(metrics.contains("probeg_inference_stuck 0"), "{metrics}");
    });
}

#[test]
fn a_server_works_and_starts_without_the_database() {
    let home = two_versions();
    let server = start(&home, &[]);
    let load = Load::start(&server, 2, |_, status, response| assert_eq!(status, 200, "{response}"));
    let cluster = home.path("home/cluster");
    let process = std::fs::read_dir(&cluster).unwrap().find_map(|entry| {
        let pid = entry.unwrap().path().join("postmaster.pid");
        Some(std::fs::read_to_string(pid).ok()?.lines().next()?.to_owned())
    });
    assert!(Command::new("kill").args(["-QUIT", &process.unwrap()]).status().unwrap().success());
    wait_until("the server is degraded", || {
        let ready: Value = block_on(async { reqwest::get(server.url("/health/ready")).await?.json().await }).unwrap();
        ready["status"] == "degraded"
    });
    block_on(async {
        let runs = reqwest::get(server.url("/v1/runs")).await.unwrap();
        assert_eq!(
            (runs.status(), runs.headers()["retry-after"].as_bytes()),
            (StatusCode::SERVICE_UNAVAILABLE, b"5".as_slice())
        );
    });
    let before = load.response_count();
    wait_until("there are responses without the database", || load.response_count() >= before + 20);
    load.end();
    drop(server);

    // With another registry, version 1 is another model.
    let other = Home::new();
    other.ok(&["synth", "--rows", "800", "--seed", "5"]);
    other.ok(&[&["train", "--promote", "--set=seed=5"], SMALL.as_slice()].concat());
    let socket = std::fs::read_dir(other.path("home/cluster")).unwrap().map(|entry| entry.unwrap().path());
    let socket = socket.into_iter().find(|path| path.ends_with("socket")).unwrap();
    let url = format!("postgres://probeg@localhost/postgres?host={}", socket.display()).replace("?host=/", "?host=%2F");
    let server = start(&home, &[("DATABASE_URL", &url)]);
    let price = async |server: &Server| value(&Client::new(), server, &rio()).await.unwrap().1["price"].clone();
    let cached = block_on(price(&server));
    let with_database = start(&other, &[]);
    let expected = block_on(price(&with_database));
    assert_ne!(cached, expected);
    block_on(async {
        for _ in 0..300 {
            if price(&server).await == expected {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("the model of the other registry is still served");
    });
    drop((server, with_database));
    // The cached model is now that of the other registry.
    start(&home, &[]);

    let nowhere = "postgres://probeg@127.0.0.1:1/probeg";
    let server = start(&home, &[("DATABASE_URL", nowhere)]);
    block_on(async {
        let (status, response) = value(&Client::new(), &server, &rio()).await.unwrap();
        assert_eq!((status, &response["model"]["version"]), (StatusCode::OK, &json!(1)));
    });
}
