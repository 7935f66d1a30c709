//! Bad inputs 113 to 121: SSH below and above its encryption.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use gitstratum_e2e::wire::ssh::{
    Key, Message, Offer, Order, Request, Transport, Verdict, framed, number,
};
use gitstratum_e2e::wire::{End, Program, talk};

use crate::ground::Ground;
use crate::shared::Shared;

static UP: Shared = Shared::new();

/// How long a connection may go on after its peer broke the protocol.
const CUT_WITHIN: Duration = Duration::from_secs(5);
const BANNER: &[u8] = b"SSH-2.0-stranger\r\n";
/// Exit status of a refused command.
const REFUSED: u32 = 128;

/// Addresses that failed logins come from: the server counts by source, and the tests of
/// a file share one.
fn source(last: u8) -> IpAddr {
    IpAddr::V4(Ipv4Addr::new(127, 0, 77, last))
}

fn address(ground: &Ground) -> &str {
    ground.up.stratum.endpoint().ssh.trim_start_matches("ssh://git@")
}

/// Says these bytes, after which the server must close in time.
fn is_cut(ground: &Ground, bytes: &[u8], what: &str) -> Result<()> {
    let heard = talk(address(ground), bytes, CUT_WITHIN)?;
    ensure!(heard.end == End::Closed, "{what}: it stays open");
    ensure!(heard.bytes.len() < 1 << 20, "{what}: it says {} bytes", heard.bytes.len());
    Ok(())
}

/// A connection with keys and the algorithms of an honest client.
fn keyed(ground: &Ground, from: u8) -> Result<Transport> {
    let mut transport = Transport::open_from(source(from), address(ground))?;
    transport.exchange_keys(&Offer::default())?;
    Ok(transport)
}

/// The same, about to log in.
fn at_login(ground: &Ground, from: u8) -> Result<Transport> {
    let mut transport = keyed(ground, from)?;
    transport.begin_login()?;
    Ok(transport)
}

#[test]
fn bad_input_113_a_banner_of_a_mebibyte() -> Result<()> {
    let ground = Ground::new(&UP, "banner")?;
    let long = [&b"SSH-2.0-"[..], &vec![b'x'; 1 << 20], b"\r\n"].concat();
    is_cut(&ground, &long, "a long banner")?;
    is_cut(&ground, &vec![b'S'; 1 << 20], "a line that never ends")?;
    is_cut(&ground, b"SSH-1.5-old\r\n", "an old version")?;
    ground.unharmed()
}

#[test]
fn bad_input_113_exchanges_of_keys_that_are_none() -> Result<()> {
    let ground = Ground::new(&UP, "kex")?;
    let offer = Offer::default().message();
    let halves: [&[u8]; 5] = [&[], &[9; 31], &[9; 33], &[9; 4_096], &[0; 32]];
    for half in halves {
        let init = Message::new(number::KEX_INIT).bytes(half).done();
        let bytes = [BANNER, &framed(&offer), &framed(&init)].concat();
        is_cut(&ground, &bytes, &format!("a point of {} bytes", half.len()))?;
    }
    let huge = Message::new(number::KEXINIT).raw(&[0; 16]).number(u32::MAX).raw(b"x").done();
    let cut = Message::new(number::KEXINIT).raw(&[0; 7]).done();
    let nothing = Offer { kex: String::new(), ..Offer::default() }.message();
    let unknown = Offer { kex: "diffie-hellman-group1-sha1".to_owned(), ..Offer::default() };
    for message in [huge, cut, nothing, unknown.message()] {
        is_cut(&ground, &[BANNER, &framed(&message)].concat(), "a broken offer")?;
    }
    let early = Message::new(number::SERVICE_REQUEST).text("ssh-userauth").done();
    is_cut(&ground, &[BANNER, &framed(&offer), &framed(&early)].concat(), "no keys at all")?;
    ground.unharmed()
}

#[test]
fn bad_input_114_messages_slipped_in_before_the_keys() -> Result<()> {
    let ground = Ground::new(&UP, "terrapin")?;
    let ignore = Message::new(number::IGNORE).text("x").done();
    let debug = Message::new(number::DEBUG).byte(0).text("x").text("").done();
    let unimplemented = Message::new(number::UNIMPLEMENTED).number(0).done();
    for slipped in [ignore, debug, unimplemented] {
        let offer = framed(&Offer::default().message());
        is_cut(&ground, &[BANNER, &framed(&slipped), &offer].concat(), "before the offer")?;
        is_cut(&ground, &[BANNER, &offer, &framed(&slipped)].concat(), "after the offer")?;
    }
    ground.unharmed()
}

