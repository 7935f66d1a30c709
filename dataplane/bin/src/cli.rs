//! The command line: what can be typed, and what answers it.

mod arguments;
mod audit;
mod check;
mod cluster;
mod console;
mod credential;
mod environment;
mod failure;
mod grant;
mod later;
mod login;
mod maintenance;
mod node;
mod rebalance;
mod repo;
mod ring;
pub(crate) mod role_args;
mod setting;
mod status;
mod terminal;
mod token;
pub(crate) mod up_args;
mod user;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::Parser as _;

pub(crate) use arguments::{Command, Verb};
pub(crate) use console::Console;
pub(crate) use environment::Environment;
pub(crate) use failure::Failure;

/// The command in `words`, or how the program ends without one: help, or wrong usage.
pub(crate) fn parse(words: impl Iterator<Item = OsString>) -> Result<Command, ExitCode> {
    Command::try_parse_from(words).map_err(|error| later::end(&error))
}

#[cfg(test)]
mod tests;
