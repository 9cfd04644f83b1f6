use std::io::{Cursor, Write};

use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

use super::*;

type Writer = ZipWriter<Cursor<Vec<u8>>>;

fn judged(build: impl FnOnce(&mut Writer)) -> Result<Vec<Entry>, ZipError> {
    let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
    build(&mut writer);
    let bytes = writer.finish().expect("finishes").into_inner();
    judged_bytes(&bytes)
}

fn judged_bytes(bytes: &[u8]) -> Result<Vec<Entry>, ZipError> {
    let mut file = tempfile::NamedTempFile::new().expect("a file");
    file.write_all(bytes).expect("writes");
    let mut entries = Vec::new();
    judge(file.path(), |entry, _| {
        entries.push(entry.clone());
        Ok(())
    })?;
    Ok(entries)
}

fn file(writer: &mut Writer, name: &str, content: &[u8]) {
    let options = SimpleFileOptions::default().compression_method(CompressionMethod::Deflated);
    writer.start_file(name, options).expect("starts");
    writer.write_all(content).expect("writes");
}

fn link(writer: &mut Writer, name: &str, target: &str) {
    let options = SimpleFileOptions::default();
    writer.add_symlink(name, target, options).expect("adds");
}

#[test]
fn an_honest_package_is_read_whole() {
    let entries = judged(|writer| {
        writer
            .add_directory("bin", SimpleFileOptions::default())
            .expect("adds");
        file(writer, "bin/app", b"#!/bin/sh");
        file(writer, "a..b/c", b"x");
        link(writer, "bin/other", "../a..b/c");
        link(writer, "here", "./bin/app");
    })
    .expect("is judged well");
    let paths: Vec<&str> = entries.iter().map(|entry| entry.path.as_str()).collect();
    assert_eq!(paths, ["bin/app", "a..b/c"]);
}

#[test]
fn nothing_is_unpacked_outside() {
    for name in ["../x", "a/../../x", "/etc/passwd", "..\\x", "C:\\x", "a/.."] {
        let refused = judged(|writer| file(writer, name, b"x"));
        assert!(
            matches!(refused, Err(ZipError::Outside(_))),
            "{name}: {refused:?}"
        );
    }
}

#[test]
fn no_link_leads_out() {
    for (name, target) in [
        ("x", "/etc/passwd"),
        ("x", ".."),
        ("x", "../x"),
        ("a/x", "../../x"),
        ("a/./x", "../../x"),
        // Where `b` leads to `.`, this is the parent of the app.
        ("x", "b/.."),
        ("x", ""),
    ] {
        let refused = judged(|writer| link(writer, name, target));
        assert!(
            matches!(refused, Err(ZipError::LinkOutside(_))),
            "{name} -> {target}"
        );
    }
}

#[test]
fn nothing_is_written_through_a_link() {
    let refused = judged(|writer| {
        link(writer, "dir", "elsewhere");
        file(writer, "dir/file", b"x");
    });
    assert!(matches!(refused, Err(ZipError::Outside(_))), "{refused:?}");
}

#[test]
fn a_bomb_is_found_while_it_is_small() {
    let zeros = vec![0_u8; 16 * 1024 * 1024];
    let refused = judged(|writer| {
        for at in 0..6 {
            file(writer, &format!("zeros-{at}"), &zeros);
        }
    });
    assert!(matches!(refused, Err(ZipError::Bomb)), "{refused:?}");
}

#[test]
fn what_is_empty_or_no_archive_is_refused() {
    assert!(matches!(judged(|_| {}), Err(ZipError::Empty)));
    for bytes in [
        &b""[..],
        b"PK\x05\x06",
        b"not a zip at all",
        &[0_u8; 100_000],
    ] {
        assert!(matches!(judged_bytes(bytes), Err(ZipError::Damaged(_))));
    }
}

#[test]
fn a_damaged_entry_is_found() {
    let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
    let stored = SimpleFileOptions::default().compression_method(CompressionMethod::Stored);
    writer.start_file("app", stored).expect("starts");
    writer.write_all(b"the content of the app").expect("writes");
    let mut bytes = writer.finish().expect("finishes").into_inner();
    let at = bytes
        .windows(7)
        .position(|it| it == b"content")
        .expect("there");
    bytes[at] = b'C';
    assert!(matches!(judged_bytes(&bytes), Err(ZipError::Damaged(_))));
}

#[test]
fn an_archive_that_says_it_has_millions_of_entries_is_refused_unread() {
    // A 64-bit end record: its signature, and the total at its place.
    let mut bytes = vec![0_u8; 200];
    bytes[100..104].copy_from_slice(b"PK\x06\x06");
    bytes[132..140].copy_from_slice(&20_000_000_u64.to_le_bytes());
    let refused = judged_bytes(&bytes);
    assert!(
        matches!(refused, Err(ZipError::TooManyEntries { found: 20_000_000 })),
        "{refused:?}"
    );
}