#[test]
fn bad_input_114_a_peer_without_strict_keys_gets_no_cipher_that_needs_them() -> Result<()> {
    let ground = Ground::new(&UP, "not-strict")?;
    let kex = "curve25519-sha256".to_owned();
    let half = Message::new(number::KEX_INIT).bytes(&[9; 32]).done();
    for ciphers in ["chacha20-poly1305@openssh.com", "aes256-cbc"] {
        let macs = "hmac-sha2-256-etm@openssh.com".to_owned();
        let offer = Offer { kex: kex.clone(), ciphers: ciphers.to_owned(), macs };
        let bytes = [BANNER, &framed(&offer.message()), &framed(&half)].concat();
        is_cut(&ground, &bytes, ciphers)?;
    }
    ground.unharmed()
}

#[test]
fn bad_input_115_packets_with_wrong_lengths() -> Result<()> {
    let ground = Ground::new(&UP, "lengths")?;
    let packet = |length: u32, padding: u8| {
        Message::empty().number(length).byte(padding).raw(&[0; 11]).done()
    };
    let cases = [
        packet(u32::MAX, 4),
        packet(0x7fff_ffff, 4),
        packet(1 << 20, 4),
        packet(0, 0),
        packet(1, 0),
        packet(12, 0),
        packet(12, 255),
        packet(12, 12),
        packet(13, 4),
    ];
    for bytes in &cases {
        is_cut(
            &ground,
            &[BANNER, bytes, &[0; 64]].concat(),
            &format!("{:?} in clear", &bytes[..5]),
        )?;
    }
    for bytes in &cases {
        let mut transport = keyed(&ground, 1)?;
        let sealed = transport.sealed(bytes)?;
        // In one: the server may have cut the connection before a second one.
        transport.send_raw(&[&sealed[..], &[0; 64]].concat())?;
        ensure!(transport.is_hung_up(CUT_WITHIN)?, "{:?} sealed", &bytes[..5]);
    }
    ground.unharmed()
}

#[test]
fn bad_input_115_a_flood_of_unknown_messages() -> Result<()> {
    let ground = Ground::new(&UP, "unknown")?;
    let unknown = framed(&Message::new(200).text("?").done());
    let offer = framed(&Offer::default().message());
    is_cut(&ground, &[BANNER, &offer, &unknown.repeat(100_000)].concat(), "a flood in clear")?;
    let ssh = ground.ssh();
    let mut transport = ssh.login()?;
    for _ in 0..20_000 {
        if transport.send(&Message::new(200).text("?").done()).is_err() {
            break;
        }
    }
    drop(transport);
    ground.unharmed()
}

#[test]
fn bad_input_116_windows_that_overflow() -> Result<()> {
    let ground = Ground::new(&UP, "windows")?;
    let ssh = ground.ssh();
    let mut transport = ssh.login()?;
    let channel = transport.open_channel()?;
    let more = Message::new(number::CHANNEL_WINDOW_ADJUST).number(channel.theirs).number(u32::MAX);
    for _ in 0..3 {
        if transport.send(&more.clone().done()).is_err() {
            break;
        }
    }
    // Cut, or taken for a window that is full: a client that goes on is served or cut.
    let line = ssh.line(Program::UploadPack);
    if transport.order(&channel, &Order::Exec(line.as_bytes())).is_ok() {
        let mut channel = channel;
        transport.wait_at_most(CUT_WITHIN);
        transport.converse(&mut channel, b"0000")?;
    }
    ground.unharmed()
}

#[test]
fn bad_input_116_packets_of_no_bytes() -> Result<()> {
    let ground = Ground::new(&UP, "packet-zero")?;
    let ssh = ground.ssh();
    let mut transport = ssh.login()?;
    let opening = Message::new(number::CHANNEL_OPEN).text("session").number(0).number(1 << 20);
    transport.send(&opening.number(0).done())?;
    transport.wait_at_most(CUT_WITHIN);
    let Some(answer) = transport.next_message()? else { return ground.unharmed() };
    if answer[0] == number::CHANNEL_OPEN_CONFIRMATION {
        let theirs = u32::from_be_bytes(answer[5..9].try_into()?);
        let exec = Message::new(number::CHANNEL_REQUEST).number(theirs).text("exec").byte(1);
        let line = ssh.line(Program::UploadPack);
        transport.send(&exec.text(&line).done())?;
        ensure!(transport.is_hung_up(CUT_WITHIN)?, "a command that cannot say a byte goes on");
    }
    ground.unharmed()
}

