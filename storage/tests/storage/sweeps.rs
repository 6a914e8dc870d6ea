//! Sweeps and the processes that take their trials.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::{Value, json};
use storage::{
    Claim, Database, NewRun, NewSweep, RunDescription, Sweep, SweepCounts, Taken, Trial, TrialOutcome, TrialStatus,
};

use crate::sandbox::database;

const LEASE: Duration = Duration::from_mins(1);
/// A lease that is over at once.
const NONE: Duration = Duration::ZERO;

fn new_sweep(trials: u32) -> NewSweep {
    NewSweep {
        name: "rates".to_owned(),
        task: "price".to_owned(),
        space: json!({"k": {"values": [1, 2]}}),
        config: json!({"k": 4}),
        data: json!({}),
        trials,
        program: "1.0.0".to_owned(),
    }
}

async fn take(database: &Database, sweep: &Sweep, lease: Duration) -> Taken {
    let propose = |trials: &[Trial]| Some(json!({"k": trials.len()}));
    database.sweeps().take(sweep.id, "worker", lease, propose).await.unwrap()
}

async fn claim(database: &Database, sweep: &Sweep, lease: Duration) -> Claim {
    let Taken::Trial(trial) = take(database, sweep, lease).await else { panic!("there is no trial") };
    Claim { sweep: sweep.id, number: trial.number, attempt: trial.attempt }
}

#[tokio::test]
async fn a_sweep_is_joined_by_its_name_and_may_grow() {
    let (database, _) = database().await;
    let sweeps = database.sweeps();
    let sweep = sweeps.start_or_join(&new_sweep(3)).await.unwrap();
    assert_eq!((sweep.trials, sweep.program.as_str()), (3, "1.0.0"));
    let joined = sweeps.start_or_join(&NewSweep { data: json!({"other": 1}), ..new_sweep(5) }).await.unwrap();
    assert_eq!((joined.id, joined.trials, joined.data), (sweep.id, 5, json!({})), "the data stays");
    assert_eq!(sweeps.start_or_join(&new_sweep(2)).await.unwrap().trials, 5, "it never shrinks");
    let other = NewSweep { space: json!({"k": {"values": [3]}}), ..new_sweep(9) };
    let kept = sweeps.start_or_join(&other).await.unwrap();
    assert_eq!((kept.space, kept.trials), (sweep.space, 5), "another space changes nothing");
    assert_eq!(sweeps.get("rates").await.unwrap().map(|sweep| sweep.id), Some(sweep.id));
    assert_eq!(sweeps.get("other").await.unwrap(), None);
    assert_eq!(sweeps.list().await.unwrap().len(), 1);
}

#[tokio::test]
async fn each_trial_is_taken_by_one_process_and_ends_once() {
    let (database, _) = database().await;
    let sweep = database.sweeps().start_or_join(&new_sweep(20)).await.unwrap();
    let work = async || {
        let mut numbers = Vec::new();
        while let Taken::Trial(trial) = take(&database, &sweep, LEASE).await {
            let claim = Claim { sweep: sweep.id, number: trial.number, attempt: trial.attempt };
            let loss = f64::from(trial.number);
            assert!(database.sweeps().finish(claim, &TrialOutcome::Completed(loss)).await.unwrap());
            assert!(!database.sweeps().finish(claim, &TrialOutcome::Pruned(0.0)).await.unwrap(), "it has ended");
            numbers.push(trial.number);
        }
        numbers
    };
    let (a, b, c, d) = tokio::join!(work(), work(), work(), work());
    let mut numbers = [a, b, c, d].concat();
    numbers.sort_unstable();
    assert_eq!(numbers, (1..=20).collect::<Vec<_>>());
    let trials = database.sweeps().trials(sweep.id).await.unwrap();
    assert!(trials.iter().all(|trial| trial.loss == Some(f64::from(trial.number))), "{trials:?}");
    let settings: BTreeSet<String> = trials.iter().map(|trial| trial.settings.to_string()).collect();
    assert_eq!(settings.len(), 20, "each was proposed after all of those before it");
    assert_eq!(take(&database, &sweep, LEASE).await, Taken::Done);
}

