mod endings;
mod formats;
mod one_voter;
mod rejoining;
mod suite;
mod three_voters;
