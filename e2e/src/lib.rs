//! Real git against real processes, and the tools of proof.
