//! Commit graphs in memory: those of all live packs of a repository merged into one,
//! immutable rows that only ever grow until packs are swapped (S6). Losing one costs a
//! reload.

mod history;
mod reach;

pub(crate) use history::{Commit, History};
pub(crate) use reach::{OverBudget, Reach};
