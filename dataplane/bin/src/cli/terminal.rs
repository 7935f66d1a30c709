//! Asks for a secret on the terminal, without showing it.

use std::io::{self, IsTerminal as _, Read as _, Write as _};

use rustix::termios::{
    LocalModes, OptionalActions, SpecialCodeIndex, Termios, tcgetattr, tcsetattr,
};

/// Longest secret, bytes.
const SECRET_BYTES_MAX: usize = 8 * 1024;
/// Keys that mean something.
const CTRL_C: u8 = 3;
const CTRL_D: u8 = 4;
const CTRL_U: u8 = 21;
const BACKSPACES: [u8; 2] = [8, 127];

/// The line that is typed after `prompt`, or the first of standard input where that is not a
/// terminal. `None` when nothing is typed: Ctrl-C, Ctrl-D, or an empty input.
pub(super) fn ask_secret(prompt: &str) -> io::Result<Option<String>> {
    let stdin = io::stdin();
    if !stdin.is_terminal() {
        let bytes = stdin.lock().take(SECRET_BYTES_MAX as u64).bytes();
        return read_line(bytes, Keys::Plain);
    }
    let mut errors = io::stderr();
    errors.write_all(prompt.as_bytes())?;
    errors.flush()?;
    let line = {
        let _silent = Silence::over(io::stdin())?;
        read_line(stdin.lock().bytes(), Keys::Typed)
    };
    errors.write_all(b"\n")?;
    line
}

/// Whether control characters are keys that somebody pressed.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Keys {
    Typed,
    Plain,
}

fn read_line(
    bytes: impl Iterator<Item = io::Result<u8>>,
    keys: Keys,
) -> io::Result<Option<String>> {
    let mut line = Vec::new();
    for byte in bytes {
        match (byte?, keys) {
            (b'\n' | b'\r', _) => break,
            (CTRL_C, Keys::Typed) => return Ok(None),
            (CTRL_D, Keys::Typed) if line.is_empty() => return Ok(None),
            (CTRL_U, Keys::Typed) => line.clear(),
            (byte, Keys::Typed) if BACKSPACES.contains(&byte) => drop(line.pop()),
            (byte, _) if line.len() < SECRET_BYTES_MAX => line.push(byte),
            _ => {}
        }
    }
    let text = String::from_utf8_lossy(&line).trim().to_owned();
    Ok((!text.is_empty()).then_some(text))
}

/// A terminal that shows nothing and hands over every key, Ctrl-C too, so that nothing can end
/// the program and leave it like that.
struct Silence {
    terminal: io::Stdin,
    before: Termios,
}

impl Silence {
    fn over(terminal: io::Stdin) -> io::Result<Self> {
        let before = tcgetattr(&terminal)?;
        let mut silent = before.clone();
        silent.local_modes -= LocalModes::ECHO | LocalModes::ICANON | LocalModes::ISIG;
        silent.special_codes[SpecialCodeIndex::VMIN] = 1;
        silent.special_codes[SpecialCodeIndex::VTIME] = 0;
        tcsetattr(&terminal, OptionalActions::Flush, &silent)?;
        Ok(Self { terminal, before })
    }
}

impl Drop for Silence {
    fn drop(&mut self) {
        // A terminal that has gone needs nothing any more.
        tcsetattr(&self.terminal, OptionalActions::Flush, &self.before).ok();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(bytes: &[u8], keys: Keys) -> Option<String> {
        read_line(bytes.iter().map(|byte| Ok(*byte)), keys).unwrap()
    }

    #[test]
    fn keys_of_a_terminal_do_what_they_say() {
        let typed = |bytes: &[u8]| read(bytes, Keys::Typed);
        assert_eq!(typed(b"gst_x\x7fy\rrest"), Some("gst_y".to_owned()));
        assert_eq!(typed(b"wrong\x15gst_y\n"), Some("gst_y".to_owned()));
        assert_eq!(typed(b"gst\x03\n"), None);
        assert_eq!(typed(b"\x04"), None);
        assert_eq!(typed(b"\n"), None);
    }

    #[test]
    fn other_input_gives_its_first_line() {
        assert_eq!(read(b" gst_y \nmore", Keys::Plain), Some("gst_y".to_owned()));
        assert_eq!(read(b"", Keys::Plain), None);
        let long = vec![b'a'; SECRET_BYTES_MAX + 9];
        assert_eq!(read(&long, Keys::Plain).map(|line| line.len()), Some(SECRET_BYTES_MAX));
    }
}