#[test]
fn bad_input_116_bytes_for_channels_that_are_not() -> Result<()> {
    let ground = Ground::new(&UP, "channels-unknown")?;
    let ssh = ground.ssh();
    let messages = [
        Message::new(number::CHANNEL_DATA).number(77).text("x"),
        Message::new(number::CHANNEL_EXTENDED_DATA).number(77).number(1).text("x"),
        Message::new(number::CHANNEL_WINDOW_ADJUST).number(77).number(1),
        Message::new(number::CHANNEL_EOF).number(77),
        Message::new(number::CHANNEL_CLOSE).number(77),
        Message::new(number::CHANNEL_REQUEST).number(77).text("exec").byte(1).text("id"),
        Message::new(number::CHANNEL_DATA).number(u32::MAX).number(u32::MAX),
    ];
    for message in messages {
        let message = message.done();
        let mut transport = ssh.login()?;
        transport.send(&message)?;
        is_served_or_cut(&mut transport, message[0])?;
    }
    let mut transport = ssh.login()?;
    let channel = transport.open_channel()?;
    let close = Message::new(number::CHANNEL_CLOSE).number(channel.theirs).done();
    let bytes = Message::new(number::CHANNEL_DATA).number(channel.theirs).text("late").done();
    transport.send(&close)?;
    transport.expect(number::CHANNEL_CLOSE)?;
    transport.send(&bytes)?;
    is_served_or_cut(&mut transport, number::CHANNEL_DATA)?;
    ground.unharmed()
}

/// The connection either ends in time or still opens channels: it does not hang.
fn is_served_or_cut(transport: &mut Transport, after: u8) -> Result<()> {
    transport.wait_at_most(CUT_WITHIN);
    match transport.open_channel() {
        Ok(_) => Ok(()),
        Err(error) => {
            let hung = error.is::<std::io::Error>();
            ensure!(!hung || is_broken(&error), "it hangs after message {after}: {error:#}");
            Ok(())
        }
    }
}

fn is_broken(error: &anyhow::Error) -> bool {
    use std::io::ErrorKind::{BrokenPipe, ConnectionReset};
    let kind = error.downcast_ref::<std::io::Error>().map(std::io::Error::kind);
    matches!(kind, Some(BrokenPipe | ConnectionReset))
}

#[test]
fn bad_input_116_a_thousand_channels() -> Result<()> {
    let ground = Ground::new(&UP, "channels-many")?;
    let mut transport = ground.ssh().login()?;
    let mut opened = 0;
    transport.wait_at_most(CUT_WITHIN);
    for _ in 0..1_000 {
        let message = Message::new(number::CHANNEL_OPEN).text("session").number(0);
        if transport.send(&message.number(1 << 20).number(1 << 15).done()).is_err() {
            break;
        }
        match transport.next_message()? {
            Some(answer) if answer[0] == number::CHANNEL_OPEN_CONFIRMATION => opened += 1,
            Some(answer) => ensure!(answer[0] == number::CHANNEL_OPEN_FAILURE, "{answer:?}"),
            None => break,
        }
    }
    ensure!(opened <= 10, "{opened} channels are open");
    ground.unharmed()
}

#[test]
fn bad_input_117_new_keys_without_end() -> Result<()> {
    let ground = Ground::new(&UP, "rekey")?;
    let mut transport = ground.ssh().login()?;
    let mut rounds = 0;
    while rounds < 1_000 && transport.exchange_keys(&Offer::default()).is_ok() {
        rounds += 1;
    }
    ensure!(rounds < 1_000, "{rounds} exchanges of keys and still there");
    ground.unharmed()
}

#[test]
fn bad_input_117_no_cipher() -> Result<()> {
    let ground = Ground::new(&UP, "cipher-none")?;
    for (ciphers, macs) in
        [("none", "hmac-sha2-256"), ("aes256-ctr", "none"), ("3des-cbc", "hmac-md5")]
    {
        let offer =
            Offer { ciphers: ciphers.to_owned(), macs: macs.to_owned(), ..Offer::default() };
        is_cut(&ground, &[BANNER, &framed(&offer.message())].concat(), ciphers)?;
    }
    ground.unharmed()
}

#[test]
fn bad_input_118_another_user_at_each_try() -> Result<()> {
    let ground = Ground::new(&UP, "users")?;
    let key = &ground.up.key;
    for user in ["root", "admin", "", "git ", "Git", "git\0"] {
        let mut transport = at_login(&ground, 2)?;
        let verdict = transport.try_key(user, key)?;
        ensure!(verdict != Verdict::LoggedIn, "{user:?} is let in");
    }
    // The probe of one user is worth nothing to another.
    let mut transport = at_login(&ground, 3)?;
    ensure!(transport.try_login(&Request::probe("git", key))? == Verdict::WouldDo);
    let stranger = Key::generate()?;
    ensure!(transport.try_key("root", &stranger)? != Verdict::LoggedIn, "state is kept");
    ensure!(transport.try_key("git", &stranger)? != Verdict::LoggedIn, "a probe counts as proof");
    ground.unharmed()
}

