//! A cell on real ground, on the Docker Engine or in sandboxes. Whatever a test does, nothing of its cell outlives it.

use std::io::{Cursor, Write};
use std::path::{Path, PathBuf};
use std::process::Command;

use cfx_cell_agent::carried::KEEPER;
use cfx_cell_agent::config::Config;
use cfx_cell_agent::equipment::{Equipment, EquipmentConfig, RANGE_FILE, RuntimeChoice, equip};
use cfx_process::clock::Clock;
use cfx_process::shutdown::Shutdown;
use cfx_protocol::actual::Outcome;
use cfx_protocol::desired::{BlobRef, BuildpackRef, InstanceSpec};
use cfx_protocol::id::{BuildpackGuid, CellGuid, DropletGuid, PackageGuid};
use cfx_sandbox::keeper::{Home, clear_away};
use flate2::Compression;
use flate2::write::GzEncoder;
use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::controller::{Controller, World};
use super::{Agent, quick};

/// What holds for a whole agent holds on each.
pub const RUNTIMES: [RuntimeChoice; 2] = [RuntimeChoice::Docker, RuntimeChoice::Sandbox];

pub struct Stage {
    runtime: RuntimeChoice,
    folder: tempfile::TempDir,
    data: PathBuf,
    cell: CellGuid,
    pub controller: Controller,
}

impl Stage {
    /// On Docker.
    pub async fn new() -> Self {
        Self::on(RuntimeChoice::Docker).await
    }

    pub async fn on(runtime: RuntimeChoice) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        Self {
            runtime,
            data: folder.path().join("cell"),
            cell: CellGuid(Uuid::new_v5(
                &Uuid::NAMESPACE_OID,
                folder.path().as_os_str().as_encoded_bytes(),
            )),
            controller: Controller::start(&folder.path().join("authority")).await,
            folder,
        }
    }

    pub fn cell(&self) -> CellGuid {
        self.cell
    }

    pub async fn agent(&self) -> (Agent, Equipment) {
        self.agent_with(|_| {}).await
    }

    pub async fn agent_with(&self, change: impl FnOnce(&mut Config)) -> (Agent, Equipment) {
        let mut equipment = EquipmentConfig::new(self.cell, self.data.clone());
        equipment.runtime = self.runtime;
        let equipment = equip(equipment, Clock::system(), &Shutdown::new())
            .await
            .expect("equipped");
        let mut config = quick(Config::new(
            self.cell,
            "cell-d".to_owned(),
            self.data.clone(),
        ));
        change(&mut config);
        let (runtime, ground) = (equipment.runtime.clone(), equipment.ground.clone());
        let agent = super::start(config, runtime, ground, &self.controller).await;
        (agent, equipment)
    }

    /// Removes everything, and shows that nothing is left.
    pub async fn clean(self, equipment: Equipment) {
        let guids: Vec<_> = self
            .controller
            .world
            .lock()
            .assignments
            .keys()
            .copied()
            .collect();
        for guid in guids {
            self.controller.remove(guid);
        }
        let empty = |world: &World| world.instances.is_empty().then_some(());
        self.controller
            .eventually("nothing is left", 60, empty)
            .await;
        assert_eq!(equipment.runtime.adopt().await.expect("listed"), []);
        assert_eq!(equipment.ground.volumes().await.expect("listed"), []);
        let network = std::fs::read_to_string(self.data.join(RANGE_FILE)).expect("a range");
        super::close_network(network.trim()).await;
    }

    pub fn put(&self, path: String, content: Vec<u8>) -> (String, u64) {
        let sha256 = hex::encode(Sha256::digest(&content));
        let size = content.len() as u64;
        self.controller.world.lock().blobs.insert(path, content);
        (sha256, size)
    }

    pub fn package(&self, files: &[(&str, &str)]) -> BlobRef<PackageGuid> {
        let guid = PackageGuid(Uuid::from_u128(50));
        let (sha256, size_bytes) = self.put(format!("packages/{guid}"), zipped(files));
        BlobRef {
            guid,
            sha256,
            size_bytes,
        }
    }

    pub fn buildpack(&self, number: u128, name: &str) -> BuildpackRef {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("buildpacks")
            .join(name);
        let guid = BuildpackGuid(Uuid::from_u128(60 + number));
        let (sha256, size_bytes) = self.put(format!("buildpacks/{guid}"), zipped_folder(&folder));
        let blob = BlobRef {
            guid,
            sha256,
            size_bytes,
        };
        BuildpackRef {
            name: format!("{name}_buildpack"),
            blob,
        }
    }

    /// A buildpack made by hand.
    pub fn buildpack_of(&self, number: u128, files: &[(&str, &str)]) -> BuildpackRef {
        let guid = BuildpackGuid(Uuid::from_u128(70 + number));
        let (sha256, size_bytes) = self.put(format!("buildpacks/{guid}"), zipped(files));
        let blob = BlobRef {
            guid,
            sha256,
            size_bytes,
        };
        BuildpackRef {
            name: format!("own-{number}"),
            blob,
        }
    }

    pub async fn staged(&self, guid: u128, spec: InstanceSpec) -> Outcome {
        let guid = self.controller.assign(guid, 0, spec);
        let outcome = |world: &World| world.instances.get(&guid)?.outcome.clone();
        let outcome = self
            .controller
            .eventually("it is staged", 120, outcome)
            .await;
        self.controller.remove(guid);
        outcome
    }

    /// A droplet made by hand.
    pub fn droplet(&self, number: u128, files: &[(&str, &str)]) -> BlobRef<DropletGuid> {
        let mut archive = tar::Builder::new(GzEncoder::new(Vec::new(), Compression::fast()));
        for (path, content) in files {
            let mut header = tar::Header::new_gnu();
            header.set_mode(0o755);
            header.set_size(content.len() as u64);
            archive
                .append_data(&mut header, path, content.as_bytes())
                .expect("appended");
        }
        let archive = archive.into_inner().expect("tar").finish().expect("gzip");
        let guid = DropletGuid(Uuid::from_u128(number));
        let (sha256, size_bytes) = self.put(format!("droplets/{guid}"), archive);
        BlobRef {
            guid,
            sha256,
            size_bytes,
        }
    }
}

