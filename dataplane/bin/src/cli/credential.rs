//! The Git credential helper: answers Git's questions for a token from where one is.

mod local;
mod origin;
mod protocol;
mod store;

use std::io::{self, Read as _};

use clap::Args;

use super::{Console, Failure};
pub(super) use local::Local;
pub(super) use origin::Origin;
pub(super) use protocol::{Answer, Request};
pub(super) use store::{Entry, Store};

/// Most bytes of a request of Git's.
const REQUEST_BYTES_MAX: u64 = 64 * 1024;
/// The user name beside a token whose user is not known: any name is good with a token.
pub(super) const ANY_USER: &str = "x-token";

/// Give Git the token for a server: a credential helper
///
/// Git runs this itself once it is configured as a helper. With --data it answers for the `gitstratum
/// up` on that directory with the first admin's token, as long as that runs; for other servers with
/// what `gitstratum login` stored. It is silent about all else.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  git -c credential.helper='!gitstratum credential --data DIR' clone http://127.0.0.1:8080/demo/hello.git
  git config --global credential.https://git.example.org.helper '!gitstratum credential'")]
pub(crate) struct CredentialArgs {
    /// What Git wants: get, store or erase; anything else is passed over
    operation: String,
}

impl CredentialArgs {
    pub(super) fn run(self, console: &Console) -> Result<(), Failure> {
        let request = read_request()?;
        let Some(origin) = request.origin() else { return Ok(()) };
        let local = console.named_data.as_deref().map(|data| Local::find(data, &origin));
        let local = local.transpose()?.flatten();
        let store = || Store::open(&console.environment);
        match self.operation.as_str() {
            "get" => match answer(local, &origin, &request, store)? {
                Some(answer) => console.write(&answer.text()),
                None => Ok(()),
            },
            "store" => keep(local, &origin, &request, store),
            "erase" => forget(&origin, &request, store),
            _ => Ok(()),
        }
    }
}

fn read_request() -> Result<Request, Failure> {
    let mut text = Vec::new();
    let read = io::stdin().lock().take(REQUEST_BYTES_MAX).read_to_end(&mut text);
    read.map_err(|error| Failure::failed(format!("read Git's request: {error}")))?;
    Ok(Request::parse(&text))
}

/// The token of an `up` on this machine, else a stored one; for the asked user, if one is asked for.
fn answer(
    local: Option<Local>,
    origin: &Origin,
    request: &Request,
    store: impl FnOnce() -> Result<Option<Store>, Failure>,
) -> Result<Option<Answer>, Failure> {
    let local = local.and_then(|local| request.answer(&local.entry()));
    if local.is_some() {
        return Ok(local);
    }
    let stored = store()?.map(|store| store.get(origin)).transpose()?.flatten();
    Ok(stored.and_then(|entry| request.answer(&entry)))
}

/// Keeps a token that worked, unless the admin's own file has it. Passwords that are no tokens
/// of ours are other helpers' business.
fn keep(
    local: Option<Local>,
    origin: &Origin,
    request: &Request,
    store: impl FnOnce() -> Result<Option<Store>, Failure>,
) -> Result<(), Failure> {
    let Some(entry) = request.entry() else { return Ok(()) };
    if local.is_some_and(|local| local.entry().token == entry.token) {
        return Ok(());
    }
    match store()? {
        Some(store) => store.put(origin, entry),
        None => Ok(()),
    }
}

/// Forgets a stored token that did not work. The admin's file is not touched.
fn forget(
    origin: &Origin,
    request: &Request,
    store: impl FnOnce() -> Result<Option<Store>, Failure>,
) -> Result<(), Failure> {
    match store()? {
        Some(store) => store.erase(origin, request.password()),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests;