#[test]
fn bad_input_118_ten_thousand_keys() -> Result<()> {
    let ground = Ground::new(&UP, "keys")?;
    let mut transport = at_login(&ground, 4)?;
    let mut tries = 0;
    while tries < 10_000 {
        let key = Key::generate()?;
        match transport.try_login(&Request::probe("git", &key))? {
            Verdict::HungUp => break,
            verdict => ensure!(verdict == Verdict::Refused, "{verdict:?}"),
        }
        tries += 1;
    }
    ensure!(tries <= 6, "{tries} keys were looked at");
    ground.unharmed()
}

#[test]
fn bad_input_118_a_probe_is_no_login() -> Result<()> {
    let ground = Ground::new(&UP, "probe")?;
    let mut transport = at_login(&ground, 5)?;
    ensure!(transport.try_login(&Request::probe("git", &ground.up.key))? == Verdict::WouldDo);
    transport.wait_at_most(CUT_WITHIN);
    ensure!(transport.open_channel().is_err(), "a channel without a login");
    let mut bare = at_login(&ground, 5)?;
    bare.wait_at_most(CUT_WITHIN);
    ensure!(bare.open_channel().is_err(), "a channel without a try");
    let mut none = at_login(&ground, 5)?;
    for method in ["none", "password", "keyboard-interactive", "hostbased", "gssapi-with-mic"] {
        let request = Message::new(number::USERAUTH_REQUEST).text("git").text("ssh-connection");
        let request = request.text(method).byte(0).text("").text("").done();
        if none.try_login(&request)? == Verdict::HungUp {
            break;
        }
        ensure!(none.open_channel().is_err(), "{method} lets in");
        none = at_login(&ground, 5)?;
    }
    ground.unharmed()
}

#[test]
fn bad_input_119_signatures_made_for_something_else() -> Result<()> {
    let ground = Ground::new(&UP, "signatures")?;
    let key = &ground.up.key;
    let other = at_login(&ground, 6)?.session;
    let mut transport = at_login(&ground, 6)?;
    let session = transport.session.clone();
    let wrong = [
        Request { user: "git", signed_user: "git", session: &other },
        Request { user: "git", signed_user: "root", session: &session },
        Request { user: "git", signed_user: "git", session: &[] },
    ];
    for request in wrong {
        let verdict = transport.try_login(&request.message(key))?;
        ensure!(verdict == Verdict::Refused, "{request:?}: {verdict:?}");
    }
    let right = Request { user: "git", signed_user: "git", session: &session };
    let mut broken = right.message(key);
    let last = broken.len() - 1;
    broken[last] ^= 1;
    ensure!(transport.try_login(&broken)? == Verdict::Refused, "a broken signature");
    ensure!(transport.try_login(&right.message(key))? == Verdict::LoggedIn, "the right one");
    ground.unharmed()
}

#[test]
fn bad_input_120_command_lines_are_no_shell() -> Result<()> {
    let ground = Ground::new(&UP, "lines")?;
    let ssh = ground.ssh();
    let path = &ground.path;
    let lines = [
        format!("git-upload-pack '/{path}.git'; id"),
        format!("git-upload-pack '/{path}.git' && id"),
        "git-upload-pack $(id)".to_owned(),
        format!("git-upload-pack '/{path}.git$(id)'"),
        format!("git-upload-pack \"/{path}.git\""),
        format!("git-upload-pack '/{path}.git"),
        format!("git-upload-pack '/{path}.git'\nid"),
        format!("git-upload-pack --upload-pack=x '/{path}.git'"),
        "git-upload-pack '-oProxyCommand=id'".to_owned(),
        format!("git-upload-pack '../{path}.git'"),
        "git-upload-pack '/../../etc/passwd'".to_owned(),
        format!("git-upload-archive '/{path}.git'"),
        format!("git-shell -c \"git-upload-pack '/{path}.git'\""),
        "id".to_owned(),
        String::new(),
        "scp -t /tmp".to_owned(),
        "rsync --server . /".to_owned(),
        format!("git-upload-pack '/{path}.git\0'"),
    ];
    for line in lines {
        let ran = ssh.run(line.as_bytes(), b"")?;
        ensure!(ran.exit == Some(REFUSED), "{line:?} gave {:?}: {}", ran.exit, ran.words());
        ensure!(ran.out.is_empty(), "{line:?} says {:?}", String::from_utf8_lossy(&ran.out));
        ensure!(!ran.words().contains("uid="), "{line:?} ran a command");
        ensure!(!ran.words().trim().is_empty(), "{line:?}: not a word");
    }
    ground.unharmed()
}

