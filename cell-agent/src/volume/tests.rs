//! Real loop devices: these tests need root.

use std::fs;
use std::io::{ErrorKind, Write};
use std::path::Path;

use super::*;

const SIZE: u64 = 64 << 20;
const USER: User = User {
    uid: 424_242,
    gid: 424_242,
};

fn name(number: u128) -> InstanceGuid {
    InstanceGuid(uuid::Uuid::from_u128(number))
}

fn spec(number: u128, droplet: Option<&Path>) -> VolumeSpec {
    VolumeSpec {
        name: name(number),
        size_bytes: SIZE,
        owner: Some(USER),
        droplet: droplet.map(Path::to_path_buf),
    }
}

/// Releases its volumes whatever the test does.
struct Guarded {
    volumes: Volumes,
    folder: tempfile::TempDir,
}

impl Guarded {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let volumes = Volumes::new(folder.path().join("volumes")).expect("volumes");
        Self { volumes, folder }
    }
}

impl Drop for Guarded {
    fn drop(&mut self) {
        for name in self.volumes.list().unwrap_or_default() {
            self.volumes.release(name).unwrap_or_default();
        }
    }
}

fn fill(path: &Path) -> (u64, ErrorKind) {
    let mut file = fs::File::create(path).expect("created");
    let block = vec![7_u8; 64 << 10];
    let mut written = 0;
    loop {
        match file.write(&block) {
            Ok(count) => written += count as u64,
            Err(error) => return (written, error.kind()),
        }
        assert!(written <= 2 * SIZE, "the volume has no end");
    }
}

#[test]
fn a_volume_is_full_at_its_limit_and_the_machine_pays_no_more() {
    let guarded = Guarded::new();
    let volume = guarded.volumes.make(&spec(1, None)).expect("a volume");
    let image = guarded.volumes.folder(name(1)).join("image");
    let before = fs::metadata(&image).expect("the image").blocks() * 512;
    assert!(before < 2 << 20, "an empty volume takes {before} bytes");

    let (written, error) = fill(&volume.home.join("big"));
    assert_eq!(error, ErrorKind::StorageFull);
    let off = written.abs_diff(SIZE);
    assert!(off * 100 <= SIZE * 2, "{written} bytes fit in {SIZE}");
    let usage = volume.usage().expect("usage");
    let by_name = guarded.volumes.usage(name(1)).expect("usage");
    assert_eq!(by_name, Some(usage));
    assert_eq!(guarded.volumes.usage(name(2)).expect("usage"), None);
    assert!(usage.used_bytes >= written && usage.used_bytes <= usage.size_bytes);
    // The record of an exit was allocated before: nothing else is needed on a full disk.
    let image = fs::metadata(image).expect("the image");
    assert!(image.blocks() * 512 <= SIZE + SIZE / 10);
}

#[test]
fn instances_share_a_droplet_and_none_sees_the_other_s_changes() {
    let guarded = Guarded::new();
    let droplet = guarded.folder.path().join("droplet");
    fs::create_dir_all(droplet.join("app")).expect("made");
    fs::write(droplet.join("app/data"), "shared").expect("written");
    let one = guarded.volumes.make(&spec(1, Some(&droplet))).expect("one");
    let two = guarded.volumes.make(&spec(2, Some(&droplet))).expect("two");
    fs::write(one.home.join("app/data"), "changed").expect("written");
    let read = |home: &Path| fs::read_to_string(home.join("app/data")).expect("read");
    assert_eq!(read(&one.home), "changed");
    assert_eq!(read(&two.home), "shared");
    assert_eq!(read(&droplet), "shared");
    assert_eq!(fs::metadata(&one.home).expect("home").uid(), USER.uid);
}

#[test]
fn leftovers_of_a_killed_agent_are_found_taken_over_or_cleared_away() {
    let guarded = Guarded::new();
    let droplet = guarded.folder.path().join("droplet");
    fs::create_dir_all(&droplet).expect("made");
    let made = guarded
        .volumes
        .make(&spec(1, Some(&droplet)))
        .expect("made");
    let plain = guarded.volumes.make(&spec(2, None)).expect("made");
    // Killed right after the folder was made.
    fs::create_dir(guarded.volumes.folder(name(3))).expect("made");

    let later = Volumes::new(guarded.folder.path().join("volumes")).expect("volumes");
    let mut names = later.list().expect("names");
    names.sort();
    assert_eq!(names, [name(1), name(2), name(3)]);
    assert_eq!(later.adopt(name(1)).expect("looked"), Some(made));
    assert_eq!(later.adopt(name(2)).expect("looked"), Some(plain));
    assert_eq!(later.adopt(name(3)).expect("looked"), None);
    for name in names {
        later.release(name).expect("released");
        later.release(name).expect("released again");
        assert_eq!(later.adopt(name).expect("looked"), None);
    }
    assert!(later.list().expect("names").is_empty());
    let mounted = mount::below(guarded.folder.path()).expect("mounts");
    assert_eq!(mounted, Vec::<PathBuf>::new());
}

#[test]
fn a_folder_reached_by_a_link_is_cleared_all_the_same() {
    let guarded = Guarded::new();
    let link = guarded.folder.path().join("link");
    std::os::unix::fs::symlink(guarded.folder.path().join("volumes"), &link).expect("linked");
    let linked = Volumes::new(link).expect("volumes");
    let made = linked.make(&spec(1, None)).expect("made");
    assert_eq!(guarded.volumes.adopt(name(1)).expect("looked"), Some(made));
    linked.release(name(1)).expect("released");
    assert_eq!(guarded.volumes.adopt(name(1)).expect("looked"), None);
    assert!(linked.list().expect("names").is_empty());
}

#[test]
fn a_size_that_holds_nothing_is_refused() {
    let guarded = Guarded::new();
    let mut small = spec(1, None);
    small.size_bytes = 4096;
    let refused = guarded.volumes.make(&small).expect_err("refused");
    assert!(matches!(refused, VolumeError::TooSmall { asked: 4096 }));
}
