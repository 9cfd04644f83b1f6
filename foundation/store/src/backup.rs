//! A backup is a logical export, never a copy of live files: zstd of one JSON document a line.
//!
//! First line: whose state it is and at which revision. Then an entry a line. Last line: how many
//! entries there are, and the SHA-256 of all lines before it. Nothing of a backup is used before
//! its last line was found right.

use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};

use bytes::Bytes;
use cfx_protocol::id::ClusterGuid;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::commit::{
    COMMIT_BYTES_MAX, COMMIT_OPS_MAX, Commit, CommitError, KEY_BYTES_MAX, Op, VALUE_BYTES_MAX,
};
use crate::sled::{SledOptions, SledStore};
use crate::store::{Entry, Identity, Revision, Store, StoreError};

/// The layout of backups.
const FORMAT: u32 = 1;
/// zstd's default: a good ratio at hundreds of megabytes a second.
const COMPRESSION: i32 = 3;
/// A restored store begins this many epochs above its backup: more than the lost store can have
/// been opened since, so that no cell or router takes it for an older life of the cluster.
pub const RESTORE_EPOCH_STEP: u64 = 1 << 20;
/// The longest line: a value whose every byte is written as two digits, its key, and the frame.
const LINE_BYTES_MAX: u64 = (2 * VALUE_BYTES_MAX + 6 * KEY_BYTES_MAX + 1_024) as u64;

/// What a backup holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Summary {
    pub identity: Identity,
    pub revision: Revision,
    pub entries: u64,
    /// Of all lines but the last, in hexadecimal.
    pub sha256: String,
}

#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("the store does not take the entries of the backup")]
    Commit(#[from] CommitError),
    #[error("the backup is damaged: {0}")]
    Damaged(String),
    #[error("the backup has format {found}; this cfx reads {FORMAT}")]
    Format { found: u32 },
    #[error("{0} holds a store already; move it away first")]
    NotEmpty(PathBuf),
    #[error("cannot {action}")]
    Io {
        action: &'static str,
        #[source]
        source: io::Error,
    },
}

#[derive(Debug, Serialize, Deserialize)]
struct Head {
    cfx_backup: u32,
    cluster: ClusterGuid,
    epoch: u64,
    revision: Revision,
}

#[derive(Serialize, Deserialize)]
struct Line {
    key: String,
    mod_revision: Revision,
    #[serde(flatten)]
    value: Value,
}

/// Text stays readable; other bytes are digits.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Value {
    Text(String),
    Hex(String),
}

#[derive(Debug, Serialize, Deserialize)]
struct Tail {
    entries: u64,
    sha256: String,
}

/// Writes everything the store holds at one revision.
pub async fn export(store: &dyn Store, output: impl Write) -> Result<Summary, BackupError> {
    let loaded = store.load("").await?;
    let identity = store.identity();
    let mut lines = LineWriter::new(output)?;
    lines.write(&Head {
        cfx_backup: FORMAT,
        cluster: identity.cluster,
        epoch: identity.epoch,
        revision: loaded.revision,
    })?;
    let entries = loaded.entries.len() as u64;
    for entry in loaded.entries {
        lines.write(&Line::from(entry))?;
    }
    let sha256 = lines.finish(entries)?;
    Ok(Summary {
        identity,
        revision: loaded.revision,
        entries,
        sha256,
    })
}

/// Reads a whole backup and tells what it holds, if it is sound.
pub fn verify(input: impl Read) -> Result<Summary, BackupError> {
    read(input, |_| Ok(()))
}

/// Makes a store from a backup: same cluster, higher epoch, later revisions. `options.path` must
/// not hold one yet; it appears whole or not at all.
pub async fn restore(input: impl Read, options: &SledOptions) -> Result<Summary, BackupError> {
    let target = &options.path;
    if fs::read_dir(target).is_ok_and(|mut entries| entries.next().is_some()) {
        return Err(BackupError::NotEmpty(target.clone()));
    }
    let mut entries = Vec::new();
    let summary = read(input, |line| {
        entries.push(line);
        Ok(())
    })?;
    let half_made = beside(target, "restoring");
    remove_if_there(&half_made)?;
    let mut options = options.clone();
    options.path.clone_from(&half_made);
    options.new_cluster = summary.identity.cluster;
    options.epoch_min = summary.identity.epoch + RESTORE_EPOCH_STEP;
    options.first_revision = summary.revision;
    let store = SledStore::open(options).await?;
    import(&store, entries).await?;
    store.close().await?;
    remove_if_there(target)?;
    fs::rename(&half_made, target)
        .and_then(|()| match target.parent() {
            Some(parent) if parent != Path::new("") => File::open(parent)?.sync_all(),
            _ => Ok(()),
        })
        .map_err(io_error("put the restored store in its place"))?;
    Ok(summary)
}

