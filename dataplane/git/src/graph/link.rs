//! Links between commits as words: a row of the pack, or a number in the list of
//! commits outside of it.

/// Second-parent words with this bit point at the list of further parents, whose
/// last word has it too.
pub(super) const MORE: u32 = 1 << 31;
/// Bit of a word that says: the rest is a number of an outside commit.
const OUTSIDE: u32 = 1 << 30;
/// No parent.
pub(super) const NONE: u32 = u32::MAX;

/// Where a parent is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Link {
    /// Row number in the pack.
    Row(u32),
    /// Number in the list of outside commits.
    Outside(u32),
}

impl Link {
    pub(super) const fn to_word(self) -> u32 {
        match self {
            Self::Row(row) => row,
            Self::Outside(number) => OUTSIDE | number,
        }
    }

    /// The link of a word that is not [`NONE`]; [`MORE`] is not looked at.
    pub(super) const fn from_word(word: u32) -> Self {
        let number = word & (OUTSIDE - 1);
        if word & OUTSIDE == 0 { Self::Row(number) } else { Self::Outside(number) }
    }
}
