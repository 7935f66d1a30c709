//! The keys of the cluster in its data directory, each readable by its owner only.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use gitstratum_control_plane::{Founding, Handle};
use gitstratum_core::{ClusterId, Entropy, Token, encode_hex};
use gitstratum_frontend::host_key;
use gitstratum_identity::{Authority, PemFile};
use gitstratum_store::Permissions;
use gitstratum_store::files::{Files, read_whole, write_atomically};

const ADMIN_TOKEN: &str = "admin.token";
const CA_CERTIFICATE: &str = "ca.crt";
const CA_KEY: &str = "ca.key";
const HOST_KEY: &str = "ssh_host_key";
const JOIN_TOKEN: &str = "join.token";
/// Largest key file that is read.
const BYTES_MAX: u64 = 64 * 1024;

/// What a node needs of them.
pub(super) struct Secrets {
    pub(super) host_key: Vec<u8>,
    /// `ssh-ed25519 …`, for `endpoint.json`.
    pub(super) host_key_line: String,
    /// By which nodes enrol.
    pub(super) join: Join,
    /// The token in `admin.token`.
    admin_token: Token,
}

/// What lets a node join, and tells it whom to believe: `join.token`.
#[derive(Clone)]
pub(super) struct Join {
    pub(super) token: Token,
    /// The certificate of the cluster's authority, PEM.
    pub(super) authority_pem: String,
}

impl Secrets {
    /// How people name the token in `admin.token`.
    pub(super) fn token_id(&self) -> String {
        encode_hex(&self.admin_token.hash()[..8])
    }

    /// The founding that these were made for.
    pub(super) fn founding(self, authority: Authority, nodes: u8, partitions: u32) -> Founding {
        let (cluster, tokens) = (authority.cluster(), (self.admin_token, self.join.token));
        Founding::of(cluster, (nodes, partitions), tokens, authority)
    }

    /// The token in `admin.token` has to be one of this cluster: in force, or at least its
    /// first one, which may have been revoked since.
    pub(super) async fn check_token(
        &self,
        data: &Path,
        first: Option<&str>,
        directory: &Handle,
    ) -> Result<()> {
        let path = data.join(ADMIN_TOKEN);
        if directory.knows_token(self.admin_token.hash()).await? {
            return Ok(());
        }
        if first != Some(self.token_id().as_str()) {
            bail!("{} holds a token that this cluster does not know", path.display());
        }
        tracing::warn!(path = %path.display(), "the admin's token was revoked");
        Ok(())
    }
}

/// Writes the secrets of a cluster that is about to be founded.
pub(super) fn write(
    files: &dyn Files,
    data: &Path,
    founding: &Founding,
    entropy: &dyn Entropy,
) -> Result<()> {
    let put = |name: &str, bytes: &[u8]| {
        write_atomically(files, &data.join(name), bytes, Permissions::Private)
            .with_context(|| format!("writing {}", data.join(name).display()))
    };
    put(ADMIN_TOKEN, format!("{}\n", founding.admin_token.expose()).as_bytes())?;
    let authority = founding.authority.certificate_pem();
    let join = format!("{}\n{authority}", founding.join_token.expose());
    put(JOIN_TOKEN, join.as_bytes())?;
    put(CA_CERTIFICATE, authority.as_bytes())?;
    put(CA_KEY, founding.authority.key_pem().as_bytes())?;
    put(HOST_KEY, &host_key::generate(entropy))
}

/// Reads and checks every key: a lost or damaged one is named now, not when it is needed.
pub(super) fn read(files: &dyn Files, data: &Path, cluster: ClusterId) -> Result<Secrets> {
    let admin_token = token(files, &data.join(ADMIN_TOKEN))?;
    let join = join(files, &data.join(JOIN_TOKEN))?;
    if admin_token.hash() == join.token.hash() {
        bail!("{ADMIN_TOKEN} and {JOIN_TOKEN} in {} hold the same token", data.display());
    }
    if authority(files, data, cluster)?.certificate_pem() != join.authority_pem {
        bail!("{JOIN_TOKEN} in {} trusts another authority than {CA_CERTIFICATE}", data.display());
    }
    let host_key = get(files, &data.join(HOST_KEY))?;
    let host_key_line = host_key::public_line(&host_key)
        .with_context(|| format!("reading {}", data.join(HOST_KEY).display()))?;
    Ok(Secrets { host_key, host_key_line, join, admin_token })
}

