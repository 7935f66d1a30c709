//! The bytes of a file, in pages that two versions of it can share.

use std::ops::Range;
use std::sync::Arc;

use rustix::io::Errno;

/// Bytes of a page: what a disk writes in one go, for our purposes.
pub(crate) const PAGE_BYTES: usize = 4096;

/// Largest file, bytes: a length is a promise of memory.
const FILE_BYTES_MAX: u64 = 16 << 30;

/// One page. Copied only when one of two versions that share it is written to.
pub(crate) type Page = Arc<[u8; PAGE_BYTES]>;

/// Bytes with holes. A page that was never written reads as zeros.
#[derive(Clone, Default)]
pub(crate) struct Content {
    len: u64,
    pages: Vec<Option<Page>>,
}

impl Content {
    /// Length in bytes.
    pub(crate) fn len(&self) -> u64 {
        self.len
    }

    /// Pages that hold bytes.
    pub(crate) fn pages_used(&self) -> usize {
        self.pages.iter().flatten().count()
    }

    /// Up to `size` bytes from `offset`, fewer at the end.
    pub(crate) fn read(&self, offset: u64, size: usize) -> Vec<u8> {
        let end = self.len.min(offset.saturating_add(size as u64));
        let mut bytes = vec![0; end.saturating_sub(offset) as usize];
        for piece in pieces(offset, bytes.len()) {
            if let Some(Some(page)) = self.pages.get(piece.page) {
                bytes[piece.outside].copy_from_slice(&page[piece.inside]);
            }
        }
        bytes
    }

    /// Writes `bytes` at `offset`; gives the pages that changed.
    pub(crate) fn write(&mut self, offset: u64, bytes: &[u8]) -> Result<Range<usize>, Errno> {
        let end = offset.checked_add(bytes.len() as u64).ok_or(Errno::FBIG)?;
        if end > self.len {
            self.set_len(end)?;
        }
        for piece in pieces(offset, bytes.len()) {
            let page = self.pages[piece.page].get_or_insert_with(blank);
            Arc::make_mut(page)[piece.inside].copy_from_slice(&bytes[piece.outside]);
        }
        Ok(touched(offset, end))
    }

    /// Zeros a stretch within the length; gives the pages that changed.
    pub(crate) fn clear(&mut self, offset: u64, length: u64) -> Range<usize> {
        let end = self.len.min(offset.saturating_add(length));
        for piece in pieces(offset, end.saturating_sub(offset) as usize) {
            if piece.inside.len() == PAGE_BYTES {
                self.pages[piece.page] = None;
            } else if let Some(page) = &mut self.pages[piece.page] {
                Arc::make_mut(page)[piece.inside].fill(0);
            }
        }
        touched(offset, end)
    }

    /// Cuts or extends; what comes into being is zero. Gives the pages that changed.
    pub(crate) fn set_len(&mut self, len: u64) -> Result<Range<usize>, Errno> {
        if len > FILE_BYTES_MAX {
            return Err(Errno::FBIG);
        }
        let before = self.len;
        if len < before {
            self.clear(len, before - len);
        }
        self.len = len;
        self.pages.resize(len.div_ceil(PAGE_BYTES as u64) as usize, None);
        Ok(touched(len.min(before), before))
    }

    /// The page at this place, if it holds bytes.
    pub(crate) fn page(&self, at: usize) -> Option<Page> {
        self.pages.get(at).cloned().flatten()
    }

    /// Puts a page in its place; beyond the length there is none.
    pub(crate) fn set_page(&mut self, at: usize, page: Option<Page>) {
        if let Some(place) = self.pages.get_mut(at) {
            *place = page;
        }
    }
}

/// A page of zeros.
pub(crate) fn blank() -> Page {
    Arc::new([0; PAGE_BYTES])
}

/// Where a run of bytes meets one page.
struct Piece {
    page: usize,
    inside: Range<usize>,
    outside: Range<usize>,
}

fn pieces(offset: u64, length: usize) -> impl Iterator<Item = Piece> {
    let mut done = 0;
    std::iter::from_fn(move || {
        let at = offset + done as u64;
        let (page, start) = (at as usize / PAGE_BYTES, at as usize % PAGE_BYTES);
        let size = (length - done).min(PAGE_BYTES - start);
        let outside = done..done + size;
        done += size;
        (size > 0).then_some(Piece { page, inside: start..start + size, outside })
    })
}

fn touched(start: u64, end: u64) -> Range<usize> {
    let page = PAGE_BYTES as u64;
    (start / page) as usize..end.div_ceil(page) as usize
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[derive(Clone, Debug)]
    enum Step {
        Write(u64, Vec<u8>),
        SetLen(u64),
        Clear(u64, u64),
    }

    fn step() -> impl Strategy<Value = Step> {
        let place = 0..3 * PAGE_BYTES as u64;
        prop_oneof![
            (place.clone(), prop::collection::vec(any::<u8>(), 0..6000))
                .prop_map(|(at, bytes)| Step::Write(at, bytes)),
            place.clone().prop_map(Step::SetLen),
            (place.clone(), place).prop_map(|(at, length)| Step::Clear(at, length)),
        ]
    }

    /// The same on plain bytes.
    fn apply_plainly(plain: &mut Vec<u8>, step: &Step) {
        match step {
            Step::Write(at, bytes) => {
                let at = *at as usize;
                plain.resize(plain.len().max(at + bytes.len()), 0);
                plain[at..at + bytes.len()].copy_from_slice(bytes);
            }
            Step::SetLen(len) => plain.resize(*len as usize, 0),
            Step::Clear(at, length) => {
                let end = plain.len().min((at + length) as usize);
                plain[(*at as usize).min(end)..end].fill(0);
            }
        }
    }

    proptest! {
        #[test]
        fn pages_read_like_plain_bytes(steps in prop::collection::vec(step(), 0..12)) {
            let (mut plain, mut content) = (Vec::new(), Content::default());
            for step in &steps {
                let old = content.clone();
                let changed = match step {
                    Step::Write(at, bytes) => content.write(*at, bytes).unwrap(),
                    Step::SetLen(len) => content.set_len(*len).unwrap(),
                    Step::Clear(at, length) => content.clear(*at, *length),
                };
                apply_plainly(&mut plain, step);
                prop_assert_eq!(content.read(0, usize::MAX), plain.clone());

                // Length and changed pages are all that a sync has to carry over.
                let mut follower = old;
                follower.set_len(content.len()).unwrap();
                for at in changed {
                    follower.set_page(at, content.page(at));
                }
                prop_assert_eq!(follower.read(0, usize::MAX), plain.clone());
            }
        }
    }

    #[test]
    fn a_length_beyond_memory_is_refused() {
        let mut content = Content::default();
        assert!(content.write(FILE_BYTES_MAX, b"x").is_err());
        assert!(content.write(u64::MAX, b"x").is_err());
        assert_eq!(content.len(), 0);
    }
}
