//! S24, P-S2: what no ref of a repository reaches is not given, though it is a member of the
//! repository or of another one.

use gitstratum_core::ObjectId;

use super::{Broken, Cloned};
use crate::git::Fetched;

pub(crate) const SECRECY: &str = "only-what-a-ref-reaches-is-served";

/// What came of asking a repository for `id`, which none of its refs reaches.
pub(crate) fn check(id: &ObjectId, fetched: &Fetched) -> Result<(), Broken> {
    let Fetched::Pack(pack) = fetched else { return Ok(()) };
    let objects = Cloned::read(pack).map_or(0, |cloned| cloned.len());
    Err(Broken::new(SECRECY, format!("{id} was given, with {objects} objects")))
}
