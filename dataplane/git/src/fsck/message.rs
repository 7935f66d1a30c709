use std::fmt;

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// Not reported.
    Ignore,
    /// Told, and accepted.
    Info,
    /// Told, and accepted.
    Warn,
    /// Refused.
    Error,
}

macro_rules! messages {
    ($($variant:ident $text:literal $severity:ident $doc:literal;)*) => {
        /// A rule of fsck, by git's own name; names that git does not have are
        /// this system's (see [`fsck`](super)).
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum MessageId {
            $(#[doc = $doc] $variant,)*
        }

        impl MessageId {
            /// Every rule.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// Its name, as git prints and configures it.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $text,)*
                }
            }

            /// Its severity unless a repository overrides it.
            pub const fn severity(self) -> Severity {
                match self {
                    $(Self::$variant => Severity::$severity,)*
                }
            }
        }
    };
}

messages! {
    NulInHeader "nulInHeader" Error "A NUL in a header; cannot be overridden.";
    UnterminatedHeader "unterminatedHeader" Error "The last header has no line feed; cannot be overridden.";
    BadDate "badDate" Error "A date that is no number.";
    BadDateOverflow "badDateOverflow" Error "A date beyond 63 bits.";
    BadEmail "badEmail" Error "A mail address without its end.";
    BadName "badName" Error "A name with `>`.";
    BadObjectSha1 "badObjectSha1" Error "A tag's target is no id.";
    BadParentSha1 "badParentSha1" Error "A parent is no id.";
    BadTimezone "badTimezone" Error "A time zone that is none.";
    BadTree "badTree" Error "A tree that cannot be parsed.";
    BadTreeSha1 "badTreeSha1" Error "A commit's tree is no id.";
    BadType "badType" Error "A tag's type is none.";
    DuplicateEntries "duplicateEntries" Error "A tree has two entries of one name.";
    MissingAuthor "missingAuthor" Error "A commit has no author.";
    MissingCommitter "missingCommitter" Error "A commit has no committer.";
    MissingEmail "missingEmail" Error "A person has no mail address.";
    MissingNameBeforeEmail "missingNameBeforeEmail" Error "A person has no name.";
    MissingObject "missingObject" Error "A tag has no target.";
    MissingSpaceBeforeDate "missingSpaceBeforeDate" Error "No space before a date.";
    MissingSpaceBeforeEmail "missingSpaceBeforeEmail" Error "No space before a mail address.";
    MissingTag "missingTag" Error "A tag ends before its name does.";
    MissingTagEntry "missingTagEntry" Error "A tag has no name.";
    MissingTree "missingTree" Error "A commit has no tree.";
    MissingType "missingType" Error "A tag ends before its type does.";
    MissingTypeEntry "missingTypeEntry" Error "A tag has no type.";
    MultipleAuthors "multipleAuthors" Error "A commit has several authors.";
    TreeNotSorted "treeNotSorted" Error "A tree's entries are out of order.";
    ZeroPaddedDate "zeroPaddedDate" Error "A date with a leading zero.";
    GitmodulesMissing "gitmodulesMissing" Error "A `.gitmodules` that is not there.";
    GitmodulesBlob "gitmodulesBlob" Error "A `.gitmodules` that is no blob.";
    GitmodulesLarge "gitmodulesLarge" Error "A `.gitmodules` too large to be read.";
    GitmodulesName "gitmodulesName" Error "A submodule name that leads elsewhere.";
    GitmodulesSymlink "gitmodulesSymlink" Error "A `.gitmodules` that is a symbolic link.";
    GitmodulesUrl "gitmodulesUrl" Error "A submodule address that does more than name a place.";
    GitmodulesPath "gitmodulesPath" Error "A submodule path that does more than name a place.";
    GitmodulesUpdate "gitmodulesUpdate" Error "A submodule setting that runs a command.";
    GitattributesMissing "gitattributesMissing" Error "A `.gitattributes` that is not there.";
    GitattributesLarge "gitattributesLarge" Error "A `.gitattributes` too large to be read.";
    GitattributesLineLength "gitattributesLineLength" Error "A `.gitattributes` with too long a line.";
    GitattributesBlob "gitattributesBlob" Error "A `.gitattributes` that is no blob.";
    GitattributesSymlink "gitattributesSymlink" Error "A `.gitattributes` that is a symbolic link.";
    EmptyName "emptyName" Error "A tree entry without a name.";
    FullPathname "fullPathname" Error "A tree entry with a slash in its name.";
    HasDot "hasDot" Error "A tree entry named `.`.";
    HasDotdot "hasDotdot" Error "A tree entry named `..`.";
    HasDotgit "hasDotgit" Error "A tree entry that some file system takes for `.git`.";
    NullSha1 "nullSha1" Error "A tree entry with the null id.";
    ZeroPaddedFilemode "zeroPaddedFilemode" Error "A mode with a leading zero.";
    NulInCommit "nulInCommit" Error "A NUL in a commit's message.";
    LargePathname "largePathname" Warn "A tree entry with a very long name.";
    BadFilemode "badFilemode" Info "A mode with unusual permissions.";
    GitmodulesParse "gitmodulesParse" Info "A `.gitmodules` that cannot be parsed.";
    GitignoreSymlink "gitignoreSymlink" Info "A `.gitignore` that is a symbolic link.";
    MailmapSymlink "mailmapSymlink" Info "A `.mailmap` that is a symbolic link.";
    BadTagName "badTagName" Info "A tag name that cannot be a ref's.";
    MissingTaggerEntry "missingTaggerEntry" Info "A tag without a tagger, as early ones.";
    ExtraHeaderEntry "extraHeaderEntry" Ignore "A tag with further headers.";
    UnknownFilemode "unknownFilemode" Error "A mode of a type that git does not have.";
    TooManyParents "tooManyParents" Error "More parents than allowed.";
    HeaderTooLarge "headerTooLarge" Error "Larger headers than allowed.";
    BadGpgsig "badGpgsig" Error "A signature that is cut off.";
    TreeTooLarge "treeTooLarge" Error "More entries than allowed.";
}

impl MessageId {
    /// Git's name, read back without regard to case, as git does.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|id| id.as_str().eq_ignore_ascii_case(name))
    }

    /// Whether no override can make it milder: nothing behind it can be trusted.
    pub const fn is_fatal(self) -> bool {
        matches!(self, Self::NulInHeader | Self::UnterminatedHeader)
    }
}

impl fmt::Display for MessageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
