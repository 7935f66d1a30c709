//! The Raft control plane without Kubernetes.
