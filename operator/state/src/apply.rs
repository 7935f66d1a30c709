use std::collections::BTreeSet;

use gitstratum_core::UnixMillis;
use sha2::{Digest as _, Sha256};

use crate::command::{Change, Command, Origin};
use crate::differences::DIFFERENCES_MAX;
use crate::outcome::{Outcome, Rejection, Reply};
use crate::record::{AuditLine, stamp};
use crate::row::{Key, Row};
use crate::state::Remembered;
use crate::stored::encode;
use crate::{Refusal, State};

/// Outcomes kept for repeats of their requests.
const REMEMBERED_MAX: usize = 10_000;
/// Longest text of an audit line's field, bytes.
const AUDIT_TEXT_MAX: usize = 300;

/// What applying a command did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Applied {
    /// The answer.
    pub outcome: Outcome,
    /// Rows to write in the same batch, in order of their keys, each once.
    pub rows: Vec<Row>,
    /// Audit lines before this log index are to be deleted in the same batch.
    pub audit_floor: Option<u64>,
}

impl State {
    /// Applies the command of log entry `index`. Pure: the same command at the same index
    /// on the same state makes the same rows (S14, GS-CP-38). A refused command changes
    /// nothing but what is remembered and audited.
    pub fn apply(&mut self, index: u64, command: &Command) -> Applied {
        let request: Option<[u8; 16]> = command.request.as_slice().try_into().ok();
        let digest = digest(command);
        if let Some(remembered) = request.and_then(|request| self.remembered.get(&request)) {
            let outcome = repeat(remembered, digest);
            return Applied { outcome, rows: Vec::new(), audit_floor: None };
        }
        let floor_before = self.header.audit_floor;
        let mut rows = Rows::new();
        let actor = self.actor_name(command);
        let result = self.decide(index, command).map(|plan| {
            rows.touched = self.execute(plan.mutations);
            plan.reply
        });
        self.note_change(index, &mut rows);
        let housekeeping = command.change.as_ref().is_none_or(Change::is_housekeeping);
        if !housekeeping {
            self.audit(index, command, actor, &result, &mut rows);
        }
        let result = result.map_err(|refusal| Rejection::from(&refusal));
        let outcome = Outcome { result, version: self.header.version };
        if let Some(request) = request.filter(|_| !housekeeping) {
            let kept = Remembered { index, digest, outcome: outcome.clone() };
            self.remember(request, kept, &mut rows);
        }
        let floor = self.header.audit_floor;
        let audit_floor = (floor > floor_before).then_some(floor);
        Applied { outcome, rows: rows.finish(self), audit_floor }
    }

    /// Records what was streamed, under a new version.
    fn note_change(&mut self, index: u64, rows: &mut Rows) {
        let streamed: Vec<Key> =
            rows.touched.iter().filter(|key| key.is_streamed()).cloned().collect();
        if streamed.is_empty() {
            return;
        }
        let version = stamp(self.header.generation, index);
        self.header.version = version;
        self.changes.insert(version, streamed);
        rows.touch(Key::Change(version));
        rows.touch(Key::Header);
        while self.changes.len() > DIFFERENCES_MAX {
            let Some((oldest, _)) = self.changes.pop_first() else { break };
            self.header.change_floor = oldest;
            rows.touch(Key::Change(oldest));
        }
    }

    fn audit(
        &mut self,
        index: u64,
        command: &Command,
        actor: String,
        result: &Result<Reply, Refusal>,
        rows: &mut Rows,
    ) {
        let origin = command.origin.clone().unwrap_or_default();
        let Some(change) = &command.change else { return };
        let (action, subject, result) = describe(change, result);
        let line = AuditLine {
            index,
            wall: UnixMillis(command.wall_millis),
            actor,
            action: printable(&action),
            subject: printable(&subject),
            result: printable(&result),
            request_id: printable(&origin.request_id),
            client_addr: printable(&origin.client_addr),
        };
        let bytes = encode(&line);
        let length = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        self.header.audit_bytes = self.header.audit_bytes.saturating_add(length);
        rows.touch(Key::Header);
        rows.audit = Some((Key::Audit(index), bytes));
    }

    fn remember(&mut self, request: [u8; 16], kept: Remembered, rows: &mut Rows) {
        self.indexes.requests.insert(kept.index, request);
        self.remembered.insert(request, kept);
        rows.touch(Key::Request(request));
        while self.remembered.len() > REMEMBERED_MAX {
            let Some((_, oldest)) = self.indexes.requests.pop_first() else { break };
            self.remembered.remove(&oldest);
            rows.touch(Key::Request(oldest));
        }
    }

    /// Who asks, by name, as far as is known. Taken before the change: it may remove them.
    fn actor_name(&self, command: &Command) -> String {
        let nobody = Origin::default();
        let origin = command.origin.as_ref().unwrap_or(&nobody);
        if !origin.system.is_empty() {
            return origin.system.clone();
        }
        let token = origin.credential.as_slice().try_into().ok().and_then(|hash| self.token(hash));
        let user = token.and_then(|token| self.user_by_id(token.user));
        user.map_or_else(|| "-".to_owned(), |user| user.name.clone())
    }
}

/// What tells a repeat from another command that came by the same request id.
fn digest(command: &Command) -> u64 {
    let bytes = Command { request: Vec::new(), wall_millis: 0, ..command.clone() }.to_bytes();
    let digest: [u8; 32] = Sha256::digest(bytes).into();
    let mut head = [0; 8];
    head.copy_from_slice(&digest[..8]);
    u64::from_be_bytes(head)
}

/// The answer of a command whose request id is known.
fn repeat(remembered: &Remembered, digest: u64) -> Outcome {
    let mut outcome = remembered.outcome.clone();
    if remembered.digest != digest {
        // Only a generator that repeats itself, as a cloned machine's, gets here.
        outcome.result = Err(Rejection::from(&Refusal::RequestReused));
    }
    outcome
}

/// Action, subject and result of an audit line.
fn describe(change: &Change, result: &Result<Reply, Refusal>) -> (String, String, String) {
    if let Change::RecordRefusal(refusal) = change {
        let mut result = refusal.reason.clone();
        if refusal.suppressed > 0 {
            result.push_str(&format!(" ({} more like it)", refusal.suppressed));
        }
        return (refusal.action.clone(), refusal.subject.clone(), result);
    }
    let result = match result {
        Ok(_) => "ok".to_owned(),
        Err(refusal) => format!("{}: {refusal}", refusal.kind()),
    };
    (change.action().to_owned(), change.subject(), result)
}

/// The text on one line, cut to a bound: some of it is what a stranger sent.
fn printable(text: &str) -> String {
    let cut = &text[..text.floor_char_boundary(AUDIT_TEXT_MAX)];
    cut.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

/// The rows of one command as they come together.
struct Rows {
    touched: BTreeSet<Key>,
    audit: Option<(Key, Vec<u8>)>,
}

impl Rows {
    const fn new() -> Self {
        Self { touched: BTreeSet::new(), audit: None }
    }

    fn touch(&mut self, key: Key) {
        self.touched.insert(key);
    }

    fn finish(self, state: &State) -> Vec<Row> {
        let mut rows: Vec<Row> =
            self.touched.iter().map(|key| (key.to_bytes(), state.row(key))).collect();
        rows.extend(self.audit.map(|(key, bytes)| (key.to_bytes(), Some(bytes))));
        rows.sort_unstable();
        rows
    }
}
