//! Whatever packets arrive, the parsers answer with a request or an error.

use bytes::{Bytes, BytesMut};
use gitstratum_core::ObjectFormat;
use proptest::prelude::*;

use super::super::capabilities::Offered;
use super::super::{Exchange, Limits, Readiness, receive_pack, v0, v2};
use crate::pktline::Packet;

const ID: &str = "1111111111111111111111111111111111111111";

/// Lines that lead far into every parser, some with something wrong behind them.
fn any_line() -> impl Strategy<Value = Vec<u8>> {
    let word = prop_oneof![
        Just("command=fetch".to_owned()),
        Just("command=ls-refs".to_owned()),
        Just("object-format=sha1".to_owned()),
        Just(format!("want {ID}")),
        Just(format!("want {ID} multi_ack_detailed side-band-64k filter no-done")),
        Just(format!("have {ID}")),
        Just(format!("shallow {ID}")),
        Just(format!("{ID} {ID} refs/heads/a")),
        Just(format!("{ID} {ID} refs/heads/b\0 report-status push-options atomic")),
        Just("filter blob:limit=".to_owned()),
        Just("deepen ".to_owned()),
        Just("deepen-since ".to_owned()),
        Just("deepen-not ".to_owned()),
        Just("ref-prefix ".to_owned()),
        Just("done".to_owned()),
        Just(String::new()),
    ];
    let tail = prop_oneof![
        3 => Just(Vec::new()),
        1 => Just(b"\n".to_vec()),
        1 => any::<u32>().prop_map(|number| number.to_string().into_bytes()),
        1 => proptest::collection::vec(any::<u8>(), 0..20),
    ];
    (word, tail).prop_map(|(word, tail)| [word.into_bytes(), tail].concat())
}

fn any_packet() -> impl Strategy<Value = Packet> {
    prop_oneof![
        12 => any_line().prop_map(|line| Packet::Data(Bytes::from(line))),
        2 => Just(Packet::Flush),
        2 => Just(Packet::Delim),
        1 => Just(Packet::ResponseEnd),
    ]
}

/// Small enough to be reached.
fn tight() -> Limits {
    Limits {
        haves_max: 2,
        rounds_max: 2,
        ref_prefixes_max: 1,
        capability_lines_max: 3,
        commands_max: 1,
        push_text_bytes_max: 400,
        ..Limits::default()
    }
}

proptest! {
    #[test]
    fn gs_fe_03_v2_survives_any_packets(
        packets in proptest::collection::vec(any_packet(), 0..40),
    ) {
        let mut parser = v2::Parser::new(ObjectFormat::Sha1, tight());
        for packet in packets {
            match parser.accept(packet) {
                Ok(v2::Step::Request(v2::Request::Fetch(fetch))) => {
                    prop_assert!(fetch.haves.len() <= 2);
                }
                Ok(_) => {}
                Err(error) => {
                    prop_assert!(!error.to_string().chars().any(char::is_control));
                    break;
                }
            }
        }
    }

    #[test]
    fn gs_fe_03_v0_survives_any_packets(
        packets in proptest::collection::vec(any_packet(), 0..40),
    ) {
        let mut session = v0::Session::new(ObjectFormat::Sha1, Exchange::Stateful, tight());
        let mut out = BytesMut::new();
        for packet in packets {
            match session.accept(packet) {
                Ok(v0::Step::Round | v0::Step::Done) => {
                    let common = session.fetch().haves.clone();
                    session.answer(&common, Readiness::Ready, &mut out);
                    prop_assert_eq!(&session.fetch().haves, &common);
                }
                Ok(_) => {}
                Err(error) => {
                    prop_assert!(!error.to_string().chars().any(char::is_control));
                    break;
                }
            }
        }
    }

    #[test]
    fn gs_fe_08_receive_pack_survives_any_packets(
        packets in proptest::collection::vec(any_packet(), 0..40),
    ) {
        let offered = Offered { push_options: true };
        let mut parser = receive_pack::Parser::new(ObjectFormat::Sha1, offered, tight());
        for packet in packets {
            match parser.accept(packet) {
                Ok(Some(push)) => {
                    prop_assert!(push.commands.len() <= 1);
                    break;
                }
                Ok(None) => {}
                Err(error) => {
                    prop_assert!(!error.to_string().chars().any(char::is_control));
                    break;
                }
            }
        }
    }
}
