//! Training on a real Slurm cluster of two nodes, which the tests start on this host.

use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use serde_json::Value;
use tempfile::TempDir;

use crate::market::{SMALL, signal, wait_until};
use crate::parts::Machines;

const NODES: [&str; 2] = ["n1", "n2"];

/// A cluster, stopped on drop.
pub struct Cluster {
    folder: TempDir,
    munge: Child,
    controller: Child,
    nodes: Vec<Child>,
}

/// A process of a job.
struct JobProcess {
    pid: String,
    node: usize,
}

impl Cluster {
    pub fn start() -> Self {
        let folder = TempDir::new().unwrap();
        let root = folder.path();
        std::fs::write(root.join("munge.key"), [7; 1024]).unwrap();
        assert!(Command::new("chmod").arg("600").arg(root.join("munge.key")).status().unwrap().success());
        std::fs::write(root.join("slurm.conf"), configuration(root)).unwrap();
        let option = |name: &str, file: &str| format!("--{name}={}", root.join(file).display());
        let munge = start(
            Command::new("/usr/sbin/munged")
                .args(["--force", "--foreground"])
                .args([
                    option("key-file", "munge.key"),
                    option("socket", "munge.sock"),
                    option("pid-file", "munge.pid"),
                ])
                .args([option("log-file", "munge.log"), option("seed-file", "munge.seed")]),
        );
        wait_until("munge listens", || root.join("munge.sock").exists());
        let daemon = |name: &str, arguments: &[&str]| {
            start(Command::new(name).args(arguments).env("SLURM_CONF", root.join("slurm.conf")))
        };
        let controller = daemon("/usr/sbin/slurmctld", &["-D"]);
        let nodes = NODES.map(|node| daemon("/usr/sbin/slurmd", &["-D", "-N", node])).into();
        let cluster = Self { folder, munge, controller, nodes };
        wait_until("both nodes are idle", || cluster.call("sinfo", &["-h", "-N", "-o", "%T"]) == "idle\nidle\n");
        cluster
    }

    /// Lets a command use the cluster.
    pub fn connect(&self, command: &mut Command) {
        command.env("SLURM_CONF", self.folder.path().join("slurm.conf"));
    }

    /// The output of one of Slurm's commands, empty if it failed.
    pub fn call(&self, name: &str, arguments: &[&str]) -> String {
        let mut command = Command::new(name);
        self.connect(command.args(arguments));
        String::from_utf8(command.output().unwrap().stdout).unwrap()
    }

    /// A process of a job with this argument, if there is one.
    fn find(&self, argument: &str) -> Option<JobProcess> {
        let cluster = format!("SLURM_CONF={}", self.folder.path().join("slurm.conf").display());
        let processes = std::fs::read_dir("/proc").unwrap().flatten();
        processes.filter_map(|entry| entry.file_name().into_string().ok()).find_map(|pid| {
            let read = |name: &str| std::fs::read_to_string(format!("/proc/{pid}/{name}")).unwrap_or_default();
            let is_found =
                read("cmdline").contains("probeg\0") && read("cmdline").split('\0').any(|word| word == argument);
            let environment = read("environ");
            // Other clusters may be tested on this host.
            if !environment.split('\0').any(|variable| variable == cluster) {
                return None;
            }
            let node = environment.split('\0').find_map(|variable| variable.strip_prefix("SLURMD_NODENAME="))?;
            let node = NODES.iter().position(|name| *name == node)?;
            is_found.then_some(JobProcess { pid, node })
        })
    }

    /// Kills a node with all processes of the job, as a power cut would.
    fn crash(&mut self, job: &JobProcess) {
        let status = std::fs::read_to_string(format!("/proc/{}/status", job.pid)).unwrap();
        let step = status.lines().find_map(|line| line.strip_prefix("PPid:")).unwrap().trim();
        self.nodes[job.node].kill().unwrap();
        signal("-KILL", step);
        signal("-KILL", &job.pid);
    }

    /// Starts jobs that were queued again at once; by default they wait for two minutes.
    fn start_requeued(&self) {
        let queue = self.call("squeue", &["-h", "--array", "-o", "%i %r"]);
        for job in queue.lines().filter_map(|line| line.strip_suffix(" BeginTime")) {
            self.call("scontrol", &["update", &format!("JobId={job}"), "StartTime=now"]);
        }
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        self.call("scancel", &["--state=RUNNING", "--state=PENDING", "--user", &user()]);
        for process in self.nodes.iter_mut().chain([&mut self.controller, &mut self.munge]) {
            // A test may have killed it.
            let _ = process.kill();
            let _ = process.wait();
        }
    }
}

