//! What a process with a good certificate may do to the bulk port, and does not get.

use std::time::Duration;

use gitstratum_client::bulk::{BulkRead as _, Span};
use gitstratum_core::ProcessRole;
use gitstratum_identity::{Peer, Service as Port};
use gitstratum_object::Config;
use gitstratum_proto::bulk::{KIND_HEADER, RANGES_MAX, READ_PATH, SEGMENTS_PATH};
use gitstratum_proto::object::v1::{Range, ReadRequest, VerifyRequest};
use prost::Message as _;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tonic::Code;

use crate::partition::Partitions;
use crate::world::{CLUSTER, Disk, NODE, World, segment, whole};

const SMALL: usize = 1_000;
/// More than lies in the buffers between a node and a reader that takes nothing.
const LARGE: usize = 8 * 1024 * 1024;
/// Longest that one who behaves waits.
const PATIENCE: Duration = Duration::from_secs(20);

/// Says `bytes` on a connection of a process of `role`; what is answered until it ends.
async fn say(world: &World, role: ProcessRole, bytes: &[u8]) -> String {
    let dialer = world.network.dialer(Peer { cluster: CLUSTER, role, node: NODE });
    let mut stream = dialer.dial(NODE, Port::Bulk).await.unwrap();
    let talking = async {
        // The node may close before it has read all: what it said counts.
        drop(stream.write_all(bytes).await);
        let mut heard = Vec::new();
        drop(stream.read_to_end(&mut heard).await);
        heard
    };
    let heard = tokio::time::timeout(PATIENCE, talking).await.expect("it is let hang");
    String::from_utf8_lossy(&heard).into_owned()
}

fn call(line: &str, body: &[u8]) -> Vec<u8> {
    let length = body.len();
    let head = format!(
        "{line} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n"
    );
    [head.as_bytes(), body].concat()
}

fn reading(segment_id: &[u8], ranges: Vec<Range>) -> Vec<u8> {
    let request = ReadRequest { segment_id: segment_id.to_vec().into(), ranges };
    call(&format!("POST {READ_PATH}"), &request.encode_to_vec())
}

/// The status, and the kind of what went wrong.
fn refusal(heard: &str) -> (&str, &str) {
    let status = heard.split(' ').nth(1).unwrap_or(heard);
    let kinds = heard.lines().find_map(|line| line.strip_prefix(KIND_HEADER));
    (status, kinds.map_or("", |kind| kind.trim_start_matches([':', ' '])))
}

#[tokio::test]
async fn bad_input_161_calls_that_are_none_are_refused_and_change_nothing() {
    let disk = Disk::new();
    let world = World::start(&disk).await;
    let made = segment(1, SMALL, CLUSTER);
    world.write(&made).await.unwrap();
    let (id, frontend) = (made.id, ProcessRole::Frontend);
    let many = vec![Range { offset: 0, length: 1 }; RANGES_MAX + 1];
    let cut = &made.bytes[..SMALL / 2];
    for (what, bytes) in [
        ("no message", call(&format!("POST {READ_PATH}"), b"\xff\xff\xff")),
        ("a short id", reading(b"abc", vec![Range { offset: 0, length: 1 }])),
        ("a long id", reading(&[1; 17], vec![Range { offset: 0, length: 1 }])),
        ("too many ranges", reading(&id.0, many)),
        ("too long a body", call(&format!("POST {READ_PATH}"), &vec![8; RANGES_MAX * 32])),
        ("another method", call(&format!("DELETE {SEGMENTS_PATH}{id}"), b"")),
        ("another path", call("POST /v2/read", b"")),
        ("a path that climbs", call(&format!("PUT {SEGMENTS_PATH}../../etc/passwd"), cut)),
        ("an id in capitals and more", call(&format!("PUT {SEGMENTS_PATH}{id}/x"), cut)),
        ("no segment", call(&format!("PUT {SEGMENTS_PATH}{}", "5".repeat(32)), b"no segment")),
        ("nothing", call(&format!("PUT {SEGMENTS_PATH}{}", "6".repeat(32)), b"")),
        ("another id", call(&format!("PUT {SEGMENTS_PATH}{}", "7".repeat(32)), &made.bytes)),
        ("half of it", call(&format!("PUT {SEGMENTS_PATH}{}", "8".repeat(32)), cut)),
    ] {
        let heard = say(&world, frontend, &bytes).await;
        let (status, kind) = refusal(&heard);
        assert!(status.starts_with('4'), "{what}: {heard}");
        assert!(!["", "bug", "unavailable"].contains(&kind), "{what}: {heard}");
    }
    let again = call(&format!("PUT {SEGMENTS_PATH}{id}"), &made.bytes);
    assert_eq!(refusal(&say(&world, frontend, &again).await).0, "409", "it is there");
    assert_eq!(world.read(id, whole(&made)).await.unwrap(), made.entries);
    assert_eq!(world.figure("gitstratum_object_segments"), 1);
    world.stop().await;
}

