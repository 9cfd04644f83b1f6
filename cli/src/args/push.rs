//! The many flags of `push`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::app::RolloutFlags;
use super::value::{amount, rate};
use crate::manifest::{HealthCheckFlag, Overrides};

/// Push an app: upload, stage, start, and wait until it is healthy
#[derive(Debug, Args)]
#[command(after_help = "\
A manifest.yml in the current folder is used unless told otherwise; flags win over it.

Examples:
  cfx push                                   everything is in manifest.yml
  cfx push shop -p ./shop -m 256M -i 3
  cfx push shop -f manifest.yml --var host=shop --vars-file prod.yml
  cfx push shop --strategy rolling           without downtime
  cfx push web --docker-image nginx:1.27
  cfx push worker --task                     staged, to run tasks only")]
pub(crate) struct PushArgs {
    /// Name of the app; may be left out when the manifest names it
    pub(crate) app: Option<String>,
    /// Folder or zip file of the app [default: the current folder]
    #[arg(short = 'p', long, value_name = "PATH", conflicts_with_all = ["docker_image", "droplet"])]
    pub(crate) path: Option<PathBuf>,
    /// Docker image instead of files
    #[arg(short = 'o', long, value_name = "IMAGE",
          conflicts_with_all = ["buildpack", "stack", "droplet"])]
    pub(crate) docker_image: Option<String>,
    /// User of the image's registry; the password is taken from CF_DOCKER_PASSWORD
    #[arg(long, value_name = "USER", requires = "docker_image")]
    pub(crate) docker_username: Option<String>,
    /// A droplet (tgz) that was staged before
    #[arg(long, value_name = "FILE")]
    pub(crate) droplet: Option<PathBuf>,
    /// Manifest file
    #[arg(short = 'f', long, value_name = "FILE")]
    pub(crate) manifest: Option<PathBuf>,
    /// Do not look for a manifest
    #[arg(long, conflicts_with_all = ["manifest", "var", "vars_file"])]
    pub(crate) no_manifest: bool,
    /// Value of a ((variable)) of the manifest
    #[arg(long, value_name = "NAME=VALUE")]
    pub(crate) var: Vec<String>,
    /// YAML file with values of ((variables))
    #[arg(long, value_name = "FILE")]
    pub(crate) vars_file: Vec<PathBuf>,
    /// Number of instances
    #[arg(short = 'i', long, value_name = "N")]
    pub(crate) instances: Option<u32>,
    /// Memory of an instance, such as 256M
    #[arg(short = 'm', long, value_name = "AMOUNT", value_parser = amount)]
    pub(crate) memory: Option<String>,
    /// Disk of an instance, such as 1G
    #[arg(short = 'k', long, value_name = "AMOUNT", value_parser = amount)]
    pub(crate) disk: Option<String>,
    /// Log bytes a second of an instance, such as 16K; -1 for no limit
    #[arg(short = 'l', long, value_name = "RATE", value_parser = rate, allow_hyphen_values = true)]
    pub(crate) log_rate_limit: Option<String>,
    /// Buildpack by name; may be given several times, `default` goes back to detection
    #[arg(short = 'b', long, value_name = "BUILDPACK")]
    pub(crate) buildpack: Vec<String>,
    /// Start command; `null` goes back to the default
    #[arg(short = 'c', long, value_name = "COMMAND", allow_hyphen_values = true)]
    pub(crate) start_command: Option<String>,
    /// Root file system
    #[arg(short = 's', long, value_name = "STACK")]
    pub(crate) stack: Option<String>,
    /// How the app is staged
    #[arg(long, value_name = "LIFECYCLE")]
    pub(crate) lifecycle: Option<LifecycleFlag>,
    /// What shows that an instance is healthy
    #[arg(short = 'u', long, value_name = "TYPE")]
    pub(crate) health_check_type: Option<CheckFlag>,
    /// Path that an http health check asks for
    #[arg(long, value_name = "PATH", required_if_eq("health_check_type", "http"))]
    pub(crate) endpoint: Option<String>,
    /// Seconds an instance has to become healthy
    #[arg(short = 't', long, value_name = "SECONDS",
          value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) app_start_timeout: Option<u32>,
    /// Upload only
    #[arg(long, conflicts_with_all = ["strategy", "no_wait"])]
    pub(crate) no_start: bool,
    /// Map no route
    #[arg(long, conflicts_with = "random_route")]
    pub(crate) no_route: bool,
    /// Map a route with a random name
    #[arg(long)]
    pub(crate) random_route: bool,
    /// Stage only, with no route: the app runs tasks
    #[arg(long, conflicts_with = "strategy")]
    pub(crate) task: bool,
    /// Do not show values of environment variables
    #[arg(long)]
    pub(crate) redact_env: bool,
    #[command(flatten)]
    pub(crate) rollout: RolloutFlags,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum CheckFlag {
    Port,
    Http,
    Process,
    /// The old word for process
    #[value(hide = true)]
    None,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum LifecycleFlag {
    Buildpack,
    Docker,
}

impl PushArgs {
    /// What the flags say about the app.
    pub(crate) fn overrides(&self) -> Overrides {
        let back_to_default = |word: &String| matches!(word.as_str(), "null" | "default");
        let buildpacks = match self.buildpack.as_slice() {
            [] => None,
            [only] if back_to_default(only) => Some(Vec::new()),
            given => Some(given.to_vec()),
        };
        Overrides {
            name: self.app.clone(),
            path: self.path.clone(),
            instances: self.instances,
            memory: self.memory.clone(),
            disk: self.disk.clone(),
            log_rate: self.log_rate_limit.clone(),
            buildpacks,
            command: self
                .start_command
                .as_ref()
                .map(|word| (!back_to_default(word)).then(|| word.clone())),
            stack: self.stack.clone(),
            lifecycle: self.lifecycle.map(|lifecycle| match lifecycle {
                LifecycleFlag::Buildpack => "buildpack".to_owned(),
                LifecycleFlag::Docker => "docker".to_owned(),
            }),
            health_check: self.health_check_type.map(|check| match check {
                CheckFlag::Port => HealthCheckFlag::Port,
                CheckFlag::Http => HealthCheckFlag::Http,
                CheckFlag::Process | CheckFlag::None => HealthCheckFlag::Process,
            }),
            endpoint: self.endpoint.clone(),
            timeout: self.app_start_timeout,
            docker_image: self.docker_image.clone(),
            docker_username: self.docker_username.clone(),
            droplet: self.droplet.is_some(),
            no_route: self.no_route || self.task,
            random_route: self.random_route,
            strategy: self.rollout.is_rolling(),
        }
    }
}