#[test]
fn bad_input_120_a_line_of_five_mebibytes() -> Result<()> {
    let ground = Ground::new(&UP, "line-long")?;
    let line = vec![b'x'; 5 << 20];
    match ground.ssh().run(&line, b"") {
        Ok(ran) => ensure!(ran.exit != Some(0) && ran.out.is_empty(), "{ran:?}"),
        // Cut: no packet may be so large.
        Err(error) => ensure!(!format!("{error:#}").contains("timed out"), "{error:#}"),
    }
    ground.unharmed()
}

#[test]
fn bad_input_121_everything_that_is_not_git() -> Result<()> {
    let ground = Ground::new(&UP, "orders")?;
    let mut transport = ground.ssh().login()?;
    let orders =
        [Order::Terminal, Order::AgentForward, Order::ScreenForward, Order::Subsystem("sftp")];
    let channel = transport.open_channel()?;
    for order in orders {
        ensure!(!transport.order(&channel, &order)?, "{order:?} is done");
    }
    for name in ["LD_PRELOAD", "PATH", "GIT_DIR", "GIT_PROTOCOL\0X", "git_protocol"] {
        ensure!(!transport.set_variable(&channel, name, "x")?, "{name} is set");
    }
    ensure!(transport.set_variable(&channel, "GIT_PROTOCOL", "version=2")?);
    let mut channel = channel;
    if transport.order(&channel, &Order::Shell)? {
        let ran = transport.converse(&mut channel, b"id\n")?;
        ensure!(ran.exit == Some(REFUSED) && ran.out.is_empty(), "a shell: {ran:?}");
    }
    for opening in openings_of_no_session() {
        transport.send(&opening)?;
        transport.expect(number::CHANNEL_OPEN_FAILURE)?;
    }
    for request in forwards() {
        transport.send(&request)?;
        // A kind that the server's library does not know is refused a second time.
        let mut answer = number::CHANNEL_OPEN_FAILURE;
        while answer == number::CHANNEL_OPEN_FAILURE {
            answer = transport.next_message()?.context("the server hung up")?[0];
        }
        ensure!(answer == number::REQUEST_FAILURE, "message {answer} instead of a refusal");
    }
    // The connection has been refused all that and is as good as before.
    let mut channel = transport.open_channel()?;
    let line = ground.ssh().line(Program::UploadPack);
    ensure!(transport.order(&channel, &Order::Exec(line.as_bytes()))?, "git is refused too");
    ensure!(transport.converse(&mut channel, b"0000")?.exit == Some(0), "git fails");
    ground.unharmed()
}

/// Every kind of channel that is no session, each asked for in its own form: a message of
/// another form is a broken protocol, and cut.
fn openings_of_no_session() -> Vec<Vec<u8>> {
    let open = |kind: &str| {
        let open = Message::new(number::CHANNEL_OPEN).text(kind).number(0);
        open.number(1 << 20).number(1 << 15)
    };
    let tcp = |kind: &str| open(kind).text("127.0.0.1").number(22).text("127.0.0.1").number(1);
    let local = open("direct-streamlocal@openssh.com").text("/run/x").text("").number(0);
    let forwarded = open("forwarded-streamlocal@openssh.com").text("/run/x").text("");
    let messages = [
        tcp("direct-tcpip"),
        tcp("forwarded-tcpip"),
        local,
        forwarded,
        open("x11").text("127.0.0.1").number(1),
        open("auth-agent@openssh.com"),
        open("tun@openssh.com").number(1).number(0),
        open("nonsense"),
    ];
    messages.map(Message::done).into()
}

/// Requests to listen for the client.
fn forwards() -> Vec<Vec<u8>> {
    let request = |kind: &str| Message::new(number::GLOBAL_REQUEST).text(kind).byte(1);
    let messages = [
        request("tcpip-forward").text("127.0.0.1").number(0),
        request("cancel-tcpip-forward").text("127.0.0.1").number(22),
        request("streamlocal-forward@openssh.com").text("/run/x"),
        request("cancel-streamlocal-forward@openssh.com").text("/run/x"),
        request("nonsense"),
    ];
    messages.map(Message::done).into()
}
