use std::collections::BTreeMap;
use std::io::{Cursor, Write};
use std::time::Duration;

use ::zip::ZipWriter;
use ::zip::write::SimpleFileOptions;
use bytes::Bytes;
use cfx_protocol::v3::package::{Resource, ResourceChecksum};
use futures_util::stream;
use jiff::Timestamp;
use sha1::{Digest, Sha1};

use super::collect::GRACE;
use super::matching::{AssembleError, FILE_MIN_BYTES};
use super::*;
use crate::state::State;

fn store() -> (tempfile::TempDir, Blobs) {
    let folder = tempfile::tempdir().expect("a folder");
    let blobs = Blobs::open(folder.path()).expect("opens");
    (folder, blobs)
}

async fn receive(blobs: &Blobs, parts: &[&[u8]], max: u64) -> Result<Arrived, ReceiveError> {
    let parts: Vec<_> = parts
        .iter()
        .map(|part| Ok::<_, std::io::Error>(Bytes::copy_from_slice(part)))
        .collect();
    blobs.receive_all(stream::iter(parts), max).await
}

fn zip_of(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
    for (name, content) in files {
        writer
            .start_file(*name, SimpleFileOptions::default())
            .expect("starts");
        writer.write_all(content).expect("writes");
    }
    writer.finish().expect("finishes").into_inner()
}

/// Files below a folder.
fn count(folder: &Path) -> usize {
    let entries = fs::read_dir(folder).expect("lists");
    entries
        .map(|entry| entry.expect("an entry").path())
        .map(|path| if path.is_dir() { count(&path) } else { 1 })
        .sum()
}

#[tokio::test]
async fn equal_blobs_are_kept_once_under_their_digest() {
    let (folder, blobs) = store();
    let one = receive(&blobs, &[b"he", b"llo"], 100)
        .await
        .expect("arrives");
    let two = receive(&blobs, &[b"hello"], 100).await.expect("arrives");
    let (one, two) = (
        blobs.keep(one).expect("keeps"),
        blobs.keep(two).expect("keeps"),
    );
    assert_eq!(one, two);
    assert_eq!(one.size_bytes, 5);
    assert_eq!(fs::read(blobs.path(&one.sha256)).expect("reads"), b"hello");
    assert_eq!(count(folder.path()), 1);
}

#[tokio::test]
async fn an_upload_that_is_too_large_or_breaks_leaves_no_trace() {
    let (folder, blobs) = store();
    let large = receive(&blobs, &[b"0123456789", b"x"], 10).await;
    assert!(matches!(
        large,
        Err(ReceiveError::TooLarge { max_bytes: 10 })
    ));
    let parts = vec![
        Ok(Bytes::from_static(b"half")),
        Err(std::io::Error::other("gone")),
    ];
    let broken = blobs.receive_all(stream::iter(parts), 100).await;
    assert!(matches!(broken, Err(ReceiveError::Broken(_))));
    drop(
        receive(&blobs, &[b"whole, but not kept"], 100)
            .await
            .expect("arrives"),
    );
    assert_eq!(count(folder.path()), 0);
}

#[test]
fn a_name_that_is_no_digest_leads_out_of_no_folder() {
    let (folder, blobs) = store();
    for name in ["", "..", "../../etc/passwd", "a/b", "é".repeat(40).as_str()] {
        let path = blobs.path(name);
        assert!(path.starts_with(folder.path()), "{name}");
        assert!(!path.to_string_lossy().contains(".."), "{name}");
    }
}

#[tokio::test]
async fn a_file_of_an_earlier_package_need_not_be_sent_again() {
    let (_folder, blobs) = store();
    let large = vec![7_u8; usize::try_from(FILE_MIN_BYTES).expect("small")];
    let first = zip_of(&[("app.bin", &large), ("small.txt", b"x")]);
    let arrived = receive(&blobs, &[&first], BLOB_MAX_BYTES)
        .await
        .expect("arrives");
    blobs.assemble(Some(arrived), &[]).expect("is a package");

    let resource = |path: &str, content: &[u8]| Resource {
        checksum: ResourceChecksum {
            value: hex::encode(Sha1::digest(content)),
        },
        size_in_bytes: content.len() as u64,
        path: path.to_owned(),
        mode: "755".to_owned(),
    };
    let asked = vec![
        resource("bin/app", &large),
        resource("small.txt", b"x"),
        resource("other", &vec![8_u8; large.len()]),
    ];
    let known = blobs.matches(asked);
    assert_eq!(known.len(), 1);

    let second = zip_of(&[("readme", b"hello")]);
    let arrived = receive(&blobs, &[&second], BLOB_MAX_BYTES)
        .await
        .expect("arrives");
    let package = blobs.assemble(Some(arrived), &known).expect("assembles");
    let mut contents = BTreeMap::new();
    super::zip::judge(package.path(), |entry, content| {
        let mut bytes = Vec::new();
        std::io::Read::read_to_end(content, &mut bytes)?;
        contents.insert(
            entry.path.clone(),
            (bytes.len(), entry.mode.map(|it| it & 0o777)),
        );
        Ok(())
    })
    .expect("is a package");
    assert_eq!(contents["bin/app"], (large.len(), Some(0o755)));
    assert_eq!(contents["readme"].0, 5);
    let whole = blobs.assemble(None, &known).expect("all matched");
    assert!(whole.facts().size_bytes > 0);
}

#[tokio::test]
async fn a_match_that_is_not_there_or_leads_outside_is_refused() {
    let (_folder, blobs) = store();
    let resource = |path: &str| Resource {
        checksum: ResourceChecksum {
            value: "0".repeat(40),
        },
        size_in_bytes: FILE_MIN_BYTES,
        path: path.to_owned(),
        mode: "644".to_owned(),
    };
    let gone = blobs.assemble(None, &[resource("app")]);
    assert!(matches!(gone, Err(AssembleError::Unmatched(_))), "{gone:?}");
    let outside = blobs.assemble(None, &[resource("../app")]);
    assert!(matches!(outside, Err(AssembleError::Zip(_))), "{outside:?}");
}

#[tokio::test]
async fn a_blob_that_nothing_names_goes_after_its_grace_and_not_before() {
    let (_folder, blobs) = store();
    let arrived = receive(&blobs, &[b"orphan"], 100).await.expect("arrives");
    let facts = blobs.keep(arrived).expect("keeps");
    let modified = fs::metadata(blobs.path(&facts.sha256)).expect("is there");
    let modified = Timestamp::try_from(modified.modified().expect("has one")).expect("in range");
    let at = |after: Duration| modified.checked_add(after).expect("in range");
    let state = State::default();
    let early = blobs.collect(&state, at(GRACE / 2)).expect("collects");
    assert_eq!(early.blobs, 0);
    let late = blobs.collect(&state, at(GRACE * 2)).expect("collects");
    assert_eq!(late.blobs, 1);
    assert!(!blobs.contains(&facts));
}

#[test]
fn every_blob_that_a_record_names_is_named() {
    let mut world = crate::actions::fixture::World::new();
    let app = world.new_app("shop");
    world.stage(app, &[("web", "./serve")]);
    let package = world.new_package(app);
    world.begin_build(package);
    let named = collect::named(&world.draft);
    for letter in ["a", "b", "d"] {
        assert!(named.contains(&letter.repeat(64)), "{letter}");
    }
}
