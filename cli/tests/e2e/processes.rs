//! The roles as processes of their own, joined by tokens: `cfx serve`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use tempfile::TempDir;

use crate::curl::{self, Answer};
use crate::harness::{PASSWORD, cfx_binary, free_port, log_file, text, wait};

const DOMAIN: &str = "roles.localhost";
const READY_DEADLINE: Duration = Duration::from_secs(60);

/// A controller, a router and a cell.
pub struct Roles {
    folder: TempDir,
    api: u16,
    internal: u16,
    http: u16,
    controller: Option<Child>,
    router: Option<Child>,
    cell: Option<Child>,
}

impl Roles {
    pub fn start() -> Self {
        let folder = tempfile::Builder::new()
            .prefix("cfx-roles-")
            .tempdir()
            .expect("a folder");
        let (api, internal, http) = (free_port(), free_port(), free_port());
        let mut roles = Self {
            folder,
            api,
            internal,
            http,
            controller: None,
            router: None,
            cell: None,
        };
        roles.write_controller();
        roles.start_controller();
        roles.ok("home", &["api", &format!("http://127.0.0.1:{api}")]);
        roles.ok("home", &["login", "-u", "admin", "-p", PASSWORD]);
        roles.write_router();
        roles.router = Some(roles.serve("router"));
        roles.write_cell();
        roles.cell = Some(roles.serve("cell"));
        let ready = wait(READY_DEADLINE, || {
            text(&roles.cfx("home", &["cells"]))
                .contains("ready")
                .then_some(())
        });
        assert!(
            ready.is_some(),
            "the cell joins: {}\n{}",
            text(&roles.cfx("home", &["cells"])),
            roles.logs()
        );
        roles
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn start_controller(&mut self) {
        self.controller = Some(self.serve("controller"));
        let ready = wait(READY_DEADLINE, || {
            curl::get(self.api, "localhost", "/", &[])
                .ok()
                .filter(|a| a.status == 200)
        });
        assert!(ready.is_some(), "the controller answers:\n{}", self.logs());
    }

    pub fn kill_controller(&mut self) {
        end(self.controller.take(), "KILL");
    }

    pub fn restart_router(&mut self) {
        end(self.router.take(), "KILL");
        self.router = Some(self.serve("router"));
    }

    pub fn get(&self, host: &str, path: &str) -> std::io::Result<Answer> {
        curl::get(self.http, &format!("{host}.{DOMAIN}"), path, &[])
    }

    pub fn cfx(&self, home: &str, arguments: &[&str]) -> Output {
        Command::new(cfx_binary())
            .args(arguments)
            .env("CFX_HOME", self.path(home))
            .env("NO_COLOR", "1")
            .stdin(Stdio::null())
            .output()
            .expect("cfx runs")
    }

    fn ok(&self, home: &str, arguments: &[&str]) -> String {
        let output = self.cfx(home, arguments);
        assert!(
            output.status.success(),
            "cfx {arguments:?}: {}\n{}",
            text(&output),
            self.logs()
        );
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    pub fn space(&self, name: &str) -> String {
        self.ok("home", &["create-org", name]);
        self.ok("home", &["target", "-o", name]);
        self.ok("home", &["create-space", "work"]);
        self.ok("home", &["target", "-s", "work"]);
        "home".to_owned()
    }

    fn serve(&self, role: &str) -> Child {
        let log = log_file(&self.path(&format!("{role}.log")));
        Command::new(cfx_binary())
            .args([
                "serve",
                role,
                "--config",
                &self.path(&format!("{role}.yml")).display().to_string(),
            ])
            .env("CFX_HOME", self.path("home"))
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a handle"))
            .stderr(log)
            .spawn()
            .expect("cfx starts")
    }

    fn write_controller(&self) {
        let text = format!(
            "data: {}\napi: 127.0.0.1:{}\ninternal: 127.0.0.1:{}\ndomain: {DOMAIN}\nhttp-port: {}\nadmin-password: {PASSWORD}\n",
            self.path("controller").display(),
            self.api,
            self.internal,
            self.http
        );
        fs::write(self.path("controller.yml"), text).expect("written");
    }

    fn write_router(&self) {
        let text = format!(
            "platform:\n{}name: router-1\ndata: {}\nhttp: ['127.0.0.1:{}']\n",
            self.membership("router"),
            self.path("router").display(),
            self.http
        );
        fs::write(self.path("router.yml"), text).expect("written");
    }

    fn write_cell(&self) {
        let text = format!(
            "platform:\n{}cell:\n  name: cell-1\n  data: {}\n  address: 127.0.0.1\n  memory: 2G\ndomains: [{DOMAIN}]\ngateway-ports: [{}]\n",
            self.membership("cell"),
            self.path("cell").display(),
            self.http
        );
        fs::write(self.path("cell.yml"), text).expect("written");
    }

    /// The lines of `platform:` that admit one new role.
    fn membership(&self, role: &str) -> String {
        let token = self.ok("home", &["cells", "join-token", "--role", role, "--json"]);
        let token: serde_json::Value = serde_json::from_str(&token).expect("JSON");
        let authority = token["authority"].as_str().expect("the authority");
        let indented: String = authority
            .lines()
            .map(|line| format!("    {line}\n"))
            .collect();
        format!(
            "  controllers: ['127.0.0.1:{}']\n  join-token: {}\n  authority: |\n{indented}",
            self.internal,
            token["token"].as_str().expect("a token")
        )
    }

    fn logs(&self) -> String {
        ["controller", "router", "cell"]
            .iter()
            .map(|role| {
                let said =
                    fs::read_to_string(self.path(&format!("{role}.log"))).unwrap_or_default();
                let log =
                    fs::read_to_string(self.path(role).join("log/cfx.log")).unwrap_or_default();
                let tail: Vec<_> = log.lines().rev().take(15).collect();
                format!(
                    "--- {role}\n{said}\n{}\n",
                    tail.into_iter().rev().collect::<Vec<_>>().join("\n")
                )
            })
            .collect()
    }

    /// Containers of the cell, which run on when its agent stops.
    fn remove_containers(&self) {
        let status = self.cfx("home", &["cells", "--json"]);
        let cells: serde_json::Value = serde_json::from_slice(&status.stdout).unwrap_or_default();
        let Some(guid) = cells["cells"][0]["guid"].as_str() else {
            return;
        };
        let list = format!(
            "docker ps --all --quiet --filter label=cfx.cell={guid} | xargs --no-run-if-empty docker rm --force"
        );
        drop(Command::new("sh").args(["-c", &list]).output());
    }
}

impl Roles {
    /// Volumes that the cell keeps ready, which its next agent would take up.
    fn unmount(&self) {
        let table = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
        let folder = self.path("cell");
        let mounts = table.lines().filter_map(|line| line.split(' ').nth(4));
        for mount in mounts.filter(|mount| Path::new(mount).starts_with(&folder)) {
            drop(Command::new("umount").args(["--lazy", mount]).status());
        }
    }
}

impl Drop for Roles {
    fn drop(&mut self) {
        drop(self.cfx("home", &["delete", "alone", "-f", "-r"]));
        // Whatever is left after that is removed below.
        wait(Duration::from_secs(20), || {
            (!text(&self.cfx("home", &["cells"])).contains("1 of")).then_some(())
        });
        self.remove_containers();
        for child in [self.router.take(), self.cell.take(), self.controller.take()] {
            end(child, "KILL");
        }
        self.unmount();
    }
}

fn end(child: Option<Child>, signal: &str) {
    let Some(mut child) = child else { return };
    drop(
        Command::new("kill")
            .args([&format!("-{signal}"), &child.id().to_string()])
            .status(),
    );
    drop(child.wait());
}
