//! The ports: what is said on a connection until a command runs. Each carrier turns its
//! requests into a conversation and its errors into its own words.
