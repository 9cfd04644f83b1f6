//! Folders and zip files as users push them.

use std::collections::HashSet;
use std::fs;
use std::io::{Read, Write};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use zip::write::SimpleFileOptions;

use super::*;

fn write(root: &Path, path: &str, content: &[u8]) {
    let file = root.join(path);
    fs::create_dir_all(file.parent().expect("a parent")).expect("folders");
    fs::write(file, content).expect("written");
}

fn paths(source: &Source) -> Vec<&str> {
    source
        .entries
        .iter()
        .map(|entry| entry.path.as_str())
        .collect()
}

/// (name, mode, content or target) of each entry of a package.
fn unpacked(packed: &Packed) -> Vec<(String, u32, String)> {
    let mut zip = zip::ZipArchive::new(packed.file.reopen().expect("open")).expect("a zip");
    let mut all = Vec::new();
    for position in 0..zip.len() {
        let mut file = zip.by_index(position).expect("an entry");
        let mut text = String::new();
        file.read_to_string(&mut text).expect("text");
        let name = file.name().expect("a name").into_owned();
        all.push((name, file.unix_mode().expect("a mode") & 0o777, text));
    }
    all
}

#[test]
fn a_folder_is_packed_with_modes_and_links_and_without_what_is_ignored() {
    let folder = tempfile::tempdir().expect("a folder");
    let root = folder.path();
    write(root, ".cfignore", b"*.log\n/tmp/\n!keep.log\n");
    write(root, ".git/config", b"secret");
    write(root, "manifest.yml", b"applications: []");
    write(root, "run.sh", b"#!/bin/sh\n");
    write(root, "a.log", b"x");
    write(root, "keep.log", b"kept");
    write(root, "tmp/x", b"x");
    write(root, "web/index.html", b"<html>");
    fs::set_permissions(root.join("run.sh"), fs::Permissions::from_mode(0o755)).expect("mode");
    symlink("web/index.html", root.join("start")).expect("link");
    let source = gather(root).expect("gathered");
    assert_eq!(
        paths(&source),
        ["keep.log", "run.sh", "start", "web", "web/index.html"]
    );
    let packed = pack(&source, &HashSet::new())
        .expect("packed")
        .expect("something");
    let entries = unpacked(&packed);
    assert!(
        entries.contains(&("run.sh".into(), 0o755, "#!/bin/sh\n".into())),
        "{entries:?}"
    );
    assert!(
        entries
            .iter()
            .any(|(name, _, text)| name == "start" && text == "web/index.html")
    );
}

#[test]
fn links_that_leave_the_folder_are_refused() {
    for target in ["/etc/passwd", "../outside", "web/../../outside", ".."] {
        let folder = tempfile::tempdir().expect("a folder");
        write(folder.path(), "web/index.html", b"x");
        symlink(target, folder.path().join("link")).expect("link");
        let error = gather(folder.path()).expect_err(target);
        assert!(
            matches!(error, ArchiveError::LinkLeaves { .. }),
            "{target}: {error}"
        );
    }
}

#[test]
fn a_link_that_leaves_through_another_link_is_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let root = folder.path().join("app");
    write(&root, "a/b/x", b"x");
    symlink("../..", root.join("a/b/top")).expect("link");
    symlink("a/b/top/../secret", root.join("l")).expect("link");
    write(folder.path(), "secret", b"s");
    assert!(matches!(
        gather(&root),
        Err(ArchiveError::LinkLeaves { .. })
    ));
}

#[test]
fn a_dangling_link_inside_is_kept() {
    let folder = tempfile::tempdir().expect("a folder");
    write(folder.path(), "x", b"x");
    symlink("made-later", folder.path().join("link")).expect("link");
    assert_eq!(
        paths(&gather(folder.path()).expect("gathered")),
        ["link", "x"]
    );
}

