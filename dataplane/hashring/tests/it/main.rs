//! The ring against vectors that another implementation made.

mod vectors;
