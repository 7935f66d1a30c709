//! What a `.gitmodules` file may say: a clone with submodules acts on it.

mod config;
mod url;

use self::config::{Config, Setting};
use super::report::{Findings, quoted};
use super::{GITMODULES_LEN_MAX, MessageId};

/// Checks the content of a `.gitmodules` file (bad input 71).
pub(super) fn check(content: &[u8], findings: &mut Findings<'_>) {
    if content.len() as u64 > GITMODULES_LEN_MAX {
        findings.note(MessageId::GitmodulesLarge, ".gitmodules too large to parse");
        return;
    }
    for setting in Config::new(content) {
        match setting {
            Ok(setting) => check_setting(&setting, findings),
            Err(config::Malformed) => {
                findings.note(MessageId::GitmodulesParse, "could not parse gitmodules blob");
            }
        }
    }
}

fn check_setting(setting: &Setting, findings: &mut Findings<'_>) {
    let Some(name) = setting.section.strip_prefix(b"submodule.") else {
        return;
    };
    if !is_safe_name(name) {
        let text = format!("disallowed submodule name: {}", quoted(name));
        findings.note(MessageId::GitmodulesName, text);
    }
    let Some(value) = &setting.value else {
        return;
    };
    let (id, what, is_safe) = match setting.key.as_slice() {
        b"url" => (MessageId::GitmodulesUrl, "url", url::is_safe(value)),
        b"path" => (MessageId::GitmodulesPath, "path", is_safe_path(value)),
        b"update" => (MessageId::GitmodulesUpdate, "update setting", !value.starts_with(b"!")),
        _ => return,
    };
    if !is_safe {
        findings.note(id, format!("disallowed submodule {what}: {}", quoted(value)));
    }
}

/// A name becomes a folder below `.git/modules`: it must not climb out.
fn is_safe_name(name: &[u8]) -> bool {
    !name.is_empty() && !name.split(|byte| matches!(byte, b'/' | b'\\')).any(|part| part == b"..")
}

/// A path becomes an argument, and is written to configuration files that strip
/// a carriage return at the end of a line.
fn is_safe_path(path: &[u8]) -> bool {
    !path.starts_with(b"-") && !path.iter().any(u8::is_ascii_control)
}

#[cfg(test)]
mod tests;
