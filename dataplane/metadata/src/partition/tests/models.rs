//! Everything that small worlds can come to: what the rules of sessions, drop runs and owner lists
//! forbid is looked for in every order of what may happen, and each rule is taken away once to see
//! that it is missed.

mod drops;
mod explorer;
mod owners;
mod pushes;
mod readers;
mod replica;
