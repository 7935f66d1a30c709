mod endings;
mod formats;
mod one_voter;
mod suite;
mod three_voters;