impl Drop for Stage {
    /// After a test that failed; `clean` has left nothing for this.
    fn drop(&mut self) {
        let mine = format!("label=cfx.cell={}", self.cell);
        let script = "docker ps -aq --filter \"$1\" | xargs -r docker rm -f >/dev/null";
        let run = |script: &str, argument: &str| {
            let status = Command::new("sh")
                .args(["-c", script, "sh", argument])
                .status();
            drop(status);
        };
        run(script, &mine);
        clear_sandboxes(&self.data.join("sandbox"), &self.cell.to_string());
        let folder = self.folder.path().display().to_string();
        run(
            "grep -o \"$1[^ ]*\" /proc/self/mountinfo | tac | xargs -r -n1 umount -l 2>/dev/null",
            &folder,
        );
    }
}

/// Those of one cell, if it made any.
pub fn clear_sandboxes(directory: &Path, cell: &str) {
    let home = Home {
        folder: directory.join("keeper"),
        program: match KEEPER.install(directory) {
            Ok(program) if directory.join("keeper").is_dir() => program,
            _ => return,
        },
        cell: cell.to_owned(),
        version: KEEPER.version(),
    };
    drop(clear_away(&home));
}

pub fn zipped(files: &[(&str, &str)]) -> Vec<u8> {
    let mut zip = zip::ZipWriter::new(Cursor::new(Vec::new()));
    for (name, content) in files {
        let mode = if content.starts_with("#!") {
            0o755
        } else {
            0o644
        };
        let options = zip::write::SimpleFileOptions::default().unix_permissions(mode);
        zip.start_file(*name, options).expect("started");
        zip.write_all(content.as_bytes()).expect("written");
    }
    zip.finish().expect("finished").into_inner()
}

pub fn zipped_folder(folder: &Path) -> Vec<u8> {
    fn walk(folder: &Path, root: &Path, files: &mut Vec<(String, String)>) {
        for entry in std::fs::read_dir(folder).expect("there").flatten() {
            if entry.path().is_dir() {
                walk(&entry.path(), root, files);
            } else {
                let name = entry
                    .path()
                    .strip_prefix(root)
                    .expect("below")
                    .display()
                    .to_string();
                files.push((name, std::fs::read_to_string(entry.path()).expect("text")));
            }
        }
    }
    let mut files = Vec::new();
    walk(folder, folder, &mut files);
    let files: Vec<_> = files
        .iter()
        .map(|(name, text)| (name.as_str(), text.as_str()))
        .collect();
    zipped(&files)
}