#[test]
fn only_large_files_are_matched_and_known_ones_are_not_sent() {
    let folder = tempfile::tempdir().expect("a folder");
    let large = vec![7_u8; usize::try_from(RESOURCE_MIN_BYTES).expect("small")];
    write(folder.path(), "large", &large);
    write(folder.path(), "small", b"abc");
    let source = gather(folder.path()).expect("gathered");
    let digests: Vec<&str> = source
        .entries
        .iter()
        .filter_map(|entry| match &entry.kind {
            EntryKind::File { sha1, .. } => sha1.as_deref(),
            _ => None,
        })
        .collect();
    assert_eq!(digests, [sha1_of(large.as_slice()).expect("digest")]);
    let known: HashSet<String> = digests.iter().map(|&digest| digest.to_owned()).collect();
    let packed = pack(&source, &known).expect("packed").expect("something");
    let names: Vec<String> = unpacked(&packed)
        .into_iter()
        .map(|(name, ..)| name)
        .collect();
    assert_eq!(names, ["small"]);
}

#[test]
fn an_empty_folder_is_told_and_so_is_a_missing_one() {
    let folder = tempfile::tempdir().expect("a folder");
    write(folder.path(), ".git/config", b"x");
    assert!(matches!(
        gather(folder.path()),
        Err(ArchiveError::Empty { .. })
    ));
    let missing = folder.path().join("none");
    assert!(matches!(
        gather(&missing),
        Err(ArchiveError::Missing { .. })
    ));
}

#[test]
fn sockets_are_left_out_and_named() {
    let folder = tempfile::tempdir().expect("a folder");
    write(folder.path(), "x", b"x");
    let socket = folder.path().join("socket");
    let _listener = std::os::unix::net::UnixListener::bind(&socket).expect("a socket");
    assert_eq!(gather(folder.path()).expect("gathered").skipped, ["socket"]);
}

fn zip_of(entries: &[(&str, &[u8])]) -> tempfile::NamedTempFile {
    let file = tempfile::NamedTempFile::new().expect("a file");
    let mut zip = zip::ZipWriter::new(file.reopen().expect("open"));
    for (name, content) in entries {
        zip.start_file(*name, SimpleFileOptions::default())
            .expect("an entry");
        zip.write_all(content).expect("written");
    }
    zip.finish().expect("finished");
    file
}

#[test]
fn a_zip_is_filtered_like_a_folder() {
    let file = zip_of(&[
        (".cfignore", b"*.log\n"),
        ("app.py", b"print()"),
        ("deep/a.log", b"x"),
        (".git/config", b"x"),
    ]);
    let source = gather(file.path()).expect("gathered");
    assert_eq!(paths(&source), ["app.py"]);
    let packed = pack(&source, &HashSet::new())
        .expect("packed")
        .expect("something");
    assert_eq!(unpacked(&packed)[0].2, "print()");
}

#[test]
fn names_that_climb_out_of_a_zip_are_refused() {
    for name in ["../x", "/etc/x", "a/../../x", "a\\..\\x"] {
        let file = zip_of(&[(name, b"x"), ("ok", b"x")]);
        let error = gather(file.path()).expect_err(name);
        assert!(
            matches!(error, ArchiveError::NotZip { .. }),
            "{name}: {error}"
        );
    }
}

#[test]
fn a_file_that_is_no_zip_is_told() {
    let file = tempfile::NamedTempFile::new().expect("a file");
    fs::write(file.path(), b"this is no zip").expect("written");
    assert!(matches!(
        gather(file.path()),
        Err(ArchiveError::NotZip { .. })
    ));
}

#[test]
fn the_same_folder_gives_the_same_package() {
    let folder = tempfile::tempdir().expect("a folder");
    for name in ["c", "a", "b/x"] {
        write(folder.path(), name, name.as_bytes());
    }
    let bytes = || {
        let source = gather(folder.path()).expect("gathered");
        let packed = pack(&source, &HashSet::new())
            .expect("packed")
            .expect("something");
        fs::read(packed.file.path()).expect("read")
    };
    assert_eq!(bytes(), bytes());
}
