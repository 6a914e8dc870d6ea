use std::time::Duration;

use serde_json::json;
use storage::{Action, CHAMPION, Error, MAX_MODEL_BYTES, ModelFile, Models, NewModel, NewRun, RunDescription};

use crate::sandbox::database;

async fn register(models: &Models, content: u8) -> i64 {
    let model = NewModel {
        task: "price".to_owned(),
        run_id: None,
        bytes: vec![content; 1000],
        signature: json!({"inputs": ["numeric"]}),
        card: json!({"mape": 0.154}),
    };
    models.register(&model).await.unwrap()
}

#[tokio::test]
async fn registered_models_round_trip() {
    let (database, _) = database().await;
    let (models, runs) = (database.models(), database.runs());
    let run_id = runs
        .create(&NewRun {
            task: "price".to_owned(),
            description: RunDescription::default(),
            seed: 1,
            config: json!({}),
        })
        .await
        .unwrap();
    let bytes: Vec<u8> = (0..=255).cycle().take(100_000).collect();
    let model = NewModel {
        task: "price".to_owned(),
        run_id: Some(run_id),
        bytes,
        signature: json!({"a": 1}),
        card: json!({"mape": 0.2}),
    };
    let version = models.register(&model).await.unwrap();
    let record = models.get(version).await.unwrap().unwrap();
    assert_eq!((record.run_id, record.size, record.sha256.len()), (Some(run_id), 100_000, 64));
    assert_eq!((&record.signature, &record.accuracy), (&model.signature, &model.card));
    assert!(record.aliases.is_empty());
    assert_eq!(models.bytes(version).await.unwrap(), Some(model.bytes));
    assert_eq!(runs.get(run_id).await.unwrap().unwrap().model_version, Some(version));
    assert_eq!(models.list().await.unwrap(), [record]);
    assert_eq!(models.get(99).await.unwrap(), None);
    assert_eq!(models.bytes(99).await.unwrap(), None);
}

#[tokio::test]
async fn versions_and_history_are_immutable() {
    let (database, pool) = database().await;
    let models = database.models();
    let version = register(&models, 1).await;
    models.promote(version, "ann").await.unwrap();
    for statement in [
        "UPDATE models SET card = '{}'",
        "DELETE FROM models",
        "TRUNCATE models CASCADE",
        "UPDATE alias_history SET who = 'bob'",
        "DELETE FROM alias_history",
        "TRUNCATE alias_history",
    ] {
        let error = sqlx::query(statement).execute(&pool).await.unwrap_err().to_string();
        assert!(error.contains("its rows never change"), "{statement}: {error}");
    }
}

#[tokio::test]
async fn damaged_models_are_not_returned() {
    let (database, pool) = database().await;
    let models = database.models();
    let version = register(&models, 1).await;
    sqlx::raw_sql("ALTER TABLE models DISABLE TRIGGER ALL; UPDATE models SET bytes = set_byte(bytes, 500, 7)")
        .execute(&pool)
        .await
        .unwrap();
    assert!(matches!(models.bytes(version).await, Err(Error::DamagedModel(damaged)) if damaged == version));
}

#[tokio::test]
async fn version_names_are_resolved() {
    let (database, _) = database().await;
    let models = database.models();
    assert_eq!(models.resolve("latest").await.unwrap(), None);
    let first = register(&models, 1).await;
    let second = register(&models, 2).await;
    assert_eq!(models.champion("price").await.unwrap(), None, "registering does not promote");
    models.promote(first, "ann").await.unwrap();
    for (name, version) in [
        (first.to_string(), Some(first)),
        (format!(" v{second} "), Some(second)),
        ("latest".into(), Some(second)),
        (CHAMPION.into(), Some(first)),
        ("challenger".into(), None),
        ("999".into(), None),
        ("v".into(), None),
        (String::new(), None),
    ] {
        assert_eq!(models.resolve(&name).await.unwrap(), version, "{name:?}");
    }
    assert_eq!(models.get(first).await.unwrap().unwrap().aliases, [CHAMPION]);
}

#[tokio::test]
async fn rollbacks_restore_previous_champions() {
    let (database, _) = database().await;
    let models = database.models();
    assert!(matches!(models.rollback("price", "ann").await, Err(Error::NoEarlierChampion)));
    assert!(matches!(models.promote(1, "ann").await, Err(Error::NoModel(1))));
    let mut versions = Vec::new();
    for content in 1..=4 {
        versions.push(register(&models, content).await);
    }
    for version in &versions[..3] {
        models.promote(*version, "ann").await.unwrap();
    }
    models.promote(versions[2], "ann").await.unwrap();
    assert_eq!(models.rollback("price", "bob").await.unwrap(), versions[1]);
    models.promote(versions[3], "ann").await.unwrap();
    assert_eq!(models.rollback("price", "bob").await.unwrap(), versions[1]);
    assert_eq!(models.rollback("price", "bob").await.unwrap(), versions[0]);
    assert_eq!(models.champion("price").await.unwrap(), Some(versions[0]));
    assert!(matches!(models.rollback("price", "bob").await, Err(Error::NoEarlierChampion)));

    let history = models.history().await.unwrap();
    assert_eq!(history.len(), 7, "promoting the champion again is not a change");
    assert_eq!((history[0].version, history[0].previous_version), (versions[0], Some(versions[1])));
    assert_eq!((history[0].action, history[0].who.as_str()), (Action::Rollback, "bob"));
    assert_eq!((history[6].version, history[6].previous_version), (versions[0], None));
}

