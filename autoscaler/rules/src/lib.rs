//! Scaling rules: what they say, and what follows from them. Pure: time and samples are arguments,
//! so one function serves live evaluation, explanation, dry run, simulation and backtest.
