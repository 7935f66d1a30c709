//! The ring against vectors that another implementation made.

#[cfg(test)]
mod vectors;
