use chrono::{DateTime, Utc};
use domain::SplitCounts;
use domain::residuals::{Residuals, TestRow};
use serde_json::json;
use storage::{
    Error, FigurePoint, LogLine, NewModel, NewRun, RunDescription, RunEdit, RunOutcome, RunQuery, RunSort, RunStatus,
};

use crate::sandbox::database;

fn new_run() -> NewRun {
    NewRun {
        task: "price".into(),
        description: RunDescription { name: Some("first".into()), ..RunDescription::default() },
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
    assert_eq!((run.seed, run.config, run.name.as_deref()), (u64::MAX, config, Some("first")));
    assert_eq!((run.schema_fingerprint.as_deref(), run.rows), (Some("f00d"), Some(rows)));
    let metrics = runs.metrics(id).await.unwrap();
    assert_eq!(metrics.iter().map(|epoch| epoch.epoch).collect::<Vec<_>>(), [0, 1]);
    assert_eq!(metrics[1].metrics, json!({"loss": 0.25}));

    runs.finish(id, &RunOutcome::Completed).await.unwrap();
    let second = runs.create(&NewRun { description: RunDescription::default(), ..new_run() }).await.unwrap();
    runs.finish(second, &RunOutcome::Failed("no rows".into())).await.unwrap();
    let list = runs.list(&RunQuery::default()).await.unwrap();
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

#[tokio::test]
async fn what_people_say_about_a_run_can_be_changed() {
    let (database, _) = database().await;
    let runs = database.runs();
    let parent = runs.create(&new_run()).await.unwrap();
    let description = RunDescription {
        name: Some("first".into()),
        tags: vec!["a".into()],
        notes: Some("a note".into()),
        parent: Some(parent),
        program: Some("0.1.0".into()),
    };
    let id = runs.create(&NewRun { description, ..new_run() }).await.unwrap();
    let edit = RunEdit { tag: vec!["b".into(), "c".into(), "b".into()], untag: vec!["a".into()], ..RunEdit::default() };
    runs.edit(id, &edit).await.unwrap();
    let run = runs.get(id).await.unwrap().unwrap();
    assert_eq!((run.name.as_deref(), run.notes.as_deref(), run.parent), (Some("first"), Some("a note"), Some(parent)));
    assert_eq!((run.tags, run.program.as_deref()), (vec!["b".to_owned(), "c".to_owned()], Some("0.1.0")));
    let edit = RunEdit { name: Some(String::new()), notes: Some("other".into()), ..RunEdit::default() };
    runs.edit(id, &edit).await.unwrap();
    let run = runs.get(id).await.unwrap().unwrap();
    assert_eq!((run.name, run.notes.as_deref(), run.tags.len()), (None, Some("other"), 2));
    assert!(matches!(runs.edit(99, &edit).await, Err(Error::NoRun(99))));
}

#[tokio::test]
async fn runs_are_sorted_filtered_and_searched() {
    let (database, _) = database().await;
    let runs = database.runs();
    for (number, loss) in [(1, Some(0.3)), (2, None), (3, Some(0.1)), (4, Some(0.2))] {
        let tags = if number > 2 { vec!["late".to_owned()] } else { Vec::new() };
        let description = RunDescription { name: Some(format!("Run_{number}%")), tags, ..RunDescription::default() };
        let id = runs.create(&NewRun { description, ..new_run() }).await.unwrap();
        for (epoch, loss) in loss.into_iter().flat_map(|loss| [(1, loss), (2, loss + 0.5)]) {
            runs.record_epoch(id, epoch, &json!({ "validation_loss": loss, "train_loss": 1.0 })).await.unwrap();
        }
        if number == 4 {
            let model = NewModel {
                task: "price".into(),
                run_id: Some(id),
                bytes: vec![1],
                signature: json!({}),
                card: json!({ "mape": 0.2, "segments": {} }),
            };
            database.models().register(&model).await.unwrap();
            runs.finish(id, &RunOutcome::Completed).await.unwrap();
        }
    }
    let ids = async |query: RunQuery| {
        let listed = runs.list(&query).await.unwrap();
        let count = runs.count(&query).await.unwrap();
        assert!(listed.len() as u64 == count || query.limit.is_some());
        listed.iter().map(|run| run.id).collect::<Vec<_>>()
    };
    let all = RunQuery::default;
    assert_eq!(ids(all()).await, [4, 3, 2, 1]);
    let by_loss = RunQuery { sort: RunSort::ValidationLoss, ..all() };
    assert_eq!(ids(by_loss.clone()).await, [3, 4, 1, 2]);
    assert_eq!(ids(RunQuery { descending: true, ..by_loss.clone() }).await, [1, 4, 3, 2]);
    assert_eq!(ids(RunQuery { limit: Some(2), offset: 1, ..by_loss }).await, [4, 1]);
    assert_eq!(ids(RunQuery { sort: RunSort::Mape, ..all() }).await, [4, 3, 2, 1]);
    assert_eq!(ids(RunQuery { tag: Some("late".into()), ..all() }).await, [4, 3]);
    assert_eq!(ids(RunQuery { status: Some(RunStatus::Completed), ..all() }).await, [4]);
    assert_eq!(ids(RunQuery { search: Some("run_3%".into()), ..all() }).await, [3], "a search has no wildcards");
    assert_eq!(ids(RunQuery { task: Some("other".into()), ..all() }).await, [0; 0]);
    let run = runs.get(4).await.unwrap().unwrap();
    assert_eq!(run.metrics, json!({ "epoch": 1, "validation_loss": 0.2, "train_loss": 1.0, "mape": 0.2 }));
}

#[tokio::test]
async fn figures_and_the_log_are_written_in_batches_and_thinned_out() {
    let (database, pool) = database().await;
    let runs = database.runs();
    let id = runs.create(&new_run()).await.unwrap();
    let at = DateTime::<Utc>::UNIX_EPOCH;
    let point = |step: u64, value: f64| FigurePoint { name: "train_loss".into(), step, value, at };
    let points: Vec<FigurePoint> = (1..=1000_u32).map(|step| point(step.into(), step.into())).collect();
    let lines = [LogLine { at, message: "started".into() }];
    // As after an outage in which the response to the first batch was lost, and with a repeated step.
    runs.record(id, &points, &lines).await.unwrap();
    runs.record(id, &[point(1000, 0.0), point(1000, 1000.0)], &lines).await.unwrap();
    assert_eq!(runs.log(id).await.unwrap(), lines);
    let all = runs.figures(&[id], None, 1000).await.unwrap();
    assert_eq!((all.len(), all[0].points.len(), all[0].points[999]), (1, 1000, [1000.0, 1000.0]));
    let unchanged = runs.points(id, None).await.unwrap();
    assert_eq!((unchanged.len(), &unchanged[999]), (1000, &point(1000, 1000.0)));
    let later = FigurePoint { at: at + chrono::Duration::seconds(1), ..point(1001, 0.5) };
    runs.record(id, std::slice::from_ref(&later), &[]).await.unwrap();
    assert_eq!(runs.points(id, Some(later.at)).await.unwrap(), [later]);
    sqlx::query("DELETE FROM run_figures WHERE step = 1001").execute(&pool).await.unwrap();
    let thinned = runs.figures(&[id], Some(&["train_loss".to_owned()]), 10).await.unwrap();
    assert_eq!((thinned[0].points.len(), thinned[0].points[0]), (10, [100.0, 50.5]));
    assert_eq!(runs.figures(&[id], Some(&["other".to_owned()]), 10).await.unwrap(), []);
}

#[tokio::test]
async fn residuals_are_kept_with_their_run() {
    let (database, _) = database().await;
    let runs = database.runs();
    let id = runs.create(&new_run()).await.unwrap();
    assert_eq!(runs.residuals(id).await.unwrap(), None);
    let row = TestRow { age: 3.0, day: None, actual: 90.0, predicted: 100.0, quantiles: vec![80.0, 100.0, 120.0] };
    for count in [30, 60] {
        let residuals = Residuals::measure(&vec![row.clone(); count], &[0.1, 0.5, 0.9]).unwrap();
        runs.set_residuals(id, &residuals).await.unwrap();
        // JSON keeps other numbers up to rounding.
        let stored = runs.residuals(id).await.unwrap().unwrap();
        assert_eq!((stored.rows, stored.counts), (count, residuals.counts));
    }
    let residuals = runs.residuals(id).await.unwrap().unwrap();
    assert!(matches!(runs.set_residuals(99, &residuals).await, Err(Error::NoRun(99))));
    assert_eq!(runs.residuals(99).await.unwrap(), None);
}
