//! Planted bugs. Each breaks one promise of the platform in the way that a real mistake would; the
//! checkers must catch every one of them within a bounded number of seeds.

use crate::fault::Kind;

/// One mistake.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, clap::ValueEnum)]
pub enum Mutant {
    /// Cells and routers follow whatever token they are offered.
    IgnoreTokens,
    /// Intents are acknowledged without being durable.
    LoseIntents,
    /// An address belongs to a container instead of an assignment, and is given again at once.
    ReuseAddresses,
    /// An instance that merely starts is taken for one that serves.
    TrustStarting,
    /// A router confirms a table before its threads serve it.
    AcknowledgeEarly,
    /// A cell that is told to stop something says that it is gone before it is.
    ReportGoneEarly,
    /// A crashed instance is started again at once, always.
    NoBackOff,
    /// An agent that starts again forgets what it ran.
    ForgetOnRestart,
    /// A task whose agent was killed at its start is started again.
    RestartTasks,
    /// A cell offers more than it has.
    Overcommit,
}

impl Mutant {
    /// The faults among which it shows soonest. None: whatever the seed draws.
    #[must_use]
    pub fn shows_under(self) -> Option<&'static [Kind]> {
        match self {
            Self::IgnoreTokens => Some(&[Kind::OldController]),
            Self::LoseIntents => Some(&[Kind::Controller]),
            Self::ReuseAddresses => Some(&[Kind::Runtime, Kind::Link]),
            Self::ForgetOnRestart | Self::RestartTasks => Some(&[Kind::Agent]),
            Self::TrustStarting
            | Self::AcknowledgeEarly
            | Self::ReportGoneEarly
            | Self::NoBackOff
            | Self::Overcommit => None,
        }
    }
}
