use domain::SplitCounts;
use serde_json::json;
use storage::{Error, NewRun, RunOutcome, RunStatus};

use crate::sandbox::database;

fn new_run() -> NewRun {
    NewRun {
        task: "price".into(),
        label: Some("first".into()),
        seed: u64::MAX,
        config: json!({"k": 8, "dropout": 0.1}),
    }
}

#[tokio::test]
async fn runs_are_recorded() {
    let (database, _) = database().await;
    let runs = database.runs();
    let id = runs.create(&new_run()).await.unwrap();
    let rows = SplitCounts { train: 80, validation: 10, test: 10 };
    let config = json!({"k": 8, "dropout": 0.1, "epochs": 60});
    runs.describe(id, "f00d", rows, &config).await.unwrap();
    for epoch in [0, 1, 1] {
        runs.record_epoch(id, epoch, &json!({"loss": 0.5 / f64::from(epoch + 1)})).await.unwrap();
    }
    let run = runs.get(id).await.unwrap().unwrap();
    assert_eq!(run.status, RunStatus::Running);
    assert_eq!((run.seed, run.config, run.label.as_deref()), (u64::MAX, config, Some("first")));
    assert_eq!((run.schema_fingerprint.as_deref(), run.rows), (Some("f00d"), Some(rows)));
    let metrics = runs.metrics(id).await.unwrap();
    assert_eq!(metrics.iter().map(|epoch| epoch.epoch).collect::<Vec<_>>(), [0, 1]);
    assert_eq!(metrics[1].metrics, json!({"loss": 0.25}));

    runs.finish(id, &RunOutcome::Completed).await.unwrap();
    let second = runs.create(&NewRun { label: None, ..new_run() }).await.unwrap();
    runs.finish(second, &RunOutcome::Failed("no rows".into())).await.unwrap();
    let list = runs.list().await.unwrap();
    assert_eq!(list.iter().map(|run| run.id).collect::<Vec<_>>(), [second, id]);
    assert_eq!((list[0].status, list[0].error.as_deref()), (RunStatus::Failed, Some("no rows")));
    assert_eq!(list[1].status, RunStatus::Completed);
    assert!(list[1].finished_at.unwrap() >= list[1].started_at);
}

#[tokio::test]
async fn a_run_without_heartbeat_is_interrupted_and_can_be_resumed() {
    let (database, pool) = database().await;
    let runs = database.runs();
    let id = runs.create(&new_run()).await.unwrap();
    sqlx::query("UPDATE runs SET heartbeat_at = now() - interval '61 seconds'").execute(&pool).await.unwrap();
    assert_eq!(runs.get(id).await.unwrap().unwrap().status, RunStatus::Interrupted);
    runs.heartbeat(id).await.unwrap();
    assert_eq!(runs.get(id).await.unwrap().unwrap().status, RunStatus::Running);
    runs.finish(id, &RunOutcome::Interrupted).await.unwrap();
    assert_eq!(runs.get(id).await.unwrap().unwrap().status, RunStatus::Interrupted);
    runs.resume(id).await.unwrap();
    let run = runs.get(id).await.unwrap().unwrap();
    assert_eq!((run.status, run.finished_at), (RunStatus::Running, None));
}

#[tokio::test]
async fn missing_runs_are_errors() {
    let (database, _) = database().await;
    let runs = database.runs();
    assert_eq!(runs.get(7).await.unwrap(), None);
    assert!(runs.metrics(7).await.unwrap().is_empty());
    assert!(matches!(runs.heartbeat(7).await, Err(Error::NoRun(7))));
    assert!(matches!(runs.record_epoch(7, 0, &json!({})).await, Err(Error::NoRun(7))));
    assert!(matches!(runs.finish(7, &RunOutcome::Completed).await, Err(Error::NoRun(7))));
}
