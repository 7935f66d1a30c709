/// One line `KEY = VALUE` of a configuration file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Setting {
    /// The section and, after a dot, the subsection.
    pub(super) section: Vec<u8>,
    /// In lower case.
    pub(super) key: Vec<u8>,
    /// `None` for a key alone, which means *true*.
    pub(super) value: Option<Vec<u8>>,
}

/// The file is not as git reads it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Malformed;

/// The settings of a configuration file in git's syntax, in order, without
/// following includes. Ends after the first fault.
pub(super) struct Config<'a> {
    rest: &'a [u8],
    section: Vec<u8>,
}

impl<'a> Config<'a> {
    pub(super) fn new(content: &'a [u8]) -> Self {
        let rest = content.strip_prefix("\u{feff}".as_bytes()).unwrap_or(content);
        Self { rest, section: Vec::new() }
    }

    /// The next byte; a line may end in CR LF, which reads as LF. `None` at the end.
    fn next_byte(&mut self) -> Option<u8> {
        if let Some(rest) = self.rest.strip_prefix(b"\r\n") {
            self.rest = rest;
            return Some(b'\n');
        }
        let (byte, rest) = self.rest.split_first()?;
        self.rest = rest;
        Some(*byte)
    }

    /// The next byte, where the file's end ends the line as well.
    fn next_in_line(&mut self) -> u8 {
        self.next_byte().unwrap_or(b'\n')
    }

    fn skip_line(&mut self) {
        while self.next_in_line() != b'\n' {}
    }

    fn next_setting(&mut self) -> Result<Option<Setting>, Malformed> {
        while let Some(byte) = self.next_byte() {
            match byte {
                b'#' | b';' => self.skip_line(),
                b'[' => self.section = self.parse_section()?,
                _ if is_space(byte) => {}
                _ if byte.is_ascii_alphabetic() => return self.parse_setting(byte).map(Some),
                _ => return Err(Malformed),
            }
        }
        Ok(None)
    }

    /// `[section]`, `[section.subsection]` or `[section "subsection"]`.
    fn parse_section(&mut self) -> Result<Vec<u8>, Malformed> {
        let mut name = Vec::new();
        loop {
            match self.next_byte().ok_or(Malformed)? {
                b']' => return Ok(name),
                byte if is_space(byte) => return self.parse_subsection(name, byte),
                byte if is_key_byte(byte) || byte == b'.' => name.push(byte.to_ascii_lowercase()),
                _ => return Err(Malformed),
            }
        }
    }

    fn parse_subsection(&mut self, mut name: Vec<u8>, space: u8) -> Result<Vec<u8>, Malformed> {
        let mut byte = space;
        while is_space(byte) {
            if byte == b'\n' {
                return Err(Malformed);
            }
            byte = self.next_in_line();
        }
        if byte != b'"' {
            return Err(Malformed);
        }
        name.push(b'.');
        loop {
            let byte = match self.next_in_line() {
                b'"' => break,
                b'\\' => self.next_in_line(),
                byte => byte,
            };
            if byte == b'\n' {
                return Err(Malformed);
            }
            name.push(byte);
        }
        if self.next_in_line() == b']' { Ok(name) } else { Err(Malformed) }
    }

    fn parse_setting(&mut self, first: u8) -> Result<Setting, Malformed> {
        let mut key = vec![first.to_ascii_lowercase()];
        let mut byte = self.next_in_line();
        while is_key_byte(byte) {
            key.push(byte.to_ascii_lowercase());
            byte = self.next_in_line();
        }
        while matches!(byte, b' ' | b'\t') {
            byte = self.next_in_line();
        }
        let value = match byte {
            b'\n' => None,
            b'=' => Some(self.parse_value()?),
            _ => return Err(Malformed),
        };
        Ok(Setting { section: self.section.clone(), key, value })
    }

    /// A value up to its line's end: outer spaces and comments are cut off
    /// unless quoted, a backslash escapes or joins lines.
    fn parse_value(&mut self) -> Result<Vec<u8>, Malformed> {
        let mut value = Vec::new();
        let mut spaces = 0;
        let mut is_quoted = false;
        loop {
            match self.next_in_line() {
                b'\n' if is_quoted => return Err(Malformed),
                b'\n' => return Ok(value),
                b'#' | b';' if !is_quoted => {
                    self.skip_line();
                    return Ok(value);
                }
                byte if is_space(byte) && !is_quoted => {
                    spaces += usize::from(!value.is_empty());
                }
                byte => {
                    value.extend(std::iter::repeat_n(b' ', std::mem::take(&mut spaces)));
                    match byte {
                        b'"' => is_quoted = !is_quoted,
                        b'\\' => value.extend(self.parse_escape()?),
                        _ => value.push(byte),
                    }
                }
            }
        }
    }

    /// What a backslash and the next byte stand for; nothing at a line's end.
    fn parse_escape(&mut self) -> Result<Option<u8>, Malformed> {
        match self.next_in_line() {
            b'\n' => Ok(None),
            b't' => Ok(Some(b'\t')),
            b'b' => Ok(Some(0x08)),
            b'n' => Ok(Some(b'\n')),
            byte @ (b'\\' | b'"') => Ok(Some(byte)),
            _ => Err(Malformed),
        }
    }
}

impl Iterator for Config<'_> {
    type Item = Result<Setting, Malformed>;

    fn next(&mut self) -> Option<Self::Item> {
        let setting = self.next_setting();
        if setting.is_err() {
            self.rest = &[];
        }
        setting.transpose()
    }
}

const fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r')
}

const fn is_key_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'-'
}