fn start(command: &mut Command) -> Child {
    let child = command.stdout(Stdio::null()).stderr(Stdio::null()).stdin(Stdio::null()).spawn();
    child.unwrap_or_else(|error| panic!("{}: {error}; `make slurm` installs it", command.get_program().display()))
}

fn user() -> String {
    let output = Command::new("id").arg("-un").output().unwrap();
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

fn configuration(root: &Path) -> String {
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap();
    let (host, user, root) = (host.trim(), user(), root.display());
    // Held until all are known, so that they differ.
    let ports: Vec<TcpListener> = (0..3).map(|_| TcpListener::bind("127.0.0.1:0").unwrap()).collect();
    let port = |index: usize| ports[index].local_addr().unwrap().port();
    let node = |index: usize| {
        let (name, port) = (NODES[index], port(index + 1));
        format!("NodeName={name} NodeHostname={host} NodeAddr=127.0.0.1 Port={port} CPUs=1 RealMemory=4000")
    };
    format!(
        "ClusterName=test
SlurmctldHost={host}(127.0.0.1)
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/munge
AuthInfo=socket={root}/munge.sock
CredType=cred/munge
SlurmctldPort={}
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
SchedulerParameters=sched_interval=1,sched_min_interval=0,bf_interval=1
ReturnToService=2
StateSaveLocation={root}/state
SlurmctldPidFile={root}/slurmctld.pid
SlurmctldLogFile={root}/slurmctld.log
SlurmdSpoolDir={root}/spool.%n
SlurmdPidFile={root}/slurmd.%n.pid
SlurmdLogFile={root}/slurmd.%n.log
SlurmdTimeout=8
SlurmdParameters=config_overrides
JobRequeue=1
MailProg=/bin/true
{}
{}
PartitionName=p Nodes={} Default=YES State=UP
",
        port(0),
        node(0),
        node(1),
        NODES.join(",")
    )
}

#[test]
fn a_run_on_two_nodes_survives_the_crash_of_one() {
    let machines = Machines::new();
    let mut cluster = Cluster::start();
    let settings = [SMALL.as_slice(), &["--set=epochs=100", "--set=patience=100", "--set=backtest=false", "--json"]];
    let settings = settings.concat();
    let single: Value =
        serde_json::from_str(&machines.ok("home", &[&["train"], settings.as_slice()].concat())).unwrap();

    let mut train = machines.command("a", &[&["train", "--on", "slurm"], settings.as_slice()].concat());
    cluster.connect(&mut train);
    let train = train.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut member = None;
    wait_until("a member has trained for some epochs", || {
        member = cluster.find("member");
        member.is_some() && machines.losses("2").len() > 2
    });
    cluster.crash(&member.unwrap());
    wait_until("the version is registered", || {
        cluster.start_requeued();
        machines
            .ok("home", &["runs", "list"])
            .lines()
            .any(|line| line.trim_start().starts_with("2 ") && line.contains("completed"))
    });
    let output = train.wait_with_output().unwrap();
    let log = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{log}");
    assert!(log.contains("epoch 100:") && log.contains("registered model version 2"), "{log}");
    let split: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(split["accuracy"], single["accuracy"]);
    assert!(machines.model(&split["version"]) == machines.model(&single["version"]), "the model files differ");

    // Ctrl-C cancels the jobs.
    let endless = [SMALL.as_slice(), &["--set=epochs=5000", "--set=patience=5000", "--set=backtest=false"]].concat();
    let mut train = machines.command("a", &[&["train", "--on", "slurm"], endless.as_slice()].concat());
    cluster.connect(&mut train);
    let train = train.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    wait_until("a member is trained", || cluster.find("member").is_some());
    signal("-INT", &train.id().to_string());
    let output = train.wait_with_output().unwrap();
    let log = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{log}");
    assert!(log.contains("the jobs on the cluster were cancelled") && log.contains("--on slurm --resume 3"), "{log}");
    wait_until("the queue is empty", || cluster.call("squeue", &["-h"]).is_empty());
    assert!(machines.ok("home", &["runs", "show", "3"]).contains("run 3, interrupted"));
}

#[test]
fn a_file_is_valued_by_two_nodes_as_by_one_process() {
    let machines = Machines::new();
    machines.ok("home", &[&["train", "--promote"], SMALL.as_slice()].concat());
    let [cars, whole, together] = ["cars.csv", "whole.csv", "together.csv"].map(|name| machines.home.path(name));
    let [cars, whole, together] = [&cars, &whole, &together].map(|path| path.to_str().unwrap());
    machines.ok("home", &["listings", "--split", "train", "-o", cars]);
    let expected = machines.ok("home", &["predict", cars, "-o", whole]);

    let cluster = Cluster::start();
    let mut predict = machines.command("a", &["predict", cars, "-o", together, "--on", "slurm", "--parts", "3"]);
    cluster.connect(&mut predict);
    let output = predict.output().unwrap();
    let log = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{log}");
    assert!(log.contains("3 of 3 parts valued"), "{log}");
    assert_eq!(String::from_utf8_lossy(&output.stdout), expected.replace("whole.csv", "together.csv"));
    assert!(std::fs::read(together).unwrap() == std::fs::read(whole).unwrap(), "the files differ");
    assert!(!machines.home.path("together.csv.parts").exists());

    let text = machines.home.write("broken.csv", "brand,year\nKia,2018\n");
    let mut predict = machines.command("a", &["predict", &text, "-o", together, "--on", "slurm", "--parts", "2"]);
    cluster.connect(&mut predict);
    let output = predict.output().unwrap();
    let log = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{log}");
    assert!(log.contains("mileage"), "{log}");
}

#[test]
fn a_sweep_on_two_nodes_goes_on_without_one_of_its_processes() {
    let machines = Machines::new();
    let cluster = Cluster::start();
    machines.home.write("space.toml", "[learning_rate]\nlow = 1e-3\nhigh = 1e-2\nlog = true\n");
    let sweep = |trials: &str| {
        let settings = ["sweep", "--space=space.toml", "--on=slurm", "--workers=2", "--set=k=1", "--set=d_block=16"];
        let arguments = [&settings, &[trials, "--set=epochs=15", "--set=patience=15"] as &[&str]].concat();
        let mut sweep = machines.command("a", &arguments);
        cluster.connect(&mut sweep);
        sweep.current_dir(machines.home.path("")).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    };
    let results = || {
        let shown = machines.ok("home", &["sweep", "show", "space", "--json"]);
        serde_json::from_str::<Value>(&shown).unwrap()["results"].as_array().unwrap().clone()
    };
    let first = sweep("--trials=4");
    let mut worker = None;
    wait_until("a process trains", || {
        worker = cluster.find("work");
        let shown = machines.command("home", &["runs", "show", "1", "--json"]).output().unwrap().stdout;
        let run: Value = serde_json::from_slice(&shown).unwrap_or_default();
        worker.is_some() && run["epochs"].as_array().is_some_and(|epochs| epochs.len() > 2)
    });
    signal("-TERM", &worker.unwrap().pid);
    let output = first.wait_with_output().unwrap();
    let log = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{log}");
    assert!(log.contains("the other jobs go on") && log.contains("4 of 4 trials ended; best loss"), "{log}");
    assert!(String::from_utf8(output.stdout).unwrap().contains("the best is trial"));
    let trials = results();
    let ended = trials.iter().filter(|trial| ["completed", "pruned"].contains(&trial["status"].as_str().unwrap()));
    assert_eq!((trials.len(), ended.count()), (4, 4), "{trials:?}");
    assert_eq!(trials.iter().filter(|trial| trial["attempt"] == 2).count(), 1, "{trials:?}");

    // Ctrl-C cancels the jobs, and the same command goes on later.
    let second = sweep("--trials=5");
    wait_until("a process works on the fifth trial", || cluster.find("work").is_some());
    signal("-INT", &second.id().to_string());
    let output = second.wait_with_output().unwrap();
    let log = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{log}");
    assert!(
        log.contains("the jobs on the cluster were cancelled") && log.contains("the same command continues"),
        "{log}"
    );
}

#[test]
fn without_slurm_it_says_what_to_install() {
    let machines = Machines::new();
    let output = machines.command("a", &["train", "--on", "slurm"]).env("PATH", "/nowhere").output().unwrap();
    let error = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(error.contains("`sbatch` was not found") && error.contains("slurm-client"), "{error}");
    assert_eq!(machines.home.fails(2, &["train", "--on", "dask"]).lines().count(), 4);
}
