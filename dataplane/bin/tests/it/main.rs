//! The command line as a program: what it prints, how it ends, against a control plane in memory.

mod administration;
mod credentials;
mod help;
mod inspection;
mod nodes;
mod program;