/// Reads the cluster's authority: for the control plane and nobody else.
pub(super) fn authority(files: &dyn Files, data: &Path, cluster: ClusterId) -> Result<Authority> {
    authority_in(files, (&data.join(CA_CERTIFICATE), &data.join(CA_KEY)), cluster)
}

/// The same, of two files.
pub(super) fn authority_in(
    files: &dyn Files,
    (certificate, key): (&Path, &Path),
    cluster: ClusterId,
) -> Result<Authority> {
    let (certificate_bytes, key_bytes) = (get(files, certificate)?, get(files, key)?);
    let (certificate, key) = (certificate.display().to_string(), key.display().to_string());
    Ok(Authority::load(
        cluster,
        &PemFile { name: &certificate, bytes: &certificate_bytes },
        &PemFile { name: &key, bytes: &key_bytes },
    )?)
}

/// Reads and checks a frontend's host key.
pub(super) fn host_key(files: &dyn Files, path: &Path) -> Result<Vec<u8>> {
    let key = get(files, path)?;
    host_key::public_line(&key).with_context(|| format!("reading {}", path.display()))?;
    Ok(key)
}

/// Where the join token of the cluster in `data` is, if it is there.
///
/// # Errors
/// When it cannot be looked at, or is damaged.
pub(crate) fn join_token_file(files: &dyn Files, data: &Path) -> Result<Option<PathBuf>> {
    let path = data.join(JOIN_TOKEN);
    match files.metadata(&path)? {
        None => Ok(None),
        Some(_) => join(files, &path).map(|_| Some(path)),
    }
}

/// Puts `token` in the place of the one in `path`, durably; the authority beside it stays.
///
/// # Errors
/// When the file is damaged or cannot be written: then it is as it was.
pub(crate) fn replace_join_token(files: &dyn Files, path: &Path, token: &Token) -> Result<()> {
    let Join { authority_pem, .. } = join(files, path)?;
    let text = format!("{}\n{authority_pem}", token.expose());
    write_atomically(files, path, text.as_bytes(), Permissions::Private)
        .with_context(|| format!("writing {}", path.display()))
}

/// Where the first admin's token is.
pub(super) fn admin_token(data: &Path) -> PathBuf {
    data.join(ADMIN_TOKEN)
}

/// A token on a line, then the certificate of the authority.
pub(super) fn join(files: &dyn Files, path: &Path) -> Result<Join> {
    let bytes = get(files, path)?;
    let text = std::str::from_utf8(&bytes).ok();
    let lines = text.and_then(|text| text.split_once('\n'));
    let join = lines.and_then(|(token, authority)| {
        let authority_pem = authority.to_owned();
        Some(Join { token: Token::parse(token).ok()?, authority_pem })
    });
    join.with_context(|| format!("{} holds no token, or a damaged one", path.display()))
}

fn token(files: &dyn Files, path: &Path) -> Result<Token> {
    let bytes = get(files, path)?;
    let text = std::str::from_utf8(&bytes).ok();
    let token = text.and_then(|text| Token::parse(text.trim_end()).ok());
    token.with_context(|| format!("{} holds no token, or a damaged one", path.display()))
}

fn get(files: &dyn Files, path: &Path) -> Result<Vec<u8>> {
    let bytes = read_whole(files, path, BYTES_MAX);
    Ok(bytes.with_context(|| format!("reading {}", path.display()))?.to_vec())
}

#[cfg(test)]
mod tests;
