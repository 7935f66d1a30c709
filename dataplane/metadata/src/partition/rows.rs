use bytes::Bytes;
use gitstratum_store::KeyRange;
use prost::Message;

use super::Error;

/// Version byte before every row and entry (S49).
pub(crate) const FORMAT_VERSION: u8 = 1;
/// Rows read at once by whole-range walks.
const PAGE_ROWS: usize = 1_024;

/// Read access to the rows of one group, as they were at one log index.
pub trait Rows {
    /// The value of `key`, if there is one.
    ///
    /// # Errors
    /// [`Error::Rows`] when the engine fails.
    fn get(&self, key: &[u8]) -> Result<Option<Bytes>, Error>;

    /// The first `limit` rows of `range`, by key.
    ///
    /// # Errors
    /// As [`Rows::get`].
    fn scan(&self, range: &KeyRange, limit: usize) -> Result<Vec<(Bytes, Bytes)>, Error>;
}

/// The same, with writes that later reads see.
pub trait RowsMut: Rows {
    /// Sets `key` to `value`.
    fn put(&mut self, key: Vec<u8>, value: Vec<u8>);

    /// Removes `key`, if it is there.
    fn delete(&mut self, key: Vec<u8>);
}

/// The bytes of a row or an entry: version, then the message.
pub(crate) fn encode(message: &impl Message) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(1 + message.encoded_len());
    bytes.push(FORMAT_VERSION);
    message.encode(&mut bytes).expect("because a Vec grows as needed");
    bytes
}

/// The message in the bytes of a row or an entry called `what`.
///
/// # Errors
/// [`Error::Format`] for another version, [`Error::Damaged`] for bytes that are no such message.
pub(crate) fn decode<M: Message + Default>(what: &'static str, bytes: &[u8]) -> Result<M, Error> {
    let (version, message) = bytes.split_first().ok_or(Error::Damaged { what })?;
    if *version != FORMAT_VERSION {
        return Err(Error::Format { what, version: *version });
    }
    M::decode(message).map_err(|_| Error::Damaged { what })
}

/// The row at `key`, decoded.
pub(crate) fn find<M: Message + Default>(
    rows: &dyn Rows,
    what: &'static str,
    key: &[u8],
) -> Result<Option<M>, Error> {
    rows.get(key)?.map(|bytes| decode(what, &bytes)).transpose()
}

/// Writes `message` at `key`.
pub(crate) fn store(rows: &mut dyn RowsMut, key: Vec<u8>, message: &impl Message) {
    rows.put(key, encode(message));
}

/// Calls `see` with every row of `range`, in order, reading a page at a time.
pub(crate) fn walk(
    rows: &dyn Rows,
    range: KeyRange,
    see: &mut dyn FnMut(&Bytes, &Bytes) -> Result<(), Error>,
) -> Result<(), Error> {
    let mut rest = range;
    loop {
        let page = rows.scan(&rest, PAGE_ROWS)?;
        for (key, value) in &page {
            see(key, value)?;
        }
        match page.last() {
            Some((last, _)) if page.len() == PAGE_ROWS => rest = rest.after(last),
            _ => return Ok(()),
        }
    }
}

/// Removes the first `limit` rows of `range`; says how many there were.
pub(crate) fn remove_range(
    rows: &mut dyn RowsMut,
    range: &KeyRange,
    limit: usize,
) -> Result<usize, Error> {
    let found = rows.scan(range, limit)?;
    for (key, _) in &found {
        rows.delete(key.to_vec());
    }
    Ok(found.len())
}

#[cfg(test)]
mod tests {
    use super::super::record::GroupRow;
    use super::*;

    #[test]
    fn s49_a_row_of_another_version_is_refused_by_name() {
        let mut bytes = encode(&GroupRow { log_time: 7, ..GroupRow::default() });
        assert_eq!(decode::<GroupRow>("group", &bytes).unwrap().log_time, 7);
        bytes[0] = 2;
        let refused = decode::<GroupRow>("group", &bytes);
        assert!(matches!(refused, Err(Error::Format { what: "group", version: 2 })));
        assert!(matches!(decode::<GroupRow>("group", &[]), Err(Error::Damaged { .. })));
    }
}