#[tokio::test(flavor = "multi_thread")]
async fn concurrent_promotions_have_a_consistent_history() {
    let (database, _) = database().await;
    let models = database.models();
    let mut versions = Vec::new();
    for content in 0..6 {
        versions.push(register(&models, content).await);
    }
    let promotions = versions.iter().map(|version| {
        let (models, version) = (models.clone(), *version);
        tokio::spawn(async move { models.promote(version, "ann").await.unwrap() })
    });
    for promotion in promotions.collect::<Vec<_>>() {
        promotion.await.unwrap();
    }
    let history = models.history().await.unwrap();
    assert_eq!(history.len(), 6);
    assert!(history.windows(2).all(|pair| pair[0].previous_version == Some(pair[1].version)));
    assert_eq!(models.champion("price").await.unwrap(), Some(history[0].version));
}

#[tokio::test]
async fn listeners_are_notified_and_reconnect() {
    let (database, pool) = database().await;
    let models = database.models();
    let mut changes = models.listen();
    let timeout = Duration::from_secs(20);
    tokio::time::timeout(timeout, changes.changed())
        .await
        .expect("the first notification means that listening has started");
    assert!(
        tokio::time::timeout(Duration::from_millis(100), changes.changed()).await.is_err(),
        "nothing has changed yet"
    );
    let version = register(&models, 1).await;
    models.promote(version, "ann").await.unwrap();
    tokio::time::timeout(timeout, changes.changed()).await.expect("a promotion is notified");

    sqlx::query(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
         WHERE datname = current_database() AND query LIKE 'LISTEN%'",
    )
    .execute(&pool)
    .await
    .unwrap();
    tokio::time::timeout(timeout, changes.changed()).await.expect("a lost connection is reestablished and notified");
    let version = register(&models, 2).await;
    models.promote(version, "ann").await.unwrap();
    tokio::time::timeout(timeout, changes.changed()).await.expect("changes are notified after reconnecting");
}

#[tokio::test]
async fn the_champion_is_identified_by_version_and_hash() {
    let (database, _) = database().await;
    let models = database.models();
    assert!(models.champions().await.unwrap().is_empty());
    let version = register(&models, 1).await;
    models.promote(version, "somebody").await.unwrap();
    let ModelFile { version: champion, sha256 } = models.champions().await.unwrap().remove("price").unwrap();
    let record = models.get(version).await.unwrap().unwrap();
    assert_eq!(champion, version);
    assert!(models.contains(version, &sha256).await.unwrap());
    assert!(!models.contains(version + 1, &sha256).await.unwrap());
    assert!(!models.contains(version, &[7; 32]).await.unwrap());
    assert_eq!(sha256.iter().fold(String::new(), |hash, byte| hash + &format!("{byte:02x}")), record.sha256);
}

#[tokio::test]
async fn oversized_models_are_rejected() {
    let (database, _) = database().await;
    let bytes = vec![0; usize::try_from(MAX_MODEL_BYTES).unwrap() + 1];
    let model = NewModel { task: "price".to_owned(), run_id: None, bytes, signature: json!({}), card: json!({}) };
    assert!(matches!(database.models().register(&model).await, Err(Error::ModelTooLarge { .. })));
}

#[tokio::test]
async fn what_served_when_follows_from_the_history() {
    let (database, _) = database().await;
    let models = database.models();
    let (first, second) = (register(&models, 1).await, register(&models, 2).await);
    assert_eq!(models.served("price").await.unwrap(), []);
    models.promote(first, "ann").await.unwrap();
    models.promote(second, "bob").await.unwrap();
    models.rollback("price", "eve").await.unwrap();
    let periods = models.served("price").await.unwrap();
    let versions: Vec<i64> = periods.iter().map(|period| period.change.version).collect();
    assert_eq!(versions, [first, second, first]);
    assert_eq!(periods[0].until, None);
    assert_eq!(periods[1].until, Some(periods[0].change.at));
    let bob = &periods[1].change;
    assert_eq!(models.served_at("price", bob.at).await.unwrap().as_ref(), Some(&periods[1]));
    let just_before = bob.at - Duration::from_micros(1);
    assert_eq!(models.served_at("price", just_before).await.unwrap().as_ref(), Some(&periods[2]));
    let before_all = periods[2].change.at - Duration::from_micros(1);
    assert_eq!(models.served_at("price", before_all).await.unwrap(), None);
    assert_eq!(models.served("days_listed").await.unwrap(), [], "each task has its own");
}
