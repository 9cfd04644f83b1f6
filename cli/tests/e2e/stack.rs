//! A stack that is a root file system of its own, brought by a cell: apps ask for it by name, are
//! staged in it and run in it. `deploy/stack/build` makes a large one from packages; this one is as
//! small as staging allows.

use std::path::Path;
use std::process::Command;

use crate::harness::{Platform, text};

const IMAGE: &str = "cfx/stack-small:1";

/// Bash and busybox, with a file that tells where an app is.
const BUILD: &str = "set -e; cd \"$0\"
mkdir -p bin usr/bin lib64 lib etc tmp proc sys dev home/vcap
cp /bin/bash /bin/busybox bin/
for lib in $(ldd /bin/bash | grep -o '/[^ ]*'); do mkdir -p \".$(dirname $lib)\"; cp -L \"$lib\" \".$lib\"; done
for applet in $(bin/busybox --list); do [ -e bin/$applet ] || ln -s busybox bin/$applet; done
ln -s /bin/busybox usr/bin/env
printf 'root:x:0:0::/:/bin/sh\\n' > etc/passwd; printf 'root:x:0:\\n' > etc/group
printf small > etc/cfx-stack
tar --numeric-owner -c . | docker import - \"$1\"";

pub fn brought_by_a_cell() {
    import(IMAGE);
    let platform = Platform::start(1);
    let home = platform.space("stack");
    let source = platform.path("stack-src");
    std::fs::create_dir_all(&source).expect("a folder");
    let procfile = "web: mkdir www && cp /etc/cfx-stack www/index.html && exec busybox httpd -f -p $PORT -h www\n";
    std::fs::write(source.join("Procfile"), procfile).expect("written");
    let source = source.display().to_string();
    let push = [
        "push", "small", "-p", &source, "-s", "small", "-m", "32M", "-k", "64M",
    ];
    platform.ok_at(&home, &[&push[..], &["-b", "procfile_buildpack"]].concat());
    assert_eq!(platform.wait_for_app("small").body, "small");
    remove(IMAGE);
}

fn import(image: &str) {
    let folder = tempfile::tempdir().expect("a folder");
    run(Command::new("bash")
        .arg("-c")
        .arg(BUILD)
        .arg(Path::new(folder.path()))
        .arg(image));
}

fn remove(image: &str) {
    run(Command::new("docker").args(["image", "rm", "--force", image]));
}

fn run(command: &mut Command) {
    let output = command.output().expect("it starts");
    assert!(output.status.success(), "{command:?}: {}", text(&output));
}
