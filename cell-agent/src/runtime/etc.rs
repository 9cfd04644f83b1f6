//! The few files of /etc that differ from instance to instance, kept in one folder of the cell
//! and mounted one by one.

use std::io;
use std::path::{Path, PathBuf};

use super::{Mount, Reservation, RootFs, User};

/// Writes the files for an instance and tells where each goes.
pub(super) fn write(directory: &Path, reservation: &Reservation) -> io::Result<Vec<Mount>> {
    std::fs::create_dir_all(directory)?;
    let mut files = vec![
        ("hosts", hosts(reservation)),
        ("hostname", format!("{}\n", reservation.hostname)),
        ("resolv.conf", resolv_conf(reservation)),
    ];
    if let (RootFs::Stack(_), Some(user)) = (&reservation.root, reservation.user) {
        files.push(("passwd", passwd(user)));
        files.push(("group", group(user)));
    }
    files
        .into_iter()
        .map(|(name, content)| {
            let source = directory.join(name);
            std::fs::write(&source, content)?;
            Ok(Mount {
                source,
                target: PathBuf::from("/etc").join(name),
                read_only: true,
            })
        })
        .collect()
}

fn hosts(reservation: &Reservation) -> String {
    let mut text = String::from("127.0.0.1\tlocalhost\n");
    if let Some(address) = reservation.address {
        text.push_str(&format!("{address}\t{}\n", reservation.hostname));
    }
    text
}

/// `ndots:1` keeps names as they are; one try more than one, because the first may be lost when
/// the network was attached this very moment.
fn resolv_conf(reservation: &Reservation) -> String {
    match reservation.nameserver {
        Some(address) => format!("nameserver {address}\noptions ndots:1 timeout:2 attempts:2\n"),
        None => String::new(),
    }
}

fn passwd(user: User) -> String {
    format!(
        "root:x:0:0:root:/root:/usr/sbin/nologin\n\
         vcap:x:{}:{}:vcap:/home/vcap:/bin/bash\n\
         nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n",
        user.uid, user.gid
    )
}

fn group(user: User) -> String {
    format!("root:x:0:\nvcap:x:{}:\nnogroup:x:65534:\n", user.gid)
}