/// Puts entries into a store in as few commits as the limits allow.
async fn import(store: &dyn Store, entries: Vec<Line>) -> Result<(), BackupError> {
    let mut commit = Commit::default();
    let mut bytes = 0;
    for entry in entries {
        let value = entry.value.decode()?;
        let size = entry.key.len() + value.len();
        if commit.ops.len() == COMMIT_OPS_MAX || bytes + size > COMMIT_BYTES_MAX {
            store.commit(std::mem::take(&mut commit)).await?;
            bytes = 0;
        }
        bytes += size;
        commit.ops.push(Op::put(entry.key, value));
    }
    store.commit(commit).await?;
    Ok(())
}

/// Checks every line, hands the entries on, and believes them only after the last line.
fn read(
    input: impl Read,
    mut each: impl FnMut(Line) -> Result<(), BackupError>,
) -> Result<Summary, BackupError> {
    let mut lines = LineReader::new(input)?;
    let head = lines.next()?;
    let head: Head = parse(&head, "its first line")?;
    if head.cfx_backup != FORMAT {
        return Err(BackupError::Format {
            found: head.cfx_backup,
        });
    }
    let mut entries = 0;
    loop {
        let sha256 = lines.sha256();
        let line = lines.next()?;
        if line.starts_with(b"{\"entries\":") {
            let tail: Tail = parse(&line, "its last line")?;
            if tail.entries != entries || tail.sha256 != sha256 || lines.more()? {
                return Err(BackupError::Damaged(
                    "its contents do not match its last line".to_owned(),
                ));
            }
            return Ok(Summary {
                identity: Identity {
                    cluster: head.cluster,
                    epoch: head.epoch,
                },
                revision: head.revision,
                entries,
                sha256,
            });
        }
        entries += 1;
        each(parse(&line, &format!("entry {entries}"))?)?;
    }
}

impl From<Entry> for Line {
    fn from(entry: Entry) -> Self {
        Self {
            value: match std::str::from_utf8(&entry.value) {
                Ok(text) => Value::Text(text.to_owned()),
                Err(_) => Value::Hex(hex::encode(&entry.value)),
            },
            key: entry.key,
            mod_revision: entry.mod_revision,
        }
    }
}

impl Value {
    fn decode(self) -> Result<Bytes, BackupError> {
        match self {
            Self::Text(text) => Ok(text.into()),
            Self::Hex(digits) => hex::decode(digits)
                .map(Bytes::from)
                .map_err(|error| BackupError::Damaged(error.to_string())),
        }
    }
}

struct LineWriter<W: Write> {
    encoder: zstd::Encoder<'static, W>,
    digest: Sha256,
}

impl<W: Write> LineWriter<W> {
    fn new(output: W) -> Result<Self, BackupError> {
        let encoder = zstd::Encoder::new(output, COMPRESSION).map_err(io_error("compress"))?;
        Ok(Self {
            encoder,
            digest: Sha256::new(),
        })
    }

    fn write(&mut self, line: &impl Serialize) -> Result<(), BackupError> {
        let mut bytes =
            serde_json::to_vec(line).map_err(|error| io_error("write the backup")(error.into()))?;
        bytes.push(b'\n');
        self.digest.update(&bytes);
        self.encoder
            .write_all(&bytes)
            .map_err(io_error("write the backup"))
    }

    /// Adds the last line and returns the digest in it.
    fn finish(mut self, entries: u64) -> Result<String, BackupError> {
        let sha256 = hex::encode(self.digest.clone().finalize());
        self.write(&Tail {
            entries,
            sha256: sha256.clone(),
        })?;
        self.encoder
            .finish()
            .and_then(|mut output| output.flush())
            .map_err(io_error("write the backup"))?;
        Ok(sha256)
    }
}

struct LineReader<R: Read> {
    lines: BufReader<zstd::Decoder<'static, BufReader<R>>>,
    digest: Sha256,
}

impl<R: Read> LineReader<R> {
    fn new(input: R) -> Result<Self, BackupError> {
        let decoder = zstd::Decoder::new(input).map_err(io_error("read the backup"))?;
        Ok(Self {
            lines: BufReader::new(decoder),
            digest: Sha256::new(),
        })
    }

    /// A whole line, without its end.
    fn next(&mut self) -> Result<Vec<u8>, BackupError> {
        let mut line = Vec::new();
        (&mut self.lines)
            .take(LINE_BYTES_MAX)
            .read_until(b'\n', &mut line)
            .map_err(|error| BackupError::Damaged(error.to_string()))?;
        self.digest.update(&line);
        match line.pop() {
            Some(b'\n') => Ok(line),
            _ => Err(BackupError::Damaged("it is cut short".to_owned())),
        }
    }

    fn more(&mut self) -> Result<bool, BackupError> {
        let rest = self.lines.fill_buf();
        Ok(!rest
            .map_err(|error| BackupError::Damaged(error.to_string()))?
            .is_empty())
    }

    /// Of all lines so far.
    fn sha256(&self) -> String {
        hex::encode(self.digest.clone().finalize())
    }
}

