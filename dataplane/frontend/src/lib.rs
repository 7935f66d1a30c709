//! SSH and HTTPS, sessions, Git commands, plans and streams.
