use std::ops::ControlFlow;

use bstr::ByteSlice as _;

use super::MessageId;
use super::report::Findings;

/// Bytes of a time zone: a sign and four digits.
const ZONE_LEN: usize = 5;
/// The farthest time zone accepted, as hours and minutes.
const ZONE_MAX: u32 = 2400;

/// Checks a person: `NAME <MAIL> SECONDS ZONE`, the line without its line feed.
/// Only the first fault of a person is told, as git does.
pub(super) fn check(person: &[u8], findings: &mut Findings<'_>) -> ControlFlow<()> {
    match find_fault(person) {
        None => ControlFlow::Continue(()),
        Some((id, text)) => findings.add(id, text),
    }
}

type Fault = (MessageId, &'static str);

fn find_fault(person: &[u8]) -> Option<Fault> {
    match split(person) {
        Err(fault) => Some(fault),
        Ok(after_mail) => find_date_fault(after_mail),
    }
}

/// What follows the mail address.
fn split(person: &[u8]) -> Result<&[u8], Fault> {
    if person.starts_with(b"<") {
        return Err((MessageId::MissingNameBeforeEmail, "missing space before email"));
    }
    let Some(open) = person.find_byteset(b"<>") else {
        return Err((MessageId::MissingEmail, "missing email"));
    };
    if person[open] == b'>' {
        return Err((MessageId::BadName, "bad name"));
    }
    if person[open - 1] != b' ' {
        return Err((MessageId::MissingSpaceBeforeEmail, "missing space before email"));
    }
    let mail = &person[open + 1..];
    match mail.find_byteset(b"<>") {
        Some(close) if mail[close] == b'>' => Ok(&mail[close + 1..]),
        _ => Err((MessageId::BadEmail, "bad email")),
    }
}

fn find_date_fault(after_mail: &[u8]) -> Option<Fault> {
    let Some(date) = after_mail.strip_prefix(b" ") else {
        return Some((MessageId::MissingSpaceBeforeDate, "missing space before date"));
    };
    // Git has always let more than one space pass.
    let date = date.trim_start_with(|letter| matches!(letter, ' ' | '\t'));
    if date.starts_with(b"0") && date.get(1) != Some(&b' ') {
        return Some((MessageId::ZeroPaddedDate, "zero-padded date"));
    }
    let digits = date.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let (seconds, rest) = date.split_at(digits);
    if digits > 0 && !is_time(seconds) {
        return Some((MessageId::BadDateOverflow, "date causes integer overflow"));
    }
    match rest.strip_prefix(b" ") {
        Some(zone) if digits > 0 => {
            (!is_zone(zone)).then_some((MessageId::BadTimezone, "bad time zone"))
        }
        _ => Some((MessageId::BadDate, "bad date")),
    }
}

fn is_time(digits: &[u8]) -> bool {
    std::str::from_utf8(digits).is_ok_and(|text| text.parse::<i64>().is_ok())
}

fn is_zone(zone: &[u8]) -> bool {
    let [b'+' | b'-', digits @ ..] = zone else {
        return false;
    };
    zone.len() == ZONE_LEN
        && digits.iter().all(u8::is_ascii_digit)
        && digits.iter().fold(0, |sum, digit| sum * 10 + u32::from(digit - b'0')) <= ZONE_MAX
}
