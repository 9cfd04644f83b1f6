//! The autoscaler: an ordinary client of the public API and of log-cache that holds each app with
//! rules at the number of instances that its rules ask for.
