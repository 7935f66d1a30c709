//! Bad inputs 1 to 11: pkt-lines that are none.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use gitstratum_e2e::push::Push;
use gitstratum_e2e::wire::http::Answer;
use gitstratum_e2e::wire::pkt::Packets;
use gitstratum_e2e::wire::ssh::{Order, Ran};
use gitstratum_e2e::wire::{Door, End, Heard, Program, Said, Wire, talk};

use crate::ground::{ERR_WITHIN, Ground, erred};
use crate::shared::Shared;

static UP: Shared = Shared::new();

/// How long a server may read what has no end.
const FLOOD_WITHIN: Duration = Duration::from_secs(5);

/// Says `body` to `program` by both doors.
fn said(ground: &Ground, program: Program, body: &[u8]) -> Result<Vec<Said>> {
    let (http, ssh) = (ground.http(), ground.ssh());
    [&http as &dyn Door, &ssh].into_iter().map(|door| door.ask(program, body)).collect()
}

/// Says `body` to both programs by both doors, each of which must answer with an error that
/// contains `words`.
fn erred_everywhere(ground: &Ground, body: &[u8], words: &str) -> Result<()> {
    for program in [Program::UploadPack, Program::ReceivePack] {
        for said in said(ground, program, body)? {
            let told = erred(&said)?;
            ensure!(told.contains(words), "{program:?} says {told:?}");
        }
    }
    ground.unharmed()
}

/// The beginning of a command of protocol v2.
fn command() -> Packets {
    Packets::new().line("command=ls-refs").line("object-format=sha1")
}

#[test]
fn bad_input_001_length_three() -> Result<()> {
    let ground = Ground::new(&UP, "length-three")?;
    erred_everywhere(&ground, b"0003", "bad line length 3")?;
    let later = command().delim().raw(b"0003").bytes();
    for said in said(&ground, Program::UploadPack, &later)? {
        ensure!(erred(&said)?.contains("bad line length 3"), "{said:?}");
    }
    ground.unharmed()
}

#[test]
fn bad_input_002_lengths_that_are_not_hex() -> Result<()> {
    let ground = Ground::new(&UP, "length-digits")?;
    for length in [&b"zzzz"[..], b"+00a", b"-001", b"0x0a", b" 00a", b"00\xff0"] {
        let body = [length, b"command=ls-refs\n"].concat();
        erred_everywhere(&ground, &body, "bad line length characters")?;
    }
    Ok(())
}

#[test]
fn bad_input_002_mixed_case_is_hex() -> Result<()> {
    let ground = Ground::new(&UP, "length-case")?;
    let agent = format!("agent={}", "x".repeat(0xff - 4 - "agent=".len()));
    let body = command().raw(format!("00fF{agent}").as_bytes()).delim().line("peel").flush();
    for said in said(&ground, Program::UploadPack, &body.bytes())? {
        ensure!(said.failure().is_none(), "{said:?}");
        ensure!(String::from_utf8_lossy(&said.out).contains("refs/heads/main"), "{said:?}");
    }
    ground.unharmed()
}

#[test]
fn bad_input_003_a_length_too_large_is_refused_before_its_payload() -> Result<()> {
    let ground = Ground::new(&UP, "length-large")?;
    for length in ["fff1", "fffe", "ffff"] {
        let heard = unfinished_post(&ground, length.as_bytes())?;
        ensure!(heard.took <= ERR_WITHIN, "{length}: answered after {:?}", heard.took);
        ensure!(heard.text().contains("bad line length"), "{length}: {:?}", heard.text());
        let ran = unfinished_exec(&ground, length.as_bytes())?;
        let out = String::from_utf8_lossy(&ran.out).into_owned();
        ensure!(out.contains("ERR bad line length"), "{length}: {out:?}");
    }
    ground.unharmed()
}

#[test]
fn bad_input_003_the_largest_packet_is_taken() -> Result<()> {
    let ground = Ground::new(&UP, "length-largest")?;
    let line = format!("ref-prefix {}", "x".repeat(65_516 - "ref-prefix ".len()));
    let body = command().delim().data(line.as_bytes()).flush().bytes();
    for said in said(&ground, Program::UploadPack, &body)? {
        ensure!(said.failure().is_none(), "{said:?}");
    }
    ground.unharmed()
}

/// A `POST` of which only the start of the body comes; the answer to that.
fn unfinished_post(ground: &Ground, start: &[u8]) -> Result<Heard> {
    let http = ground.http();
    let (target, media_type) = http.rpc(Program::UploadPack);
    let head = http.head("POST", &target, &[("Content-Type", &media_type)], 70_000);
    let mut wire = Wire::open(http.address())?;
    wire.send(head.as_bytes())?;
    wire.send(start)?;
    Ok(wire.hear_out(ERR_WITHIN)?)
}

/// A command of which only the start of the input comes; what it says to that.
fn unfinished_exec(ground: &Ground, start: &[u8]) -> Result<Ran> {
    let ssh = ground.ssh();
    let mut transport = ssh.login()?;
    let mut channel = transport.open_channel()?;
    transport.set_variable(&channel, "GIT_PROTOCOL", "version=2")?;
    transport.order(&channel, &Order::Exec(ssh.line(Program::UploadPack).as_bytes()))?;
    transport.wait_at_most(ERR_WITHIN);
    let mut ran = Ran::default();
    transport.feed(&mut channel, start, &mut ran)?;
    transport.listen(&mut channel, &mut ran)?;
    Ok(ran)
}

