//! Runs that are split among processes end with the same version as in one process.

use std::process::{Child, Command, Stdio};
use std::sync::atomic::AtomicBool;

use postgres::Cluster;
use serde_json::Value;

use crate::market::{Home, SMALL, signal, wait_until};

/// Training stops before the last epoch.
const STOPS_EARLY: [&str; 4] =
    ["--set=epochs=12", "--set=patience=2", "--set=learning_rate=0.05", "--set=batch_size=64"];

/// Machines that share nothing but a database: each has its own `PROBEG_HOME`.
pub struct Machines {
    /// Dropped first: without its folder, the server would be waited for in vain.
    cluster: Cluster,
    pub home: Home,
}

impl Machines {
    pub fn new() -> Self {
        let home = Home::new();
        std::fs::create_dir_all(home.path("home")).unwrap();
        let cluster = Cluster::open(&home.path("home"), None, &AtomicBool::new(false)).unwrap();
        home.ok(&["synth", "--rows", "4000", "--clustered"]);
        Self { cluster, home }
    }

    pub fn database_url(&self) -> String {
        self.cluster.url()
    }

    /// A command on a machine.
    pub fn command(&self, machine: &str, arguments: &[&str]) -> Command {
        let mut command = self.home.command(arguments);
        command.env("PROBEG_HOME", self.home.path(machine)).env("DATABASE_URL", self.database_url());
        command
    }

