use proptest::prelude::*;

use super::*;

#[test]
fn ids_are_those_of_git() {
    let cases = [
        (ObjectFormat::Sha1, "e69de29bb2d1d6434b8b29ae775ad8c2e48c5391"),
        (ObjectFormat::Sha256, "473a0f4c3be8a93681a267e3b1e9a7dcda1185436fe141f7749120a303721813"),
    ];
    for (format, empty_blob) in cases {
        let id = object_id(format, ObjectKind::Blob, b"").unwrap();
        assert_eq!(id.to_string(), empty_blob);
    }
}

#[test]
fn p_i3_a_detected_collision_is_an_error_that_names_the_object() {
    let error = settle::<()>(Err(()), ObjectKind::Blob, 7).unwrap_err();
    assert_eq!(error.to_string(), "blob of 7 bytes is part of a sha-1 collision attack");
    assert_eq!(error.kind(), ErrorKind::Invalid);
}

#[test]
fn a_checksum_is_the_plain_hash_of_the_bytes() {
    for (format, expected) in [
        (ObjectFormat::Sha1, "da39a3ee5e6b4b0d3255bfef95601890afd80709"),
        (ObjectFormat::Sha256, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"),
    ] {
        let checksum = ChecksumHasher::new(format).finish();
        assert_eq!(gitstratum_core::encode_hex(&checksum), expected);
    }
}

proptest! {
    #[test]
    fn p_i3_sha1_agrees_with_a_second_implementation(content in proptest::collection::vec(any::<u8>(), 0..4096)) {
        let mut second = sha1_checked::Sha1::new();
        sha1_checked::Digest::update(&mut second, header(ObjectKind::Blob, content.len() as u64));
        sha1_checked::Digest::update(&mut second, &content);
        let outcome = second.try_finalize();
        let id = object_id(ObjectFormat::Sha1, ObjectKind::Blob, &content).unwrap();
        prop_assert!(!outcome.has_collision());
        prop_assert_eq!(id.as_bytes(), outcome.hash().as_slice());
    }

    #[test]
    fn streaming_in_any_pieces_equals_one_shot(
        content in proptest::collection::vec(any::<u8>(), 0..5000),
        cuts in proptest::collection::vec(1_usize..700, 0..20),
    ) {
        for format in [ObjectFormat::Sha1, ObjectFormat::Sha256] {
            let mut hasher = DigestHasher::new(format, ObjectKind::Tree, content.len() as u64);
            let mut rest = content.as_slice();
            for cut in &cuts {
                let (piece, later) = rest.split_at((*cut).min(rest.len()));
                hasher.update(piece);
                rest = later;
            }
            hasher.update(rest);
            prop_assert_eq!(
                hasher.finish().unwrap(),
                digest(format, ObjectKind::Tree, &content).unwrap()
            );
        }
    }
}
