mod endings;
mod formats;
mod one_voter;
mod rejoining;
mod rough_network;
mod suite;
mod three_voters;
