//! Reads the examples on the pages of `docs/formats`, so that the pages stay true (S49).

use gitstratum_core::decode_hex;

/// The bytes of the one ```` ```hex ```` block of `page`. A line is hex bytes, then
/// perhaps `x N` to repeat them, then perhaps `#` and a comment.
pub(crate) fn bytes_of(page: &str) -> Vec<u8> {
    let (_, block) = page.split_once("```hex\n").expect("the page has a hex block");
    let (block, after) = block.split_once("```").expect("the hex block ends");
    assert!(!after.contains("```hex"), "one hex block a page");
    block.lines().flat_map(line_bytes).collect()
}

fn line_bytes(line: &str) -> Vec<u8> {
    let code = line.split('#').next().unwrap_or_default();
    let (hex, times) = code.split_once(" x ").unwrap_or((code, "1"));
    let digits: String = hex.split_whitespace().collect();
    let bytes = decode_hex(digits.as_bytes()).expect("the line is hex");
    bytes.repeat(times.trim().parse().expect("a count follows the x"))
}

/// Every way to flip one bit of `bytes`.
pub(crate) fn flips(bytes: &[u8]) -> impl Iterator<Item = Vec<u8>> {
    (0..bytes.len() * 8).map(|bit| {
        let mut damaged = bytes.to_vec();
        damaged[bit / 8] ^= 1 << (bit % 8);
        damaged
    })
}

#[test]
fn a_page_is_read_as_it_is_written() {
    let page = "text\n```hex\n00 01  # two\nff x 3   # again\n\n```\nmore";
    assert_eq!(bytes_of(page), [0, 1, 0xff, 0xff, 0xff]);
    assert_eq!(flips(&[0]).count(), 8);
}
