use std::cmp::Ordering;

use crate::object::TreeEntry;

/// What the order of a tree's entries tells.
#[derive(Default)]
pub(super) struct TreeOrder<'a> {
    /// Name of the last entry, and whether it is a directory.
    last: Option<(&'a [u8], bool)>,
    /// Entries that are no directories and whose names every later name so far
    /// starts with, outermost first: a directory sorts as if a slash followed
    /// its name, so others can stand between it and a file of the same name.
    open: Vec<&'a [u8]>,
    pub(super) is_unsorted: bool,
    pub(super) has_duplicates: bool,
}

impl<'a> TreeOrder<'a> {
    /// Takes the next entry.
    pub(super) fn add(&mut self, entry: &TreeEntry<'a>) {
        let (name, is_tree): (&[u8], bool) = (entry.name, entry.mode.is_tree());
        if let Some((last_name, last_is_tree)) = self.last.replace((name, is_tree)) {
            if last_name == name {
                self.has_duplicates = true;
            } else if compare((last_name, last_is_tree), (name, is_tree)) != Ordering::Less {
                self.is_unsorted = true;
            }
        }
        while self.open.last().is_some_and(|file| !name.starts_with(file)) {
            self.open.pop();
        }
        if is_tree {
            self.has_duplicates |= self.open.last().is_some_and(|file| *file == name);
        } else {
            self.open.push(name);
        }
    }
}

/// Git's order of tree entries: by name, a directory's as if a slash followed.
/// One byte behind the common part decides.
fn compare(one: (&[u8], bool), other: (&[u8], bool)) -> Ordering {
    let common = one.0.len().min(other.0.len());
    let start = one.0[..common].cmp(&other.0[..common]);
    start.then_with(|| byte_at(one, common).cmp(&byte_at(other, common)))
}

fn byte_at((name, is_tree): (&[u8], bool), place: usize) -> u8 {
    name.get(place).copied().unwrap_or(if is_tree { b'/' } else { 0 })
}
