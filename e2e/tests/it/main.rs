//! Real git, and a client of its own, against a real `gitstratum up`.

mod admit_commands;
mod admit_http;
mod admit_packets;
mod admit_ssh;
mod admit_start;
mod admit_tenants;
mod admit_waits;
mod chain;
mod clone_basics;
mod clone_tls;
mod failover_damage;
mod failover_kill;
mod failover_power;
mod ground;
mod memory;
mod objects;
mod observe;
mod push_basics;
mod push_collision;
mod push_objects;
mod push_packs;
mod push_refs;
mod shared;
mod slate;
mod work;