fn parse<'a, T: Deserialize<'a>>(line: &'a [u8], what: &str) -> Result<T, BackupError> {
    serde_json::from_slice(line)
        .map_err(|error| BackupError::Damaged(format!("{what} does not parse: {error}")))
}

/// `/data/store` and `restoring` give `/data/store.restoring`.
fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".");
    name.push(suffix);
    PathBuf::from(name)
}

fn remove_if_there(path: &Path) -> Result<(), BackupError> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(io_error("remove an old folder")(error))
        }
        _ => Ok(()),
    }
}

fn io_error(action: &'static str) -> impl Fn(io::Error) -> BackupError {
    move |source| BackupError::Io { action, source }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contract::TestTime;

    fn options(path: &Path, cluster: u128) -> SledOptions {
        let cluster = ClusterGuid(
            format!("{:08x}-0000-4000-8000-000000000000", cluster)
                .parse()
                .expect("guid"),
        );
        SledOptions::new(
            path,
            cluster,
            TestTime::default().clock(),
            "cfx restore-command",
        )
    }

    /// A store with text and bytes, and its backup.
    async fn backed_up(folder: &Path) -> (SledStore, Vec<u8>, Summary) {
        let store = SledStore::open(options(&folder.join("store"), 1))
            .await
            .expect("opened");
        for key in 0..300_u32 {
            let value = if key % 3 == 0 {
                vec![0xff; 40]
            } else {
                format!("{{\"number\":{key}}}\n").into_bytes()
            };
            let ops = vec![Op::put(format!("/cfx/v1/app/{key:04}"), value)];
            let commit = Commit {
                compares: Vec::new(),
                ops,
            };
            store.commit(commit).await.expect("committed");
        }
        let mut backup = Vec::new();
        let summary = export(&store, &mut backup).await.expect("exported");
        (store, backup, summary)
    }

    #[tokio::test]
    async fn a_restored_store_has_the_same_contents_and_a_higher_token() {
        let folder = tempfile::tempdir().expect("temporary folder");
        let (store, backup, summary) = backed_up(folder.path()).await;
        assert_eq!(verify(&*backup).expect("sound"), summary);
        let target = options(&folder.path().join("restored"), 2);
        assert_eq!(restore(&*backup, &target).await.expect("restored"), summary);

        let restored = SledStore::open(target).await.expect("opened");
        let (was, is) = (store.identity(), restored.identity());
        assert_eq!(was.cluster, is.cluster);
        assert!(is.epoch > was.epoch + RESTORE_EPOCH_STEP);
        let (before, after) = (
            store.load("").await.expect("loaded"),
            restored.load("").await.expect("loaded"),
        );
        assert!(after.revision > before.revision);
        let contents = |entries: Vec<Entry>| -> Vec<_> {
            entries
                .into_iter()
                .map(|entry| (entry.key, entry.value))
                .collect()
        };
        assert_eq!(contents(before.entries), contents(after.entries));
    }

    #[tokio::test]
    async fn a_restore_never_replaces_a_store() {
        let folder = tempfile::tempdir().expect("temporary folder");
        let (store, backup, _) = backed_up(folder.path()).await;
        let refused = restore(&*backup, &options(&folder.path().join("store"), 1)).await;
        assert!(
            matches!(refused, Err(BackupError::NotEmpty(_))),
            "{refused:?}"
        );
        assert_eq!(store.load("").await.expect("loaded").entries.len(), 300);
    }

    #[tokio::test]
    async fn a_damaged_backup_is_refused_and_leaves_nothing() {
        let folder = tempfile::tempdir().expect("temporary folder");
        let (_store, backup, _) = backed_up(folder.path()).await;
        let plain = zstd::decode_all(&*backup).expect("zstd");
        let text = String::from_utf8(plain).expect("text");
        let compress = |text: &str| zstd::encode_all(text.as_bytes(), 1).expect("zstd");
        let lines: Vec<&str> = text.lines().collect();
        let joined = |lines: &[&str]| lines.join("\n") + "\n";
        let cases = [
            ("cut file", backup[..backup.len() / 2].to_vec()),
            ("no last line", compress(&joined(&lines[..lines.len() - 1]))),
            (
                "a line less",
                compress(&joined(&[&lines[..5], &lines[6..]].concat())),
            ),
            (
                "another number",
                compress(&text.replace("\\\"number\\\":7}", "\\\"number\\\":8}")),
            ),
            ("more after the end", compress(&(text.clone() + "{}\n"))),
            ("not a backup", b"hello".to_vec()),
            ("empty", Vec::new()),
        ];
        let target = folder.path().join("target");
        for (case, bytes) in cases {
            let refused = restore(&*bytes, &options(&target, 1)).await.map(drop);
            assert!(
                matches!(
                    refused,
                    Err(BackupError::Damaged(_) | BackupError::Io { .. })
                ),
                "{case}: {refused:?}"
            );
            assert!(!target.exists(), "{case}");
        }
    }
}
