use bytes::Bytes;
use gitstratum_core::{ErrorKind, ObjectFormat};
use gitstratum_git::protocol::Limits;
use gitstratum_git::protocol::capabilities::Offered;
use gitstratum_git::protocol::receive_pack::{Parser, Push};

use crate::Error;
use crate::conversation::{Input, Output, Packets, Reads};

/// What a client asks, and the bytes of its pack that came along.
#[derive(Debug)]
pub(super) struct Asked {
    pub(super) push: Push,
    pub(super) first: Bytes,
}

/// Reads the commands of a push; `None` when the client has none, as after a push of what
/// is there already.
///
/// # Errors
/// When the client breaks the protocol, breaks off or is silent.
pub(super) async fn read(
    input: &mut Input,
    output: &mut Output,
    format: ObjectFormat,
) -> Result<Option<Asked>, Error> {
    let mut packets = Packets::new();
    let mut parser = Parser::new(format, Offered { push_options: true }, Limits::default());
    let mut any = false;
    loop {
        let Some(packet) = packets.next(input).await? else {
            if !any {
                return Ok(None);
            }
            return Err(Error::new(ErrorKind::Invalid, "the push ended inside its commands"));
        };
        any = true;
        let accepted = parser.accept(packet);
        // Stock git takes all that comes for frames as soon as it has asked for them.
        output.set_reads(Reads::verdict(parser.side_band()));
        if let Some(push) = accepted? {
            let first = packets.into_rest();
            return Ok((!push.commands.is_empty()).then_some(Asked { push, first }));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use gitstratum_git::pktline::SideBand;

    use super::*;

    const ID: &str = "1111111111111111111111111111111111111111";
    const NULL: &str = "0000000000000000000000000000000000000000";

    fn packet(line: &str) -> String {
        format!("{:04x}{line}", line.len() + 4)
    }

    async fn read_text(text: String) -> Result<Option<Asked>, Error> {
        read_into(text).await.0
    }

    async fn read_into(text: String) -> (Result<Option<Asked>, Error>, Reads) {
        let (mut output, _pieces) = Output::channel(Duration::from_secs(60));
        let mut input = Input::of(Bytes::from(text));
        let asked = read(&mut input, &mut output, ObjectFormat::Sha1).await;
        (asked, output.reads())
    }

    #[tokio::test]
    async fn gs_fe_08_commands_are_read_and_the_pack_is_left() {
        let command = packet(&format!("{NULL} {ID} refs/heads/a\0 report-status atomic"));
        let asked = read_text(format!("{command}0000PACKrest")).await.unwrap().unwrap();
        assert_eq!(asked.push.commands.len(), 1);
        assert!(asked.push.capabilities.atomic);
        assert_eq!(asked.first, "PACKrest");
    }

    #[tokio::test]
    async fn a_client_that_only_tries_whether_it_may_push_asks_nothing() {
        assert!(read_text("0000".to_owned()).await.unwrap().is_none());
        assert!(read_text(String::new()).await.unwrap().is_none());
    }

    #[tokio::test]
    async fn what_is_wrong_with_commands_is_told_in_the_frames_that_were_asked_for() {
        let framed = packet(&format!("{NULL} {ID} refs/heads/a\0 report-status side-band-64k"));
        let bare = packet(&format!("{NULL} {ID} refs/heads/a\0 report-status"));
        let torn = packet("no command");
        let bands = Reads::Bands(SideBand::Large);
        for (text, reads, is_read) in [
            (format!("{framed}0000"), bands, true),
            (format!("{framed}{torn}0000"), bands, false),
            (framed, bands, false),
            (format!("{bare}0000"), Reads::Packets, true),
            (format!("{bare}{torn}0000"), Reads::Packets, false),
        ] {
            let (asked, left) = read_into(text.clone()).await;
            assert_eq!((asked.is_ok(), left), (is_read, reads), "{text:?}");
        }
    }

    #[tokio::test]
    async fn bad_input_004_commands_that_break_off_are_no_push() {
        let command = packet(&format!("{NULL} {ID} refs/heads/a"));
        for cut in [command.clone(), command[..20].to_owned(), "00".to_owned()] {
            assert_eq!(read_text(cut).await.unwrap_err().kind(), ErrorKind::Invalid);
        }
    }
}
