/// `text` as it may reach a person's terminal: control characters and those that
/// turn the direction of writing are taken out, white space among them becomes one
/// space (promises §5).
pub fn strip_controls(text: &str) -> String {
    text.chars().filter_map(plain).collect()
}

fn plain(character: char) -> Option<char> {
    match character {
        '\n' | '\r' | '\t' => Some(' '),
        '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => None,
        other => (!other.is_control()).then_some(other),
    }
}

/// The longest front part of `text` that has at most `bytes_max` bytes.
pub(crate) fn truncate(text: &str, bytes_max: usize) -> &str {
    &text[..text.floor_char_boundary(bytes_max)]
}
