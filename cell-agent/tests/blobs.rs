//! Droplets and packages from a controller: fetched once, checked, and never believed.

mod support;

use std::io::Write;
use std::path::Path;

use cfx_cell_agent::droplet_cache::{CacheError, DropletCache};
use cfx_cell_agent::hooks::ground::Disk;
use cfx_cell_agent::logs::Outbox;
use cfx_cell_agent::runtime::User;
use cfx_cell_agent::staging::Stager;
use cfx_process::clock::Clock;
use cfx_protocol::desired::{BlobRef, StagingWork};
use cfx_protocol::id::{AssignmentGuid, BuildGuid, DropletGuid, InstanceGuid, PackageGuid};
use flate2::Compression;
use flate2::write::GzEncoder;
use sha2::{Digest, Sha256};
use support::controller::Controller;
use support::{CELL, owner};
use uuid::Uuid;

fn name(number: u128) -> InstanceGuid {
    AssignmentGuid(Uuid::from_u128(number)).instance(0)
}

fn tar_gz(entries: &[(&str, tar::EntryType, &str)]) -> Vec<u8> {
    let mut archive = tar::Builder::new(GzEncoder::new(Vec::new(), Compression::fast()));
    for (path, kind, content) in entries {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(*kind);
        header.set_mode(0o755);
        // Written by hand: a well-meaning library would refuse the paths that an attacker uses.
        let bytes = header.as_gnu_mut().expect("gnu");
        bytes.name[..path.len()].copy_from_slice(path.as_bytes());
        if matches!(kind, tar::EntryType::Symlink | tar::EntryType::Link) {
            bytes.linkname[..content.len()].copy_from_slice(content.as_bytes());
            header.set_size(0);
            header.set_cksum();
            archive.append(&header, std::io::empty()).expect("appended");
        } else {
            header.set_size(content.len() as u64);
            header.set_cksum();
            archive
                .append(&header, content.as_bytes())
                .expect("appended");
        }
    }
    archive.into_inner().expect("tar").finish().expect("gzip")
}

fn droplet(controller: &Controller, number: u128, content: Vec<u8>) -> BlobRef<DropletGuid> {
    let guid = DropletGuid(Uuid::from_u128(number));
    let sha256 = hex::encode(Sha256::digest(&content));
    let size_bytes = content.len() as u64;
    controller
        .world
        .lock()
        .blobs
        .insert(format!("droplets/{guid}"), content);
    BlobRef {
        guid,
        sha256,
        size_bytes,
    }
}

fn cache(folder: &Path, controller: &Controller, bytes: u64) -> DropletCache {
    DropletCache::open(folder.join("droplets"), bytes, controller.client(CELL)).expect("opened")
}

