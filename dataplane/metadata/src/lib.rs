//! Refs, repository records and manifests, one Raft group per partition.
