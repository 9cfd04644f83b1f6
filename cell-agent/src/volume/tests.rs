//! Real loop devices: these tests need root.

use std::fs;
use std::io::{ErrorKind, Write};
use std::os::unix::fs::MetadataExt;
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
        comes_again: true,
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
        self.volumes.close().unwrap_or_default();
    }
}

fn mounts_below(folder: &Path) -> usize {
    let table = fs::read_to_string("/proc/self/mountinfo").expect("mounts");
    let folder = folder.to_str().expect("text");
    table.lines().filter(|line| line.contains(folder)).count()
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
    assert_eq!(mounts_below(guarded.folder.path()), 0);
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

#[test]
fn a_volume_made_ahead_is_like_any_other_and_of_the_size_that_was_asked_for() {
    let guarded = Guarded::new();
    let volumes = &guarded.volumes;
    volumes.keep_ready(2);
    assert!(
        !volumes.stock().expect("nothing to do"),
        "no size is known yet"
    );
    let cold = volumes.make(&spec(1, None)).expect("made");
    while volumes.stock().expect("stocked") {}
    let images = || fs::read_dir(guarded.folder.path().join("volumes/ready")).expect("there");
    assert_eq!(images().count(), 2);
    let inode =
        |volume: &Volume| fs::metadata(volume.disk.with_file_name("image")).map(|i| i.ino());
    let ready: Vec<u64> = images()
        .map(|one| fs::metadata(one.expect("one").path().join("image")))
        .map(|image| image.expect("an image").ino())
        .collect();
    let warm = volumes.make(&spec(2, None)).expect("made");
    assert!(ready.contains(&inode(&warm).expect("an image")));
    for (one, other) in [
        (&cold.home, &warm.home),
        (&cold.tmp, &warm.tmp),
        (&cold.slot, &warm.slot),
    ] {
        let about = |path: &Path| fs::metadata(path).map(|it| (it.mode(), it.uid(), it.gid()));
        assert_eq!(about(one).expect("there"), about(other).expect("there"));
    }
    assert_eq!(cold.usage().expect("usage"), warm.usage().expect("usage"));
    let mut other_size = spec(3, None);
    other_size.size_bytes = 2 * SIZE;
    let other = volumes.make(&other_size).expect("made");
    assert!(other.usage().expect("usage").size_bytes > SIZE * 3 / 2);
    assert_eq!(images().count(), 1);
}

#[test]
fn what_was_made_ahead_is_taken_up_by_the_next_agent_and_what_is_half_made_is_cleared_away() {
    let guarded = Guarded::new();
    guarded.volumes.keep_ready(2);
    guarded.volumes.make(&spec(1, None)).expect("made");
    while guarded.volumes.stock().expect("stocked") {}
    let ready = guarded.folder.path().join("volumes/ready");
    // Killed right after the folder was made, and before the disk had all its folders.
    fs::create_dir(ready.join(format!("{SIZE}-7"))).expect("made");
    fs::remove_dir(ready.join(format!("{SIZE}-0/disk/slot"))).expect("removed");

    let later = Volumes::new(guarded.folder.path().join("volumes")).expect("volumes");
    let left = || fs::read_dir(&ready).expect("there").count();
    assert_eq!(left(), 1);
    later.make(&spec(2, None)).expect("made");
    assert_eq!(left(), 0, "the whole one was taken");
    later.keep_ready(1);
    while later.stock().expect("stocked") {}
    assert_eq!(left(), 1);
    later.keep_ready(0);
    while later.stock().expect("stocked") {}
    assert_eq!(left(), 0);
}

#[test]
fn a_home_that_comes_later_appears_where_somebody_already_looks() {
    let guarded = Guarded::new();
    let droplet = guarded.folder.path().join("droplet");
    fs::create_dir_all(&droplet).expect("made");
    fs::write(droplet.join("data"), "shared").expect("written");
    let window = guarded.folder.path().join("window");
    fs::create_dir(&window).expect("made");
    for (number, droplet) in [(1, Some(droplet.as_path())), (2, None)] {
        let ahead = AheadSpec {
            name: name(10 + number),
            size_bytes: SIZE,
            owner: USER,
        };
        let waiting = guarded.volumes.make_ahead(ahead).expect("made");
        let found = guarded.volumes.adopt_ahead(ahead.name).expect("looked");
        assert_eq!(found.as_ref(), Some(&waiting));
        assert_eq!(guarded.volumes.adopt(ahead.name).expect("looked"), None);
        mount::bind(&waiting.home, &window).expect("bound");
        let slave = nix::mount::MsFlags::MS_SLAVE;
        nix::mount::mount(None::<&str>, &window, None::<&str>, slave, None::<&str>)
            .expect("a slave");

        let passed = guarded.volumes.pass_on(ahead.name, &spec(number, droplet));
        let passed = passed.expect("passed on");
        fs::write(passed.home.join("more"), "own").expect("written");
        let seen = fs::read_to_string(window.join("more"));
        assert_eq!(seen.expect("seen"), "own");
        assert_eq!(window.join("data").exists(), droplet.is_some());
        assert_eq!(fs::metadata(&window).expect("there").uid(), USER.uid);
        let adopted = guarded.volumes.adopt(name(number)).expect("looked");
        assert_eq!(adopted, Some(passed));
        assert_eq!(
            guarded.volumes.adopt_ahead(ahead.name).expect("looked"),
            None
        );
        mount::unmount(&window).expect("unmounted");
        guarded.volumes.release(name(number)).expect("released");
    }
    guarded.volumes.close().expect("closed");
    assert_eq!(mounts_below(guarded.folder.path()), 0);
}