const FILE: tar::EntryType = tar::EntryType::Regular;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_droplet_is_downloaded_once_for_all_who_want_it_at_the_same_time() {
    let folder = tempfile::tempdir().expect("a folder");
    let controller = Controller::start(folder.path()).await;
    let cache = cache(folder.path(), &controller, 1 << 30);
    let blob = droplet(&controller, 1, tar_gz(&[("./app/run", FILE, "#!/bin/sh")]));
    let wanting = (0..20).map(|number| cache.pin(name(number), &blob));
    let homes = futures_util::future::join_all(wanting).await;
    for home in homes {
        let home = home.expect("there");
        assert_eq!(
            std::fs::read(home.join("app/run")).expect("there"),
            b"#!/bin/sh"
        );
        assert!(home.join("logs").is_dir() && home.join("tmp").is_dir());
    }
    assert_eq!(controller.downloads("droplets/"), 1);
    // The next agent finds it.
    let again = self::cache(folder.path(), &controller, 1 << 30);
    again.pin(name(99), &blob).await.expect("there");
    assert_eq!(controller.downloads("droplets/"), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_longest_unused_goes_first_and_what_is_used_never() {
    let folder = tempfile::tempdir().expect("a folder");
    let controller = Controller::start(folder.path()).await;
    let cache = cache(folder.path(), &controller, 2_500);
    let content = "x".repeat(1_000);
    let blobs: Vec<_> = (0..4)
        .map(|number| {
            let path = format!("app/{number}");
            droplet(&controller, number, tar_gz(&[(&path, FILE, &content)]))
        })
        .collect();
    let used = cache.pin(name(0), &blobs[0]).await.expect("there");
    let first = cache.pin(name(1), &blobs[1]).await.expect("there");
    cache.unpin(name(1));
    let second = cache.pin(name(2), &blobs[2]).await.expect("there");
    assert!(used.exists() && !first.exists() && second.exists());
    // Over the budget, but everything is in use.
    let third = cache.pin(name(3), &blobs[3]).await.expect("there");
    assert!(used.exists() && second.exists() && third.exists());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_not_what_was_promised_is_refused_and_leaves_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let controller = Controller::start(folder.path()).await;
    let cache = cache(folder.path(), &controller, 1 << 30);
    let mut wrong = droplet(&controller, 1, tar_gz(&[("app/a", FILE, "a")]));
    wrong.sha256 = "0".repeat(64);
    let refused = cache.pin(name(1), &wrong).await;
    assert!(
        matches!(refused, Err(CacheError::Mismatch { .. })),
        "{refused:?}"
    );
    wrong.sha256 = "../../../etc".to_owned();
    let refused = cache.pin(name(1), &wrong).await;
    assert!(
        matches!(refused, Err(CacheError::NoDigest(_))),
        "{refused:?}"
    );
    let no_archive = droplet(&controller, 2, b"not a tar".to_vec());
    assert!(cache.pin(name(1), &no_archive).await.is_err());
    for (path, kind, content) in [
        ("../evil", FILE, "x"),
        ("/tmp/evil", FILE, "x"),
        ("app/../../evil", FILE, "x"),
        ("dev", tar::EntryType::Block, ""),
        ("fifo", tar::EntryType::Fifo, ""),
        ("hard", tar::EntryType::Link, "/etc/passwd"),
        ("hard", tar::EntryType::Link, "../../boot"),
    ] {
        let evil = droplet(&controller, 3, tar_gz(&[(path, kind, content)]));
        let refused = cache.pin(name(1), &evil).await;
        assert!(
            matches!(refused, Err(CacheError::Unpack(_))),
            "{path} {refused:?}"
        );
    }
    let through = [
        ("app/out", tar::EntryType::Symlink, "../.."),
        ("app/out/evil", FILE, "x"),
    ];
    let through = droplet(&controller, 4, tar_gz(&through));
    assert!(cache.pin(name(1), &through).await.is_err());
    let left: Vec<_> = std::fs::read_dir(folder.path().join("droplets"))
        .expect("there")
        .flatten()
        .collect();
    assert_eq!(left.len(), 1, "only the boot file: {left:?}");
}

fn zip_with(change: impl FnOnce(&mut zip::ZipWriter<std::io::Cursor<Vec<u8>>>)) -> Vec<u8> {
    let mut zip = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    change(&mut zip);
    zip.finish().expect("finished").into_inner()
}

async fn lay_out(
    controller: &Controller,
    folder: &Path,
    package: Vec<u8>,
) -> Result<std::path::PathBuf, String> {
    let guid = PackageGuid(Uuid::from_u128(1));
    let sha256 = hex::encode(Sha256::digest(&package));
    let size_bytes = package.len() as u64;
    controller
        .world
        .lock()
        .blobs
        .insert(format!("packages/{guid}"), package);
    let clock = Clock::system();
    let outbox = Outbox::new(clock.clone());
    let stager = Stager::open(
        folder.join("staging"),
        controller.client(CELL),
        outbox,
        clock,
    )
    .expect("opened");
    let work = StagingWork {
        build: BuildGuid::NIL,
        package: BlobRef {
            guid,
            sha256,
            size_bytes,
        },
        droplet: DropletGuid::NIL,
        buildpacks: Vec::new(),
        detect: true,
        stack: "host".to_owned(),
        cache: None,
        timeout_s: 1,
    };
    let volume = tempfile::tempdir_in(folder).expect("a folder").keep();
    let tmp = volume.join("tmp");
    std::fs::create_dir(&tmp).expect("made");
    let disk = Disk {
        home: volume.clone(),
        tmp: tmp.clone(),
        slot: volume,
    };
    let told = |error| cfx_cell_agent::hooks::told(&error);
    stager.fetch(name(1), &owner(), &work).await.map_err(told)?;
    let user = User {
        uid: nix::unistd::getuid().as_raw(),
        gid: nix::unistd::getgid().as_raw(),
    };
    stager
        .lay_out(name(1), &work, &disk, user)
        .await
        .map_err(told)?;
    Ok(tmp.join("app"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_package_is_unpacked_as_it_is_and_never_beyond_its_folder() {
    let folder = tempfile::tempdir().expect("a folder");
    let controller = Controller::start(folder.path()).await;
    let options = zip::write::SimpleFileOptions::default;
    let good = zip_with(|zip| {
        zip.start_file("bin/run", options().unix_permissions(0o755))
            .expect("started");
        zip.write_all(b"#!/bin/sh").expect("written");
        zip.add_symlink("current", "bin/run", options())
            .expect("added");
    });
    let app = lay_out(&controller, folder.path(), good)
        .await
        .expect("laid out");
    assert_eq!(
        std::fs::read(app.join("current")).expect("followed"),
        b"#!/bin/sh"
    );

    for (path, link) in [
        ("../../evil", None),
        ("/evil", None),
        ("..\\..\\evil", None),
        ("out", Some("/etc")),
        ("out", Some("../..")),
    ] {
        let evil = zip_with(|zip| match link {
            Some(target) => zip.add_symlink(path, target, options()).expect("added"),
            None => {
                zip.start_file(path, options()).expect("started");
                zip.write_all(b"x").expect("written");
            }
        });
        let refused = lay_out(&controller, folder.path(), evil)
            .await
            .expect_err(path);
        assert!(
            refused.contains("would leave the folder"),
            "{path}: {refused}"
        );
    }
    let refused = lay_out(&controller, folder.path(), b"no zip".to_vec())
        .await
        .expect_err("no zip");
    assert!(refused.contains("damaged"), "{refused}");
    assert!(!folder.path().join("evil").exists());
}
