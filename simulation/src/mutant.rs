//! Planted bugs. Each breaks one promise of the platform in the way that a real mistake would; the
//! checkers must catch every one of them within a bounded number of seeds.

/// One mistake.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, clap::ValueEnum)]
pub enum Mutant {
    /// Cells and routers follow whatever token they are offered.
    IgnoreTokens,
    /// Intents are acknowledged without being durable.
    LoseIntents,
    /// An address goes to the next assignment the moment it is free, and routers hear of it late.
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
