use uuid::Uuid;

use super::*;

fn line(app: u128, payload: usize) -> LogEnvelope {
    LogEnvelope {
        timestamp_ns: 0,
        app: AppGuid(Uuid::from_u128(app)),
        stream: Stream::Out,
        source_type: "APP/PROC/WEB".to_owned(),
        instance_index: 0,
        process: None,
        instance: None,
        payload: vec![b'x'; payload],
    }
}

#[tokio::test]
async fn a_loud_app_loses_its_own_oldest_lines_is_told_and_leaves_its_neighbour_alone() {
    let outbox = Outbox::new(Clock::system());
    outbox.push(line(2, 10));
    for _ in 0..3_000 {
        outbox.push(line(1, 1_000));
    }
    let (mut loud, mut notices, mut quiet) = (0, Vec::new(), 0);
    while loud + outbox.dropped() < 3_000 || quiet < 1 {
        for line in outbox.batch().await {
            match (line.app.0.as_u128(), line.source_type.as_str()) {
                (1, "LGR") => notices.push(String::from_utf8(line.payload).expect("text")),
                (1, _) => loud += 1,
                _ => quiet += 1,
            }
        }
    }
    assert!(outbox.dropped() > 1_000);
    assert_eq!(notices.len(), 1);
    assert!(
        notices[0].starts_with(&outbox.dropped().to_string()),
        "{notices:?}"
    );
}

#[tokio::test]
async fn every_app_is_in_the_first_batch() {
    let outbox = Outbox::new(Clock::system());
    for _ in 0..1_000 {
        outbox.push(line(1, 10));
    }
    outbox.push(line(2, 10));
    outbox.push(line(3, 10));
    let batch = outbox.batch().await;
    assert!(batch.len() <= LOG_BATCH_MAX);
    for app in [1, 2, 3] {
        assert!(
            batch.iter().any(|line| line.app.0.as_u128() == app),
            "app {app}"
        );
    }
}