    pub fn ok(&self, machine: &str, arguments: &[&str]) -> String {
        let output = self.command(machine, arguments).output().unwrap();
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    pub fn fails(&self, machine: &str, arguments: &[&str]) -> String {
        let output = self.command(machine, arguments).output().unwrap();
        let error = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{arguments:?}: {error}");
        assert!(!error.contains("panicked"), "{error}");
        error
    }

    fn json(&self, machine: &str, arguments: &[&str]) -> Value {
        serde_json::from_str(&self.ok(machine, arguments)).unwrap()
    }

    fn start(&self, machine: &str, arguments: &[&str]) -> Child {
        self.command(machine, arguments).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap()
    }

    /// The validation losses of the epochs of a run.
    pub fn losses(&self, run: &str) -> Vec<f64> {
        let run = self.json("home", &["runs", "show", run, "--json"]);
        let epochs = run["epochs"].as_array().unwrap().iter();
        epochs.map(|epoch| epoch["metrics"]["validation_loss"].as_f64().unwrap()).collect()
    }

    /// The output of a command of psql, without headers.
    pub fn query(&self, statement: &str) -> String {
        let mut psql = Command::new("psql");
        let output = psql.arg(self.database_url()).args(["-X", "-q", "-t", "-A", "-c", statement]).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    /// The model file of a version without the number and the times of its run.
    pub fn model(&self, version: &Value) -> Vec<u8> {
        let file = self.home.path("exported.onnx");
        self.ok("home", &["models", "export", &version.to_string(), "-o", file.to_str().unwrap()]);
        without_run(&std::fs::read(file).unwrap())
    }
}

/// A model file without `probeg.run`, which is an entry of field 14 of a protobuf message.
fn without_run(file: &[u8]) -> Vec<u8> {
    let (mut kept, mut rest) = (Vec::new(), file);
    let mut removed = 0;
    while !rest.is_empty() {
        let start = rest;
        let key = varint(&mut rest);
        match key & 7 {
            0 => drop(varint(&mut rest)),
            2 => {
                let length = usize::try_from(varint(&mut rest)).unwrap();
                rest = &rest[length..];
            }
            other => panic!("unexpected wire type {other}"),
        }
        let field = &start[..start.len() - rest.len()];
        if key >> 3 == 14 && field.windows(10).any(|window| window == b"probeg.run") {
            removed += 1;
        } else {
            kept.extend(field);
        }
    }
    assert_eq!(removed, 1);
    kept
}

fn varint(bytes: &mut &[u8]) -> u64 {
    let mut value = 0;
    for shift in (0..).step_by(7) {
        let byte = bytes[0];
        *bytes = &bytes[1..];
        value |= u64::from(byte & 127) << shift;
        if byte < 128 {
            break;
        }
    }
    value
}

#[test]
fn a_split_run_gives_the_model_of_a_single_process() {
    let machines = Machines::new();
    let settings = [SMALL.as_slice(), STOPS_EARLY.as_slice()].concat();
    let single = machines.json("home", &[&["train", "--json"], settings.as_slice()].concat());
    let plan = machines.json("a", &[&["train", "plan", "--json"], settings.as_slice()].concat());
    assert_eq!(plan, serde_json::json!({ "run": 2, "members": 2, "backtests": 4, "refits": 2 }));

    // In any order, each on a machine that has seen nothing of the run before.
    let error = machines.fails("b", &["train", "member", "2", "0", "--refit"]);
    assert!(error.contains("missing: 0, 1"), "{error}");
    machines.ok("b", &["train", "member", "2", "4"]);
    machines.ok("b", &["train", "member", "2", "1"]);
    assert!(machines.fails("a", &["train", "finish", "2"]).contains("missing: 0"));
    machines.ok("c", &["train", "member", "2", "0"]);
    for number in ["2", "3", "5"] {
        machines.ok("a", &["train", "member", "2", number]);
    }
    machines.ok("c", &["train", "member", "2", "0", "--refit"]);
    machines.ok("d", &["train", "member", "2", "1", "--refit"]);
    assert!(machines.ok("d", &["train", "member", "2", "0"]).contains("was trained before"));
    assert!(machines.fails("d", &["train", "member", "2", "6"]).contains("has no part"));
    let split = machines.json("e", &["train", "finish", "2", "--json"]);
    // Its page is that of a single process: the curves, and what each part did.
    let curve = |run: u8, name: &str| {
        machines.query(&format!(
            "SELECT step, value FROM run_figures WHERE run_id = {run} AND name = '{name}' ORDER BY step"
        ))
    };
    for name in ["validation_loss", "validation_mape", "learning_rate"] {
        assert!(!curve(1, name).is_empty());
        assert_eq!(curve(1, name), curve(2, name), "{name}");
    }
    assert!(!curve(2, "train_loss").is_empty() && !curve(2, "memory").is_empty());
    assert!(!curve(2, "refit_train_loss").is_empty());
    let log = machines.query("SELECT message FROM run_log WHERE run_id = 2 ORDER BY at");
    for line in ["plan: completed", "member 1: started by process", "member 0: completed", "epoch 1: training loss"] {
        assert!(log.lines().any(|other| other.starts_with(line)), "{line}: {log}");
    }
    assert!(log.ends_with("\ncompleted\n"), "{log}");

    assert_eq!(split["accuracy"], single["accuracy"]);
    let losses = machines.losses("1");
    assert!(losses.len() < 12, "training does not stop early");
    assert_eq!(machines.losses("2"), losses);
    assert!(machines.model(&split["version"]) == machines.model(&single["version"]), "the model files differ");
    // Everything can be repeated.
    assert_eq!(machines.json("f", &["train", "finish", "2", "--json"]), split);
    assert!(machines.ok("f", &["train", "member", "2", "1"]).contains("was trained before"));
    let leftovers = std::fs::read_dir(machines.home.path("c/runs")).unwrap().count();
    assert_eq!(leftovers, 0, "the folder of a complete part is removed");
}

#[test]
fn a_member_is_repeated_after_a_crash() {
    let machines = Machines::new();
    let settings = [SMALL.as_slice(), &["--set=epochs=100", "--set=patience=100", "--set=k=1", "--set=backtest=false"]];
    let settings = settings.concat();
    let single = machines.json("home", &[&["train", "--json"], settings.as_slice()].concat());
    machines.ok("a", &[&["train", "plan"], settings.as_slice()].concat());

    let has_epochs = |count: usize| machines.losses("2").len() >= count;
    let mut first = machines.start("a", &["train", "member", "2", "0"]);
    wait_until("the member has trained for an epoch", || has_epochs(1));
    assert!(first.try_wait().unwrap().is_none(), "the process must still be training");
    first.kill().unwrap();
    first.wait().unwrap();

    // Another machine takes over once the lease has expired.
    let resumed = || machines.query("SELECT message FROM run_log WHERE message LIKE 'member 0: resumed in epoch %'");
    let epochs = machines.losses("2").len() + 3;
    let mut second = machines.start("b", &["train", "member", "2", "0"]);
    wait_until("the member has trained for more epochs", || has_epochs(epochs));
    let resumed_before = resumed().lines().count();
    signal("-TERM", &second.id().to_string());
    assert!(!second.wait().unwrap().success());
    // A third one goes on from the checkpoint that the second one has stored.
    machines.ok("c", &["train", "member", "2", "0"]);
    let resumed = resumed();
    let epoch = resumed.lines().last().and_then(|line| line.rsplit(' ').next()?.parse::<usize>().ok());
    assert!(resumed.lines().count() > resumed_before && epoch.is_some_and(|epoch| epoch >= epochs), "{resumed}");
    // The final network is trained with the rest, since no other process has.
    let split = machines.json("b", &["train", "finish", "2", "--json"]);
    assert_eq!(split["accuracy"], single["accuracy"]);
    assert!(machines.model(&split["version"]) == machines.model(&single["version"]), "the model files differ");
}

#[test]
fn a_machine_that_cannot_take_part_says_why() {
    let machines = Machines::new();
    assert!(machines.fails("a", &["train", "member", "1", "0"]).contains("there is no run 1"));
    let settings = [SMALL.as_slice(), &["--set=epochs=5000", "--set=patience=5000", "--set=k=1"]].concat();
    machines.ok("a", &[&["train", "plan"], settings.as_slice()].concat());

    let mut first = machines.start("a", &["train", "member", "1", "0"]);
    wait_until("the member has trained for an epoch", || !machines.losses("1").is_empty());
    let error = machines.fails("b", &["train", "member", "1", "0"]);
    assert!(error.contains("is executing this part of run 1"), "{error}");
    assert!(first.try_wait().unwrap().is_none(), "the first process must go on");
    signal("-TERM", &first.id().to_string());
    assert!(!first.wait().unwrap().success());

    let error = machines.home.fails(1, &["train", "member", "1", "0"]);
    assert!(error.contains("DATABASE_URL is not set"), "{error}");
    let mut unreachable = machines.command("a", &["train", "member", "1", "0"]);
    let output = unreachable.env("DATABASE_URL", "postgres://probeg:secret@127.0.0.1:1/probeg").output().unwrap();
    let error = String::from_utf8(output.stderr).unwrap();
    assert!(error.contains("the database at 127.0.0.1:1/probeg is unavailable"), "{error}");
    assert!(!error.contains("secret"), "{error}");

    machines.query("UPDATE run_plans SET program = '0.0.9'");
    for part in [&["train", "member", "1", "0"] as &[&str], &["train", "finish", "1"], &["train", "plan", "--run", "1"]]
    {
        let error = machines.fails("a", part);
        assert!(error.contains("run 1 was started by Probeg 0.0.9, but this is Probeg 0.1.0"), "{error}");
    }
    let error = machines.home.fails(2, &["train", "--json", "plan"]);
    assert!(error.contains("cannot be used with"), "{error}");
}

#[test]
fn a_file_that_cannot_be_written_gives_a_part_and_a_trial_back() {
    let machines = Machines::new();
    let settings = [SMALL.as_slice(), &["--set=backtest=false", "--set=refit=false"]].concat();
    machines.ok("home", &[&["train", "plan"], settings.as_slice()].concat());
    // No file may have more than 64 KiB. With its signal ignored, the limit is an error of the write, like a full disk.
    let limited = |arguments: &[&str], file: &str| {
        let command = machines.command("limited", arguments);
        let mut shell = Command::new("sh");
        shell.args(["-c", "trap '' XFSZ; ulimit -f 128; exec \"$0\" \"$@\""]);
        shell.arg(command.get_program()).args(command.get_args()).current_dir(machines.home.path(""));
        shell.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
        let output = shell.output().unwrap();
        let error = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{arguments:?}: {error}");
        let last = error.lines().last().unwrap();
        assert!(last.contains(file) && last.contains("choose a folder on another disk"), "{error}");
        assert_eq!(last.matches("File too large").count(), 1, "{error}");
    };
    limited(&["train", "member", "1", "0"], "/limited/runs/");
    // Others take it at once.
    machines.ok("a", &["train", "member", "1", "0"]);
    machines.ok("a", &["train", "member", "1", "1"]);
    machines.ok("a", &["train", "finish", "1", "--promote"]);

    let space = machines.home.write("space.toml", "[learning_rate]\nlow = 1e-3\nhigh = 1e-2\n");
    let sweep = [&["sweep", "--space", &space, "--trials", "1"], SMALL.as_slice()].concat();
    limited(&sweep, "/limited/runs/");
    assert_eq!(machines.query("SELECT status, lease_until < now() FROM trials"), "running|t\n");
    machines.ok("a", &sweep);
    assert_eq!(machines.query("SELECT status, attempt FROM trials"), "completed|2\n");
    assert_eq!(machines.query("SELECT count(*) FROM models"), "1\n");

    let cars = machines.home.write("cars.csv", format!("brand,year,mileage\n{}", "Kia,2018,83000\n".repeat(5000)));
    let (valued, parts) = (machines.home.path("valued.csv"), machines.home.path("parts"));
    std::fs::create_dir_all(&parts).unwrap();
    limited(&["predict", &cars, "-o", valued.to_str().unwrap()], "/valued.csv cannot be written");
    let part = ["predict", &cars, "-o", parts.to_str().unwrap(), "--parts", "2", "--part", "1"];
    limited(&part, "/parts/1.csv cannot be written");
    assert!(!valued.exists() && std::fs::read_dir(&parts).unwrap().count() == 0, "nothing incomplete may appear");
}
