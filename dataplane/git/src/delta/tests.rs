use proptest::prelude::*;

use super::*;
use crate::testing::DeltaBuilder;

const LIMIT: u64 = 1 << 20;

#[test]
fn copies_and_inserts_make_the_result() {
    let base: Vec<u8> = (0..=255).cycle().take(70_000).collect();
    let delta = DeltaBuilder::new(70_000, 65_536 + 5 + 300)
        .copy(3, 0x1_0000)
        .insert(b"hello")
        .copy(69_700, 300)
        .build();
    let expected = [&base[3..65_539], b"hello", &base[69_700..]].concat();
    assert_eq!(apply(&base, &delta, LIMIT).unwrap(), expected);
}

#[test]
fn bad_input_051_a_copy_beyond_the_base_is_refused() {
    let delta = DeltaBuilder::new(10, 5).copy(6, 5).build();
    let error = DeltaError::CopyOutOfBounds { offset: 6, len: 5, base: 10 };
    assert_eq!(apply(&[0; 10], &delta, LIMIT), Err(error));
    let far = DeltaBuilder::new(10, 5).copy(u64::from(u32::MAX), 5).build();
    assert!(matches!(apply(&[0; 10], &far, LIMIT), Err(DeltaError::CopyOutOfBounds { .. })));
}

#[test]
fn bad_input_051_the_reserved_instruction_is_refused() {
    let delta = DeltaBuilder::new(10, 5).raw(&[0]).build();
    assert_eq!(apply(&[0; 10], &delta, LIMIT), Err(DeltaError::Reserved));
}

#[test]
fn bad_input_051_size_lies_are_refused() {
    let base = [7; 10];
    let short = DeltaBuilder::new(10, 6).copy(0, 5).build();
    assert_eq!(apply(&base, &short, LIMIT), Err(DeltaError::ResultSize { stated: 6, found: 5 }));
    let long = DeltaBuilder::new(10, 4).copy(0, 5).build();
    assert_eq!(apply(&base, &long, LIMIT), Err(DeltaError::ResultSize { stated: 4, found: 5 }));
    let other_base = DeltaBuilder::new(11, 5).copy(0, 5).build();
    assert_eq!(
        apply(&base, &other_base, LIMIT),
        Err(DeltaError::BaseSize { stated: 11, found: 10 })
    );
}

#[test]
fn bad_input_052_a_result_beyond_the_limit_is_refused_before_it_is_made() {
    let base = [0; 64];
    let at_limit = DeltaBuilder::new(64, 128).copy(0, 64).copy(0, 64).build();
    assert_eq!(apply(&base, &at_limit, 128).unwrap().len(), 128);
    assert_eq!(apply(&base, &at_limit, 127), Err(DeltaError::TooLarge { stated: 128, limit: 127 }));
    let tebibyte = DeltaBuilder::new(64, 1 << 40).copy(0, 64).build();
    assert!(matches!(apply(&base, &tebibyte, LIMIT), Err(DeltaError::TooLarge { .. })));
}

#[test]
fn a_delta_that_ends_early_is_refused() {
    let whole = DeltaBuilder::new(300, 303).copy(0, 300).insert(b"abc").build();
    let border = [whole.len() - 4];
    for len in 0..whole.len() {
        let error = apply(&[0; 300], &whole[..len], LIMIT).unwrap_err();
        let is_expected = if border.contains(&len) || len == 4 {
            matches!(error, DeltaError::ResultSize { .. })
        } else {
            matches!(error, DeltaError::Truncated(_))
        };
        assert!(is_expected, "{len}: {error}");
    }
}

#[test]
fn a_size_beyond_64_bits_is_refused() {
    assert_eq!(Header::parse(&[0xff; 12]), Err(DeltaError::SizeOverflow));
    let mut greatest = vec![0xff; 9];
    greatest.extend([0x01, 0x00]);
    let header = Header::parse(&greatest).unwrap();
    assert_eq!((header.base_size, header.result_size, header.len), (u64::MAX, 0, 11));
}

proptest! {
    #[test]
    fn applying_what_was_built_gives_the_result(
        base in proptest::collection::vec(any::<u8>(), 0..600),
        cuts in proptest::collection::vec((0.0..1.0_f64, 0.0..1.0_f64, any::<bool>()), 0..12),
    ) {
        let mut expected = Vec::new();
        let mut steps = Vec::new();
        for (start, len, is_copy) in cuts {
            let start = (start * base.len() as f64) as usize;
            let len = (len * (base.len() - start) as f64) as usize;
            if len > 0 {
                expected.extend_from_slice(&base[start..start + len]);
                steps.push((start, len, is_copy));
            }
        }
        let mut builder = DeltaBuilder::new(base.len() as u64, expected.len() as u64);
        for (start, len, is_copy) in steps {
            builder = match is_copy {
                true => builder.copy(start as u64, len as u64),
                false => builder.insert(&base[start..start + len]),
            };
        }
        prop_assert_eq!(apply(&base, &builder.build(), LIMIT).unwrap(), expected);
    }

    #[test]
    fn arbitrary_deltas_never_panic_and_never_exceed_what_they_state(
        base in proptest::collection::vec(any::<u8>(), 0..100),
        steps in proptest::collection::vec(any::<u8>(), 0..60),
        stated in 0_u64..500,
    ) {
        let delta = DeltaBuilder::new(base.len() as u64, stated).raw(&steps).build();
        let mut seen = 0;
        let outcome = apply_to(&base, &delta, |piece| seen += piece.len() as u64);
        prop_assert!(seen <= stated);
        prop_assert_eq!(outcome.is_ok(), apply(&base, &delta, LIMIT).is_ok());
        prop_assert!(apply(&base, &steps, LIMIT).map_or(0, |result| result.len() as u64) <= LIMIT);
    }
}
