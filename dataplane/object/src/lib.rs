//! Segments, the bulk port, scrub.
