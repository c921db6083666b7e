//! A registry that is away, against a closed port; the real one is in the integration tests.

use tributary_avro::{Click, Config};

use super::*;

fn scratch(name: &str) -> std::path::PathBuf {
    let dir = std::env::temp_dir().join(format!("tributary-registry-{name}-{}", std::process::id()));
    std::fs::remove_dir_all(&dir).ok();
    dir
}

const CLOSED: &str = "http://127.0.0.1:1/apis/ccompat/v7";

#[tokio::test]
async fn works_from_the_cache_while_the_registry_is_away() {
    let dir = scratch("cache");
    let cache = Cache::open(&dir, CLOSED).unwrap();
    cache
        .put_subject("t-clicks-value", 7, Topic::Clicks.schema())
        .unwrap();
    cache.put_schema(3, Topic::Clicks.schema()).unwrap();
    let registry = Registry::connect(CLOSED, &dir, "t-").await.unwrap();

    let click = Click {
        id: "0123456789abcdef".into(),
        ..Default::default()
    };
    let bytes = registry
        .encoder::<Click>(Topic::Clicks)
        .await
        .unwrap()
        .encode(&click)
        .unwrap();
    assert_eq!(bytes.get(..5), Some(&[0, 0, 0, 0, 7][..]));
    let decoder = registry.decoder::<Click>(Topic::Clicks).await.unwrap();
    assert_eq!(decoder.decode(&bytes).await.unwrap(), click);
    // An older ID, known to the cache only.
    let older = tributary_avro::Encoder::<Click>::new(3).encode(&click).unwrap();
    assert_eq!(decoder.decode(&older).await.unwrap(), click);

    let error = registry.encoder::<Config>(Topic::Config).await.err().unwrap();
    assert!(error.is_retryable(), "{error}");
}

#[tokio::test]
async fn an_unknown_id_is_no_dead_letter_while_the_registry_is_away() {
    let dir = scratch("away");
    Cache::open(&dir, CLOSED)
        .unwrap()
        .put_subject("clicks-value", 7, Topic::Clicks.schema())
        .unwrap();
    let registry = Registry::connect(CLOSED, &dir, "").await.unwrap();
    let decoder = registry.decoder::<Click>(Topic::Clicks).await.unwrap();
    let bytes = [0, 0, 0, 0, 99, 1, 2];
    assert!(matches!(
        decoder.decode(&bytes).await,
        Err(DecodeFailure::Retry(_))
    ));
    let from_thread = std::thread::spawn(move || decoder.decode_blocking(&[0, 0, 0, 0, 99, 1, 2]));
    assert!(matches!(
        from_thread.join().unwrap(),
        Err(DecodeFailure::Retry(_))
    ));
}

#[tokio::test]
async fn bytes_that_are_no_record_are_dead() {
    let dir = scratch("dead");
    Cache::open(&dir, CLOSED)
        .unwrap()
        .put_subject("clicks-value", 7, Topic::Clicks.schema())
        .unwrap();
    let registry = Registry::connect(CLOSED, &dir, "").await.unwrap();
    let decoder = registry.decoder::<Click>(Topic::Clicks).await.unwrap();
    for bytes in [&b"{}"[..], b"{\"a\": 1}", &[0, 0, 0, 0, 7, 200]] {
        let failure = decoder.decode(bytes).await.unwrap_err();
        assert!(
            matches!(
                failure,
                DecodeFailure::Dead {
                    reason: "undecodable",
                    ..
                }
            ),
            "{failure}"
        );
    }
}
