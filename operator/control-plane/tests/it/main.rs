//! The control plane through its own gRPC, over memory and over RocksDB.

mod world;

mod access;
mod administration;
mod audit;
mod deadlines;
mod directory;
mod enrolment;
mod founding;
mod nodes;
mod restart;
mod watching;
