/// Default of [`Limits::wants_max`].
const WANTS_MAX: usize = 100_000;
/// Default of [`Limits::haves_max`].
const HAVES_MAX: usize = 256 * 1_024;
/// Default of [`Limits::shallows_max`].
const SHALLOWS_MAX: usize = 100_000;
/// Default of [`Limits::ref_prefixes_max`].
const REF_PREFIXES_MAX: usize = 1_000;
/// Default of [`Limits::deepen_nots_max`].
const DEEPEN_NOTS_MAX: usize = 1_000;
/// Default of [`Limits::capability_lines_max`].
const CAPABILITY_LINES_MAX: usize = 64;
/// Default of [`Limits::rounds_max`].
const ROUNDS_MAX: usize = 512;
/// Default of [`Limits::commands_max`].
const COMMANDS_MAX: usize = 10_000;
/// Default of [`Limits::push_options_max`].
const PUSH_OPTIONS_MAX: usize = 64;
/// Default of [`Limits::push_option_bytes_max`].
const PUSH_OPTION_BYTES_MAX: usize = 1_024;
/// Default of [`Limits::push_text_bytes_max`].
const PUSH_TEXT_BYTES_MAX: usize = 16 * 1_024 * 1_024;

/// How much one request may hold (promises §6). Bytes on the wire and time are
/// limited by whoever reads the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Most different ids in `want` lines; for a repository that advertises more
    /// refs, as many as it advertises.
    pub wants_max: usize,
    /// Most ids in `have` lines that are kept; later ones are ignored, which costs
    /// the client a larger pack and nothing else.
    pub haves_max: usize,
    /// Most `shallow` lines.
    pub shallows_max: usize,
    /// Most `ref-prefix` lines; with more the whole listing is answered, as git does.
    pub ref_prefixes_max: usize,
    /// Most `deepen-not` lines.
    pub deepen_nots_max: usize,
    /// Most capability lines of one v2 command.
    pub capability_lines_max: usize,
    /// Most negotiation rounds of a v0 or v1 conversation.
    pub rounds_max: usize,
    /// Most commands that a push may carry out.
    pub commands_max: usize,
    /// Most push options.
    pub push_options_max: usize,
    /// Most bytes in a push option.
    pub push_option_bytes_max: usize,
    /// Most bytes of command lines, shallow lines and options of one push together,
    /// which bounds the memory that it can take before it is refused.
    pub push_text_bytes_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            wants_max: WANTS_MAX,
            haves_max: HAVES_MAX,
            shallows_max: SHALLOWS_MAX,
            ref_prefixes_max: REF_PREFIXES_MAX,
            deepen_nots_max: DEEPEN_NOTS_MAX,
            capability_lines_max: CAPABILITY_LINES_MAX,
            rounds_max: ROUNDS_MAX,
            commands_max: COMMANDS_MAX,
            push_options_max: PUSH_OPTIONS_MAX,
            push_option_bytes_max: PUSH_OPTION_BYTES_MAX,
            push_text_bytes_max: PUSH_TEXT_BYTES_MAX,
        }
    }
}
