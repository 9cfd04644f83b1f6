//! The report of a rehearsal: everything that was measured, as JSON and as one page that needs
//! nothing else.

mod chart;
mod page;
mod pictures;

use std::path::{Path, PathBuf};

use cfx_process::durable_file;
use jiff::Timestamp;
use serde::Serialize;

use super::acts::Act;
use super::instances::Sample;
use super::verdict::{Check, SaleReport, Verdict};
use crate::failure::{Failure, Outcome};
use crate::load::{Numbers, Point, Scheduling, SelfCheck};

#[derive(Debug, Serialize)]
pub(crate) struct Report {
    pub(crate) app: String,
    pub(crate) url: String,
    pub(crate) profile: String,
    pub(crate) started_at: Timestamp,
    pub(crate) cfx_version: &'static str,
    pub(crate) machine: Machine,
    pub(crate) settings: Settings,
    pub(crate) verdict: Verdict,
    pub(crate) checks: Vec<Check>,
    pub(crate) was_ended_early: bool,
    pub(crate) generator: SelfCheck,
    pub(crate) scheduling: Scheduling,
    pub(crate) total: Numbers,
    pub(crate) phases: Vec<PhaseReport>,
    pub(crate) series: Vec<Point>,
    pub(crate) instances: Vec<Sample>,
    pub(crate) acts: Vec<Act>,
    pub(crate) sale: Option<SaleReport>,
}

/// Where the load came from; on a laptop the platform is there too.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Machine {
    pub(crate) cores: usize,
}

#[derive(Debug, Clone, Serialize)]
pub(crate) struct Settings {
    pub(crate) seed: u64,
    pub(crate) scale: f64,
    /// Highest rate of arrivals, a second.
    pub(crate) peak: f64,
    pub(crate) connections_new: f64,
    pub(crate) threads: u32,
    pub(crate) in_flight: u32,
    pub(crate) timeout_s: f64,
}

#[derive(Debug, Clone, Serialize)]
pub(crate) struct PhaseReport {
    pub(crate) name: String,
    pub(crate) from: f64,
    pub(crate) to: f64,
    pub(crate) numbers: Numbers,
}

/// Where the two files are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Written {
    pub(crate) html: PathBuf,
    pub(crate) json: PathBuf,
}

impl Report {
    pub(crate) fn html(&self) -> String {
        page::render(self)
    }

    pub(crate) fn write(&self, html: &Path) -> Outcome<Written> {
        let unwritable = |path: &Path, detail: String| {
            Failure::new(format!("cannot write {}: {detail}", path.display()))
                .next("name a file that can be written: --report FILE")
        };
        let json = html.with_extension("json");
        if json == html {
            return Err(unwritable(html, "its JSON would replace it".to_owned()));
        }
        let text = serde_json::to_vec_pretty(self);
        let text = text.map_err(|error| unwritable(&json, error.to_string()))?;
        for (path, content) in [(html, self.html().into_bytes()), (&json, text)] {
            durable_file::write(path, &content, MODE_REPORT)
                .map_err(|error| unwritable(path, error.to_string()))?;
        }
        Ok(Written {
            html: html.to_owned(),
            json,
        })
    }
}

/// A report is for showing around; it holds no secret.
const MODE_REPORT: u32 = 0o644;

/// `rehearsal-flash-sale-20261129-235501.html`; the app's name as far as it can name a file.
pub(crate) fn file_name(app: &str, at: Timestamp) -> PathBuf {
    let app: String = app
        .chars()
        .map(|c| match c.is_ascii_alphanumeric() || "-_.".contains(c) {
            true => c,
            false => '-',
        })
        .collect();
    let app = app.trim_start_matches('.');
    PathBuf::from(format!(
        "rehearsal-{app}-{}.html",
        at.strftime("%Y%m%d-%H%M%S")
    ))
}

#[cfg(test)]
mod tests;
