//! The library behind the user verbs.
