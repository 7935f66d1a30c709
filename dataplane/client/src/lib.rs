//! Typed clients of the internal services, object reader, snapshot of the cluster.
