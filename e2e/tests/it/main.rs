//! Real git against a real `gitstratum up`.

mod clone_basics;
mod failover_kill;
mod push_basics;
mod work;
