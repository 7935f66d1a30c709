use gitstratum_core::ObjectFormat;

use super::dot_name::{DotName, dot_names};
use super::report::Findings;
use super::tree_order::TreeOrder;
use super::{MessageId, NAME_LEN_MAX, TREE_ENTRIES_MAX};
use crate::object::{EntryMode, TreeEntries, TreeEntry};

/// Checks a tree. Each fault is told once, however many entries have it.
pub(super) fn check(format: ObjectFormat, content: &[u8], findings: &mut Findings<'_>) {
    let mut faults = Faults::default();
    let mut order = TreeOrder::default();
    for (index, entry) in TreeEntries::new(format, content).enumerate() {
        match entry {
            Ok(entry) => {
                faults.look_at(&entry);
                order.add(&entry);
            }
            Err(error) => findings.note(MessageId::BadTree, error.to_string()),
        }
        if index == TREE_ENTRIES_MAX {
            let text = format!("more than {TREE_ENTRIES_MAX} entries");
            findings.note(MessageId::TreeTooLarge, text);
            break;
        }
    }
    faults.take([
        (MessageId::DuplicateEntries, order.has_duplicates),
        (MessageId::TreeNotSorted, order.is_unsorted),
    ]);
    for (id, text) in faults.seen {
        findings.note(id, text);
    }
}

/// The faults that entries can have by themselves, with git's words for them.
const TEXTS: [(MessageId, &str); 17] = [
    (MessageId::GitmodulesSymlink, ".gitmodules is a symbolic link"),
    (MessageId::GitmodulesBlob, ".gitmodules is no file"),
    (MessageId::GitattributesSymlink, ".gitattributes is a symlink"),
    (MessageId::GitattributesBlob, ".gitattributes is no file"),
    (MessageId::GitignoreSymlink, ".gitignore is a symlink"),
    (MessageId::MailmapSymlink, ".mailmap is a symlink"),
    (MessageId::NullSha1, "contains entries pointing to null sha1"),
    (MessageId::FullPathname, "contains full pathnames"),
    (MessageId::HasDot, "contains '.'"),
    (MessageId::HasDotdot, "contains '..'"),
    (MessageId::HasDotgit, "contains '.git'"),
    (MessageId::ZeroPaddedFilemode, "contains zero-padded file modes"),
    (MessageId::BadFilemode, "contains bad file modes"),
    (MessageId::UnknownFilemode, "contains file modes of no known type"),
    (MessageId::LargePathname, "contains excessively large pathname"),
    (MessageId::DuplicateEntries, "contains duplicate file entries"),
    (MessageId::TreeNotSorted, "not properly sorted"),
];

#[derive(Default)]
struct Faults {
    seen: Vec<(MessageId, &'static str)>,
}

impl Faults {
    /// Takes the faults that are present; each is kept once.
    fn take(&mut self, present: impl IntoIterator<Item = (MessageId, bool)>) {
        for (id, is_present) in present {
            if is_present && !self.seen.iter().any(|(seen, _)| *seen == id) {
                self.seen.extend(TEXTS.iter().find(|(known, _)| *known == id));
            }
        }
    }

    fn look_at(&mut self, entry: &TreeEntry<'_>) {
        let name: &[u8] = entry.name;
        self.take([
            (MessageId::NullSha1, entry.id.is_null()),
            (MessageId::FullPathname, name.contains(&b'/')),
            (MessageId::HasDot, name == b"."),
            (MessageId::HasDotdot, name == b".."),
            (MessageId::LargePathname, name.len() > NAME_LEN_MAX),
            (MessageId::ZeroPaddedFilemode, entry.mode_digits.starts_with(b"0")),
        ]);
        self.look_at_mode(entry.mode);
        for meaning in dot_names(name) {
            self.look_at_dot_name(meaning, entry.mode);
        }
    }

    fn look_at_mode(&mut self, mode: EntryMode) {
        let is_typed = mode.is_file() || mode.is_tree() || mode.is_symlink() || mode.is_gitlink();
        let is_known = is_typed && mode.0 <= 0o177_777;
        let is_usual = matches!(mode.0, 0o100_644 | 0o100_755 | 0o120_000 | 0o040_000 | 0o160_000);
        self.take([
            (MessageId::UnknownFilemode, !is_known),
            (MessageId::BadFilemode, is_known && !is_usual),
        ]);
    }

    fn look_at_dot_name(&mut self, meaning: DotName, mode: EntryMode) {
        let is_link = mode.is_symlink();
        let is_no_blob = !is_link && !mode.is_file();
        match meaning {
            DotName::Git => self.take([(MessageId::HasDotgit, true)]),
            DotName::Gitmodules => self.take([
                (MessageId::GitmodulesSymlink, is_link),
                (MessageId::GitmodulesBlob, is_no_blob),
            ]),
            DotName::Gitattributes => self.take([
                (MessageId::GitattributesSymlink, is_link),
                (MessageId::GitattributesBlob, is_no_blob),
            ]),
            DotName::Gitignore => self.take([(MessageId::GitignoreSymlink, is_link)]),
            DotName::Mailmap => self.take([(MessageId::MailmapSymlink, is_link)]),
        }
    }
}
