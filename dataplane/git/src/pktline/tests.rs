use bytes::{BufMut, Bytes, BytesMut};
use proptest::prelude::*;

use super::*;

fn decode_all(mut decoder: Decoder, bytes: &[u8]) -> Result<Vec<Packet>, Error> {
    let mut buffer = BytesMut::from(bytes);
    let mut packets = Vec::new();
    while let Some(packet) = decoder.decode(&mut buffer)? {
        packets.push(packet);
    }
    decoder.finish(&buffer)?;
    Ok(packets)
}

fn decode_one(bytes: &[u8]) -> Result<Option<Packet>, Error> {
    Decoder::default().decode(&mut BytesMut::from(bytes))
}

fn encode(packets: &[Packet]) -> BytesMut {
    let mut out = BytesMut::new();
    for packet in packets {
        match packet {
            Packet::Data(payload) => data(&mut out, payload).unwrap(),
            Packet::Flush => flush(&mut out),
            Packet::Delim => delim(&mut out),
            Packet::ResponseEnd => response_end(&mut out),
        }
    }
    out
}

#[test]
fn gs_fe_04_all_frame_kinds_round_trip() {
    let packets = [
        Packet::Data(Bytes::from_static(b"want\n")),
        Packet::Delim,
        Packet::Data(Bytes::new()),
        Packet::Flush,
        Packet::ResponseEnd,
    ];
    let bytes = encode(&packets);
    assert_eq!(&bytes[..], b"0009want\n0001000400000002");
    assert_eq!(decode_all(Decoder::default(), &bytes), Ok(packets.to_vec()));
}

#[test]
fn bad_input_001_length_three_is_refused() {
    assert_eq!(decode_one(b"0003"), Err(Error::Length { length: 3 }));
}

#[test]
fn bad_input_002_a_length_is_four_hex_digits_of_either_case() {
    for bad in [&b"+00a"[..], b" 00a", b"0x0a", b"-001", b"00g0", b"\xff\xff\xff\xff"] {
        assert_eq!(decode_one(bad), Err(Error::LengthDigits), "{}", bad.escape_ascii());
    }
    let mut bytes = b"00fF".to_vec();
    bytes.resize(255, b'x');
    let expected = Packet::Data(Bytes::from(vec![b'x'; 251]));
    assert_eq!(decode_one(&bytes), Ok(Some(expected)));
}

#[test]
fn bad_input_003_a_length_above_65520_is_refused_before_its_payload() {
    for length in 0xfff1..=0xffff_usize {
        let header = format!("{length:04x}");
        assert_eq!(decode_one(header.as_bytes()), Err(Error::Length { length }));
    }
    assert_eq!(decode_one(b"fff0"), Ok(None));
    assert_eq!(decode_one(b"ffef"), Ok(None));
}

#[test]
fn bad_input_004_a_stream_may_not_end_inside_a_packet() {
    let decoder = Decoder::default();
    assert_eq!(decode_all(decoder.clone(), b"000aabc"), Err(Error::Truncated { left: 7 }));
    assert_eq!(decode_all(decoder.clone(), b"00"), Err(Error::Truncated { left: 2 }));
    assert_eq!(decode_all(decoder, b""), Ok(vec![]));
}

#[test]
fn bad_input_006_flushes_in_a_row_are_cut_at_a_thousand() {
    let max = FLUSHES_MAX as usize;
    for count in [max - 1, max] {
        let flushes = vec![Packet::Flush; count];
        assert_eq!(decode_all(Decoder::default(), &encode(&flushes)), Ok(flushes));
    }
    let million = encode(&vec![Packet::Flush; 1_000_000]);
    let refused = decode_all(Decoder::default(), &million);
    assert_eq!(refused, Err(Error::Flushes { max: FLUSHES_MAX }));
}

#[test]
fn flushes_between_other_packets_are_not_counted_together() {
    let few = Limits { flushes_max: 1, ..Limits::default() };
    let bytes = b"000000010000000200000005x0000";
    assert_eq!(decode_all(Decoder::new(few), bytes).map(|packets| packets.len()), Ok(7));
    let twice = decode_all(Decoder::new(few), b"00000000");
    assert_eq!(twice, Err(Error::Flushes { max: 1 }));
}

#[test]
fn bad_input_011_other_protocols_are_refused_at_their_first_bytes() {
    for banner in [&b"\x16\x03\x01"[..], b"GET / HTTP/1.1\r\n", b"SSH-2.0-OpenSSH", b"P"] {
        assert_eq!(decode_one(banner), Err(Error::LengthDigits), "{}", banner.escape_ascii());
    }
}

#[test]
fn what_follows_a_packet_stays_in_the_buffer() {
    let mut buffer = BytesMut::from(&b"0000PACK"[..]);
    assert_eq!(Decoder::default().decode(&mut buffer), Ok(Some(Packet::Flush)));
    assert_eq!(&buffer[..], b"PACK");
}

#[test]
fn a_payload_fits_up_to_65516_bytes() {
    for length in [PAYLOAD_BYTES_MAX - 1, PAYLOAD_BYTES_MAX] {
        let packets = vec![Packet::Data(Bytes::from(vec![7; length]))];
        assert_eq!(decode_all(Decoder::default(), &encode(&packets)), Ok(packets));
    }
    let length = PAYLOAD_BYTES_MAX + 1;
    let mut out = BytesMut::new();
    assert_eq!(data(&mut out, &vec![7; length]), Err(Error::Payload { length }));
    assert!(out.is_empty());
}

