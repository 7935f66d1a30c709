use bytes::{BufMut, BytesMut};

use super::{Error, HEADER_BYTES, PAYLOAD_BYTES_MAX, strip_controls, truncate};

/// Appends `0000`.
pub fn flush(out: &mut BytesMut) {
    out.put_slice(b"0000");
}

/// Appends `0001`.
pub fn delim(out: &mut BytesMut) {
    out.put_slice(b"0001");
}

/// Appends `0002`.
pub fn response_end(out: &mut BytesMut) {
    out.put_slice(b"0002");
}

/// Appends a packet with `payload` as it is.
///
/// # Errors
/// [`Error::Payload`] when it has more than [`PAYLOAD_BYTES_MAX`] bytes.
pub fn data(out: &mut BytesMut, payload: &[u8]) -> Result<(), Error> {
    if payload.len() > PAYLOAD_BYTES_MAX {
        return Err(Error::Payload { length: payload.len() });
    }
    frame(out, |out| out.put_slice(payload));
    Ok(())
}

/// Appends `text` as a line: control characters taken out, cut to what fits, and a
/// line feed.
pub fn text(out: &mut BytesMut, text: &str) {
    let plain = strip_controls(text);
    frame(out, |out| {
        out.put_slice(truncate(&plain, PAYLOAD_BYTES_MAX - 1).as_bytes());
        out.put_u8(b'\n');
    });
}

/// Appends an `ERR` packet, which ends the conversation: control characters of
/// `message` are taken out, and it is cut to what fits.
pub fn error(out: &mut BytesMut, message: &str) {
    const MARK: &[u8] = b"ERR ";
    let plain = strip_controls(message);
    frame(out, |out| {
        out.put_slice(MARK);
        out.put_slice(truncate(&plain, PAYLOAD_BYTES_MAX - MARK.len()).as_bytes());
    });
}

/// Appends a packet whose payload `fill` writes: ids, checked names and words of
/// ours, so that it cannot outgrow a packet.
///
/// # Panics
/// When it does: the caller put something unbounded in.
pub(crate) fn frame(out: &mut BytesMut, fill: impl FnOnce(&mut BytesMut)) {
    let start = out.len();
    out.put_bytes(b'0', HEADER_BYTES);
    fill(out);
    let header = length_digits(out.len() - start)
        .expect("because callers put ids, checked names and cut texts into a packet");
    out[start..start + HEADER_BYTES].copy_from_slice(&header);
}

/// The header of a packet of `length` bytes, itself included; `None` if no packet is
/// that long.
pub(super) fn length_digits(length: usize) -> Option<[u8; HEADER_BYTES]> {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    (length <= HEADER_BYTES + PAYLOAD_BYTES_MAX)
        .then(|| [12, 8, 4, 0].map(|shift| DIGITS[(length >> shift) & 0xf]))
}
