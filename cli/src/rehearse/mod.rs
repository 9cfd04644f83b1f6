//! The rehearsal of a great day: a load with a story, the instances watched meanwhile, a verdict.
//!
//! ```text
//! profile (phases, who comes) -> load/ -> tally ---------------------------+
//!      shoppers (look, reserve, pay, come back) -> books of promises ------+-> verdict -> report
//!      sale (opens it at T0; the shop's own verdict) ----------------------+
//!      instances (looked at twice a second) -> acts (why they changed) ----+
//! ```
//! An ordinary client of public APIs: it could rehearse on any Cloud Foundry.

mod acts;
mod conduct;
mod gather;
mod instances;
mod profile;
mod profile_file;
mod report;
mod sale;
mod shoppers;
mod verdict;
mod view;

pub(crate) use conduct::{Script, Wishes, conduct};
pub(crate) use profile::{Profile, Rates, SECONDS_MAX};
pub(crate) use profile_file::{EXAMPLE, read};
pub(crate) use report::{Report, file_name};
pub(crate) use verdict::Verdict;
