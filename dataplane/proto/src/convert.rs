use gitstratum_core::{ObjectFormat, ObjectId, PackId, SegmentId};

/// A field of a message that is not what it must be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("field {field}: {problem}")]
pub struct FieldError {
    /// Name of the field.
    pub field: &'static str,
    /// What is wrong with it.
    pub problem: &'static str,
}

/// The object id in `bytes`, told apart by its length.
///
/// # Errors
/// Names `field` when there are not 20 or 32 bytes.
pub fn object_id(field: &'static str, bytes: &[u8]) -> Result<ObjectId, FieldError> {
    ObjectId::from_slice(bytes)
        .ok_or(FieldError { field, problem: "an object id has 20 or 32 bytes" })
}

/// The pack id in `bytes`.
///
/// # Errors
/// Names `field` when there are not 16 bytes.
pub fn pack_id(field: &'static str, bytes: &[u8]) -> Result<PackId, FieldError> {
    PackId::from_slice(bytes).ok_or(FieldError { field, problem: "a pack id has 16 bytes" })
}

/// The segment id in `bytes`.
///
/// # Errors
/// Names `field` when there are not 16 bytes.
pub fn segment_id(field: &'static str, bytes: &[u8]) -> Result<SegmentId, FieldError> {
    SegmentId::from_slice(bytes).ok_or(FieldError { field, problem: "a segment id has 16 bytes" })
}

/// The object format of wire number 1 or 2.
///
/// # Errors
/// Names `field` for any other number.
pub fn format_from_wire(field: &'static str, number: u32) -> Result<ObjectFormat, FieldError> {
    match number {
        1 => Ok(ObjectFormat::Sha1),
        2 => Ok(ObjectFormat::Sha256),
        _ => Err(FieldError { field, problem: "an object format is 1 (sha1) or 2 (sha256)" }),
    }
}

/// The wire number of `format`.
pub const fn format_to_wire(format: ObjectFormat) -> u32 {
    match format {
        ObjectFormat::Sha1 => 1,
        ObjectFormat::Sha256 => 2,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_length_names_the_field() {
        assert_eq!(object_id("old", &[1; 19]).map_err(|e| e.field), Err("old"));
        assert!(object_id("old", &[1; 32]).is_ok());
        assert!(format_from_wire("object_format", 0).is_err());
        assert_eq!(
            format_from_wire("f", format_to_wire(ObjectFormat::Sha256)),
            Ok(ObjectFormat::Sha256)
        );
    }
}