#[test]
fn bad_input_004_a_promised_packet_that_does_not_come() -> Result<()> {
    let ground = Ground::new(&UP, "length-broken")?;
    for program in [Program::UploadPack, Program::ReceivePack] {
        for body in [&b"0010abc"[..], b"0", b"00", b"000", b"0032want "] {
            for said in said(&ground, program, body)? {
                erred(&said)?;
            }
        }
        let cut = command().delim().line("peel").bytes();
        for said in said(&ground, Program::UploadPack, &cut)? {
            erred(&said)?;
        }
    }
    ground.unharmed()
}

#[test]
fn bad_input_006_a_million_flush_packets() -> Result<()> {
    let ground = Ground::new(&UP, "flushes")?;
    let flood = b"0000".repeat(1_000_000);
    for program in [Program::UploadPack, Program::ReceivePack] {
        for said in said(&ground, program, &flood)? {
            ensure!(said.took < FLOOD_WITHIN, "{program:?} read on for {:?}", said.took);
            ensure!(said.out.len() < 1 << 20, "{program:?} answered each");
        }
    }
    ground.unharmed()
}

#[test]
fn bad_input_006_flushes_in_a_negotiation_that_never_ends() -> Result<()> {
    let ground = Ground::new(&UP, "flushes-v0")?;
    let want = format!("want {} multi_ack_detailed side-band-64k ofs-delta", ground.base.tip);
    let body = Packets::new().line(&want).flush().raw(&b"0000".repeat(1_000_000)).bytes();
    let said = ground.ssh().protocol(None).ask(Program::UploadPack, &body)?;
    ensure!(said.took < FLOOD_WITHIN, "read on for {:?}", said.took);
    let told = said.failure().context("it was taken")?;
    ensure!(told.contains("negotiation rounds"), "{told}");
    ensure!(said.out.len() < 1 << 20, "answered each");
    ground.unharmed()
}

#[test]
fn bad_input_007_empty_packets() -> Result<()> {
    let ground = Ground::new(&UP, "empty")?;
    erred_everywhere(&ground, b"00040000", "empty line")?;
    let argument = command().delim().raw(b"0004").flush().bytes();
    for said in said(&ground, Program::UploadPack, &argument)? {
        ensure!(erred(&said)?.contains("empty line"), "{said:?}");
    }
    ground.unharmed()
}

#[test]
fn bad_input_008_delimiters_and_ends_in_wrong_places() -> Result<()> {
    let ground = Ground::new(&UP, "delimiters")?;
    erred_everywhere(&ground, b"0001", "")?;
    erred_everywhere(&ground, b"0002", "")?;
    let bodies = [
        command().delim().delim().flush(),
        command().raw(b"0002"),
        command().delim().line("peel").raw(b"0002"),
        Packets::new().line("object-format=sha1").delim().flush(),
    ];
    for body in bodies.map(Packets::bytes) {
        for said in said(&ground, Program::UploadPack, &body)? {
            erred(&said)?;
        }
    }
    let push = Push::new().create("refs/heads/evil", &ground.base.tip);
    for packet in [b"0001", b"0002"] {
        let push = push.clone().before(Packets::new().raw(packet));
        ground.refused(&push)?;
    }
    Ok(())
}

#[test]
fn bad_input_009_nul_inside_a_line() -> Result<()> {
    let ground = Ground::new(&UP, "nul")?;
    let tip = ground.base.tip;
    let bodies = [
        Packets::new().data(b"command=ls-refs\0x\n").flush(),
        Packets::new().data(b"command=ls-refs\0").flush(),
        command().delim().data(b"ref-prefix refs/\0heads/\n").flush(),
        Packets::new()
            .line("command=fetch")
            .line("object-format=sha1")
            .delim()
            .data(format!("want {tip}\0 x\n").as_bytes())
            .line("done")
            .flush(),
    ];
    for body in bodies.map(Packets::bytes) {
        for said in said(&ground, Program::UploadPack, &body)? {
            ensure!(erred(&said)?.contains("NUL"), "{said:?}");
        }
    }
    ground.unharmed()
}

#[test]
fn bad_input_010_side_bands_from_a_client() -> Result<()> {
    let ground = Ground::new(&UP, "bands")?;
    for band in [1, 2, 3] {
        let line = [&[band], &b"command=ls-refs\n"[..]].concat();
        let body = Packets::new().data(&line).flush().bytes();
        erred_everywhere(&ground, &body, "side-band")?;
    }
    Ok(())
}

#[test]
fn bad_input_011_another_protocol_on_each_port() -> Result<()> {
    let ground = Ground::new(&UP, "wrong-port")?;
    let endpoint = ground.up.stratum.endpoint();
    let http = endpoint.http.trim_start_matches("http://");
    let ssh = endpoint.ssh.trim_start_matches("ssh://git@");
    let metrics = endpoint.metrics.trim_start_matches("http://");
    let hello: &[u8] = b"\x16\x03\x01\x00\x2f\x01\x00\x00\x2b\x03\x03";
    let get: &[u8] = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n";
    let banner: &[u8] = b"SSH-2.0-OpenSSH_9.2\r\n";
    let cases = [(http, hello), (http, banner), (ssh, hello), (ssh, get), (metrics, banner)];
    for (address, bytes) in cases {
        let heard = talk(address, bytes, 2 * ERR_WITHIN)?;
        let what = String::from_utf8_lossy(bytes);
        ensure!(heard.end == End::Closed, "{address} keeps {what:?}");
        ensure!(heard.took <= ERR_WITHIN, "{address} kept {what:?} for {:?}", heard.took);
        if address != ssh && !heard.bytes.is_empty() {
            ensure!(Answer::parse(&heard)?.status == 400, "{}", heard.text());
        }
    }
    ground.unharmed().context("after wrong protocols")
}