#[tokio::test]
async fn bad_input_161_ranges_outside_a_segment_are_refused_and_no_damage() {
    let disk = Disk::new();
    let world = World::start(&disk).await;
    for length in [SMALL, 1_500_000] {
        let made = segment(u8::try_from(length % 251).unwrap(), length, CLUSTER);
        world.write(&made).await.unwrap();
        let end = length as u64;
        for (offset, length) in [
            (end + 1, 1),
            (0, u64::MAX),
            (u64::MAX, u64::MAX),
            (u64::MAX - 1, 1),
            (end - 1, 1 << 40),
        ] {
            let refused = world.read(made.id, Span { offset, length }).await;
            let refused = refused.map(|bytes| bytes.len()).expect_err("it was given");
            assert_eq!(refused.kind(), gitstratum_core::ErrorKind::Invalid, "{refused}");
        }
        assert_eq!(world.read(made.id, whole(&made)).await.unwrap(), made.entries);
    }
    assert_eq!(world.figure("gitstratum_object_damage_found_total"), 0);
    world.stop().await;
}

#[tokio::test]
async fn bad_input_161_a_request_that_does_not_come_is_let_go() {
    let (disk, partitions) = (Disk::new(), Partitions::default());
    let on = (std::sync::Arc::clone(&disk.files) as _, std::sync::Arc::clone(&disk.engine) as _);
    let quick = |config| Config { write_idle: Duration::from_millis(50), ..config };
    let world = World::start_before(&partitions, on, quick).await;
    for line in [format!("POST {READ_PATH}"), format!("PUT {SEGMENTS_PATH}{}", "5".repeat(32))] {
        let head = format!("{line} HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\nabc");
        let heard = say(&world, ProcessRole::Frontend, head.as_bytes()).await;
        assert!(["400", "503"].contains(&refusal(&heard).0), "{heard}");
    }
    world.stop().await;
}

/// Each of them once took a thread of the few that may block, and the node stood still.
#[test]
fn p_l4_bad_input_102_readers_that_take_nothing_hold_up_nobody() {
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    let runtime = runtime.worker_threads(2).max_blocking_threads(4).enable_all().build().unwrap();
    runtime.block_on(async {
        let disk = Disk::new();
        let world = World::start(&disk).await;
        let (large, small) = (segment(1, LARGE, CLUSTER), segment(2, SMALL, CLUSTER));
        world.write(&large).await.unwrap();
        let mut readers = Vec::new();
        let work = async {
            for _ in 0..8 {
                let client = world.client(ProcessRole::Frontend);
                readers.push(client.read(NODE, large.id, vec![whole(&large)]).await.unwrap());
            }
            world.write(&small).await.unwrap();
            assert_eq!(world.read(small.id, whole(&small)).await.unwrap(), small.entries);
        };
        tokio::time::timeout(PATIENCE, work).await.expect("somebody is held up");
        drop(readers);
        world.stop().await;
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_input_161_answers_that_nobody_reads_are_few_at_once() {
    let disk = Disk::new();
    let world = World::start(&disk).await;
    // None of them is here: what is said of that is more than lies in any buffer.
    let ids = (0..20_000_u128).map(|number| number.to_be_bytes().to_vec().into());
    let request = VerifyRequest { segment_ids: ids.collect() };
    let (mut unread, mut refused) = (Vec::new(), 0);
    let mut calls = world.calls(ProcessRole::Control);
    for _ in 0..40 {
        match calls.verify(request.clone()).await {
            Ok(answer) => unread.push(answer),
            Err(status) => {
                assert_eq!(status.code(), Code::ResourceExhausted, "{status}");
                refused += 1;
            }
        }
    }
    assert_eq!((unread.len(), refused), (32, 8));
    let made = segment(2, SMALL, CLUSTER);
    world.write(&made).await.unwrap();
    drop(unread);
    let asked = VerifyRequest { segment_ids: vec![made.id.0.to_vec().into()] };
    let again = async {
        while world.calls(ProcessRole::Control).verify(asked.clone()).await.is_err() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, again).await.expect("the places are free again");
    world.stop().await;
}