#[tokio::test]
async fn a_trial_whose_process_is_gone_is_taken_over() {
    let (database, _) = database().await;
    let sweeps = database.sweeps();
    let sweep = sweeps.start_or_join(&new_sweep(1)).await.unwrap();
    let gone = claim(&database, &sweep, NONE).await;
    let run = NewRun { task: "price".to_owned(), description: RunDescription::default(), seed: 0, config: json!({}) };
    let run = database.runs().create(&run).await.unwrap();
    assert!(sweeps.set_run(gone, run).await.unwrap());
    let Taken::Trial(trial) = take(&database, &sweep, LEASE).await else { panic!("it was not taken over") };
    assert_eq!((trial.number, trial.attempt, trial.run_id), (1, 2, Some(run)), "with the run of before");
    assert_eq!(take(&database, &sweep, LEASE).await, Taken::Wait);
    for outcome in [TrialOutcome::Completed(0.1), TrialOutcome::Failed("late".to_owned())] {
        assert!(!sweeps.finish(gone, &outcome).await.unwrap(), "the first process is told that it lost the trial");
    }
    assert!(!sweeps.keep(gone, LEASE).await.unwrap());
    assert!(!sweeps.set_run(gone, run).await.unwrap());
    sweeps.give_up(gone).await.unwrap();
    assert_eq!(take(&database, &sweep, LEASE).await, Taken::Wait, "nor can it give the trial up");
    let current = Claim { attempt: 2, ..gone };
    assert!(sweeps.keep(current, LEASE).await.unwrap());
    sweeps.give_up(current).await.unwrap();
    let third = claim(&database, &sweep, LEASE).await;
    assert_eq!(third.attempt, 3);
    assert!(sweeps.finish(third, &TrialOutcome::Failed("diverged".to_owned())).await.unwrap());
    let trials = sweeps.trials(sweep.id).await.unwrap();
    assert_eq!((trials[0].status, trials[0].error.as_deref()), (TrialStatus::Failed, Some("diverged")));
    assert_eq!(take(&database, &sweep, LEASE).await, Taken::Done);
}

#[tokio::test]
async fn a_sweep_without_further_settings_ends_early() {
    let (database, _) = database().await;
    let sweep = database.sweeps().start_or_join(&new_sweep(9)).await.unwrap();
    let nothing = |_: &[Trial]| None::<Value>;
    assert_eq!(database.sweeps().take(sweep.id, "worker", LEASE, nothing).await.unwrap(), Taken::Done);
}

#[tokio::test]
async fn losses_are_compared_at_the_same_epoch() {
    let (database, _) = database().await;
    let (sweeps, runs) = (database.sweeps(), database.runs());
    let sweep = sweeps.start_or_join(&new_sweep(4)).await.unwrap();
    for losses in [&[0.5, 0.3, 0.4][..], &[0.9, 0.8], &[0.1, 0.05, 0.01]] {
        let claim = claim(&database, &sweep, LEASE).await;
        let run =
            NewRun { task: "price".to_owned(), description: RunDescription::default(), seed: 0, config: json!({}) };
        let run = runs.create(&run).await.unwrap();
        sweeps.set_run(claim, run).await.unwrap();
        for (epoch, loss) in (1..).zip(losses) {
            runs.record_epoch(run, epoch, &json!({"validation_loss": loss})).await.unwrap();
        }
        let loss = losses.iter().copied().fold(f64::INFINITY, f64::min);
        let is_pruned = claim.number == 3;
        let outcome = if is_pruned { TrialOutcome::Pruned(loss) } else { TrialOutcome::Completed(loss) };
        sweeps.finish(claim, &outcome).await.unwrap();
    }
    let by = async |epoch| {
        let mut losses = sweeps.losses_by(sweep.id, epoch).await.unwrap();
        losses.sort_unstable_by(f64::total_cmp);
        losses
    };
    assert_eq!(by(1).await, [0.5, 0.9]);
    assert_eq!(by(2).await, [0.3, 0.8]);
    assert_eq!(by(3).await, [0.3], "the best so far; the second trial had ended");
    assert!(by(4).await.is_empty());
}

#[tokio::test]
async fn the_trials_of_each_sweep_are_counted() {
    let (database, _) = database().await;
    let sweeps = database.sweeps();
    let sweep = sweeps.start_or_join(&new_sweep(9)).await.unwrap();
    sweeps.start_or_join(&NewSweep { name: "empty".to_owned(), ..new_sweep(1) }).await.unwrap();
    let failed = TrialOutcome::Failed("no disk".to_owned());
    for outcome in [TrialOutcome::Completed(0.3), TrialOutcome::Completed(0.2), TrialOutcome::Pruned(0.1), failed] {
        let claim = claim(&database, &sweep, LEASE).await;
        sweeps.finish(claim, &outcome).await.unwrap();
    }
    claim(&database, &sweep, LEASE).await;
    let counted = sweeps.counted().await.unwrap();
    let counts: Vec<_> = counted.iter().map(|(sweep, counts, best)| (sweep.name.as_str(), *counts, *best)).collect();
    let expected = SweepCounts { running: 1, completed: 2, pruned: 1, failed: 1 };
    assert_eq!(counts, [("empty", SweepCounts::default(), None), ("rates", expected, Some(0.2))]);
    let trials = sweeps.trials(sweep.id).await.unwrap();
    assert_eq!(Sweep::best(&trials).map(|trial| trial.number), Some(2), "a trial that was stopped early is none");
}
