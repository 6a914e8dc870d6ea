//! Two servers on one database behind haproxy, as `deploy/haproxy` sets it up.

use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

use serde_json::Value;

use crate::market::{SMALL, Server, block_on, rio, wait_until};
use crate::parts::Machines;

/// haproxy, killed on drop.
struct Proxy {
    process: Child,
    url: String,
}

impl Proxy {
    fn start(address: &str, servers: [&str; 2]) -> Self {
        let configuration = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/haproxy/haproxy.cfg");
        let mut command = Command::new("/usr/sbin/haproxy");
        command.arg("-db").arg("-f").arg(configuration).stdout(Stdio::null()).stderr(Stdio::null());
        command.env("HAPROXY_BIND", address).env("PROBEG_SERVER_1", servers[0]).env("PROBEG_SERVER_2", servers[1]);
        let process = command.spawn().unwrap_or_else(|error| panic!("haproxy: {error}; `make haproxy` installs it"));
        Self { process, url: format!("http://{address}/v1/valuations") }
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// The status of a valuation, the server that answered, and the answer.
async fn value(client: &reqwest::Client, url: &str) -> Result<(u16, String, Value), reqwest::Error> {
    let response = client.post(url).json(&rio()).send().await?;
    let server = response.headers().get("x-served-by").map(|name| name.to_str().unwrap().to_owned());
    Ok((response.status().as_u16(), server.unwrap_or_default(), response.json().await?))
}

fn start(machines: &Machines, machine: &str, address: &str) -> Server {
    let mut command = machines.command(machine, &["serve", "--bind", address]);
    // Not a line for each request.
    command.env("RUST_LOG", "warn");
    let server = Server::from_process(command.stdout(Stdio::piped()).spawn().unwrap());
    server.wait_until_ready();
    server
}

#[test]
fn two_servers_follow_a_promotion_and_restart_without_losing_a_request() {
    let machines = Machines::new();
    machines.ok("home", &[&["train", "--promote"], SMALL.as_slice()].concat());
    machines.ok("home", &[&["train", "--set=seed=2"], SMALL.as_slice()].concat());
    // Held until all are known, so that they differ.
    let listeners = [(); 3].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
    let [first, second, proxy] = listeners.each_ref().map(|listener| listener.local_addr().unwrap().to_string());
    drop(listeners);
    let mut servers = [("one", &first), ("two", &second)].map(|(name, address)| start(&machines, name, address));
    let proxy = Proxy::start(&proxy, [&first, &second]);
    let client = reqwest::Client::new();
    let answers = |name: &str| {
        wait_until(&format!("server {name} answers"), || {
            block_on(value(&reqwest::Client::new(), &proxy.url))
                .is_ok_and(|(status, server, _)| status == 200 && server == name)
        });
    };
    answers("one");
    answers("two");

    machines.ok("home", &["models", "promote", "2"]);
    for server in &servers {
        wait_until("the server serves the new champion", || {
            let (status, _, valuation) = block_on(value(&client, &server.url("/v1/valuations"))).unwrap();
            status == 200 && valuation["model"]["version"] == 2
        });
    }

    let (is_over, answered) = (AtomicBool::new(false), AtomicUsize::new(0));
    let count_failures = || {
        block_on(async {
            // Connections are kept, as those of a busy client.
            let client = reqwest::Client::new();
            let mut failures = Vec::new();
            while !is_over.load(Ordering::Relaxed) {
                match value(&client, &proxy.url).await {
                    Ok((200, _, valuation)) if valuation["model"]["version"] == 2 => {
                        answered.fetch_add(1, Ordering::Relaxed);
                    }
                    failure => failures.push(format!("{failure:?}")),
                }
            }
            failures
        })
    };
    let failures = thread::scope(|scope| {
        let clients = [(); 4].map(|()| scope.spawn(count_failures));
        for (index, (name, address)) in [("one", &first), ("two", &second)].into_iter().enumerate() {
            let before = answered.load(Ordering::Relaxed);
            servers[index].request_stop();
            servers[index].wait_until_exit();
            servers[index] = start(&machines, name, address);
            answers(name);
            assert!(answered.load(Ordering::Relaxed) > before, "there was no load");
        }
        is_over.store(true, Ordering::Relaxed);
        clients.into_iter().flat_map(|client| client.join().unwrap()).collect::<Vec<_>>()
    });
    assert!(
        failures.is_empty(),
        "{} of {} requests failed: {:?}",
        failures.len(),
        answered.into_inner(),
        failures.first()
    );
}
