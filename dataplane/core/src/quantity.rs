//! Spans and sizes as people write them in settings.

use std::time::Duration;

/// The span in `text`: up to nine digits and `s`, `m`, `h` or `d`. `None` if it is none.
pub fn parse_span(text: &str) -> Option<Duration> {
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    let seconds = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 60 * 60,
        "d" => 24 * 60 * 60,
        _ => return None,
    };
    Some(Duration::from_secs(number(digits, 9)? * seconds))
}

/// The bytes in `text`: up to fifteen digits, and perhaps `K`, `M`, `G` or `T` (powers of
/// 1024). `None` if they are none.
pub fn parse_bytes(text: &str) -> Option<u64> {
    let (digits, shift) = match text.strip_suffix(['K', 'M', 'G', 'T']) {
        None => (text, 0),
        Some(digits) => match text.as_bytes()[digits.len()] {
            b'K' => (digits, 10),
            b'M' => (digits, 20),
            b'G' => (digits, 30),
            _ => (digits, 40),
        },
    };
    number(digits, 15)?.checked_mul(1 << shift)
}

fn number(digits: &str, length_max: usize) -> Option<u64> {
    let is_plain = digits.bytes().all(|byte| byte.is_ascii_digit());
    (is_plain && (1..=length_max).contains(&digits.len())).then(|| digits.parse().ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_and_sizes_are_a_number_and_a_unit() {
        assert_eq!(parse_span("90s"), Some(Duration::from_secs(90)));
        assert_eq!(parse_span("2d"), Some(Duration::from_secs(172_800)));
        for bad in ["", "s", "10", "-1s", "1é", "9999999999s"] {
            assert_eq!(parse_span(bad), None, "{bad}");
        }
        assert_eq!(parse_bytes("4096"), Some(4_096));
        assert_eq!(parse_bytes("3M"), Some(3 << 20));
        for bad in ["", "M", "1m", "1.5G", "999999999999999T"] {
            assert_eq!(parse_bytes(bad), None, "{bad}");
        }
    }
}