#[test]
fn a_smaller_payload_limit_holds() {
    let limits = Limits { payload_bytes_max: 3, ..Limits::default() };
    assert!(decode_all(Decoder::new(limits), b"0007abc").is_ok());
    assert_eq!(decode_all(Decoder::new(limits), b"0008"), Err(Error::Length { length: 8 }));
}

#[test]
fn side_band_frames_hold_up_to_65515_bytes() {
    let header = |length| side_band_header(Band::Payload, length);
    assert_eq!(header(SIDE_BAND_BYTES_MAX), Ok(*b"fff0\x01"));
    assert_eq!(header(SIDE_BAND_BYTES_MAX - 1), Ok(*b"ffef\x01"));
    let length = SIDE_BAND_BYTES_MAX + 1;
    assert_eq!(header(length), Err(Error::Payload { length }));
    assert_eq!(header(usize::MAX), Err(Error::Payload { length: usize::MAX }));
}

#[test]
fn a_payload_is_cut_into_the_frames_that_were_negotiated() {
    let frames = |framing: SideBand, length: usize| {
        let mut out = BytesMut::new();
        side_band(&mut out, framing, Band::Payload, &vec![b'x'; length]);
        decode_all(Decoder::default(), &out).unwrap().len()
    };
    assert_eq!(frames(SideBand::Large, 0), 0);
    assert_eq!(frames(SideBand::Large, SIDE_BAND_BYTES_MAX), 1);
    assert_eq!(frames(SideBand::Large, SIDE_BAND_BYTES_MAX + 1), 2);
    assert_eq!(frames(SideBand::Small, 995), 1);
    assert_eq!(frames(SideBand::Small, 996), 2);
}

#[test]
fn without_side_bands_only_the_payload_goes_out() {
    let mut out = BytesMut::new();
    side_band(&mut out, SideBand::None, Band::Progress, b"counting");
    side_band(&mut out, SideBand::None, Band::Fatal, b"gave up");
    side_band(&mut out, SideBand::None, Band::Payload, b"PACK");
    assert_eq!(&out[..], b"PACK");
}

#[test]
fn the_keep_alive_packet_is_an_empty_payload_frame() {
    let packet = Packet::Data(Bytes::from_static(b"\x01"));
    assert_eq!(decode_one(KEEP_ALIVE), Ok(Some(packet)));
}

#[test]
fn texts_lose_control_characters_and_are_cut_to_a_packet() {
    let mut out = BytesMut::new();
    error(&mut out, "bad \x1b[31mref\x07\r\n\u{9b}x\u{202e}y");
    assert_eq!(&out[..], b"0017ERR bad [31mref  xy");
    out.clear();
    text(&mut out, &"é".repeat(PAYLOAD_BYTES_MAX));
    let Ok(Some(Packet::Data(line))) = Decoder::default().decode(&mut out) else {
        panic!("because a text is one packet")
    };
    assert!(line.len() >= PAYLOAD_BYTES_MAX - 1 && line.ends_with("é\n".as_bytes()));
}

fn any_packet() -> impl Strategy<Value = Packet> {
    let lengths = prop_oneof![
        4 => 0..200_usize,
        1 => PAYLOAD_BYTES_MAX - 2..=PAYLOAD_BYTES_MAX,
    ];
    prop_oneof![
        6 => (lengths, any::<u8>()).prop_map(|(n, byte)| Packet::Data(vec![byte; n].into())),
        1 => Just(Packet::Flush),
        1 => Just(Packet::Delim),
        1 => Just(Packet::ResponseEnd),
    ]
}

/// Bytes that are pkt-lines for a while more often than chance would have it.
fn almost_packets() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        Just(b"0000".to_vec()),
        (4..40_usize, 0..40_usize).prop_map(|(length, sent)| {
            let mut bytes = format!("{length:04x}").into_bytes();
            bytes.put_bytes(b'x', sent);
            bytes
        }),
        proptest::collection::vec(any::<u8>(), 0..8),
    ];
    proptest::collection::vec(piece, 0..20).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn gs_fe_04_chunking_never_changes_what_is_decoded(
        packets in proptest::collection::vec(any_packet(), 0..12),
        cuts in proptest::collection::vec(1..70_000_usize, 1..8),
    ) {
        let bytes = encode(&packets);
        let (mut decoder, mut buffer, mut found) =
            (Decoder::default(), BytesMut::new(), Vec::new());
        let mut rest = &bytes[..];
        for cut in cuts.iter().cycle() {
            let (chunk, tail) = rest.split_at((*cut).min(rest.len()));
            buffer.extend_from_slice(chunk);
            rest = tail;
            while let Some(packet) = decoder.decode(&mut buffer).unwrap() {
                found.push(packet);
            }
            if rest.is_empty() {
                break;
            }
        }
        prop_assert_eq!(found, packets);
        prop_assert_eq!(decoder.finish(&buffer), Ok(()));
    }

    #[test]
    fn gs_fe_04_arbitrary_bytes_never_panic_and_agree_byte_by_byte(bytes in almost_packets()) {
        let whole = decode_all(Decoder::default(), &bytes);
        let (mut decoder, mut buffer, mut found) =
            (Decoder::default(), BytesMut::new(), Vec::new());
        let mut failure = None;
        for byte in &bytes {
            buffer.put_u8(*byte);
            match decoder.decode(&mut buffer) {
                Ok(packet) => found.extend(packet),
                Err(error) => {
                    failure = Some(error);
                    break;
                }
            }
        }
        let bit_by_bit = match failure {
            Some(error) => Err(error),
            None => decoder.finish(&buffer).map(|()| found),
        };
        prop_assert_eq!(bit_by_bit, whole);
    }
}
