//! HTTPS with a certificate of the operator's (GS-FE-02).

use std::path::PathBuf;

use anyhow::{Context as _, Result, ensure};
use gitstratum_e2e::{Options, Stratum};
use rcgen::{CertifiedKey, generate_simple_self_signed};
use tempfile::TempDir;

use crate::work::{create, folder, history, mirror_equals};

/// A certificate for `localhost` and its key, in files.
pub(crate) struct Certified {
    folder: TempDir,
}

impl Certified {
    pub(crate) fn make() -> Result<Self> {
        let folder = TempDir::new()?;
        let CertifiedKey { cert, signing_key } =
            generate_simple_self_signed(["localhost".to_owned()])?;
        std::fs::write(folder.path().join("tls.crt"), cert.pem())?;
        std::fs::write(folder.path().join("tls.key"), signing_key.serialize_pem())?;
        Ok(Self { folder })
    }

    pub(crate) fn path(&self, name: &str) -> Result<String> {
        let path: PathBuf = self.folder.path().join(name);
        Ok(path.to_str().context("a path that is no text")?.to_owned())
    }

    /// Arguments that serve with this certificate and that key.
    pub(crate) fn options(&self, key: &str) -> Result<Options> {
        let args = ["--https", "127.0.0.1:0", "--tls-cert", &self.path("tls.crt")?];
        let mut args: Vec<String> = args.map(str::to_owned).to_vec();
        args.extend(["--tls-key".to_owned(), key.to_owned()]);
        Ok(Options { args, ..Options::default() })
    }
}

#[test]
fn gs_fe_02_histories_are_pushed_and_cloned_over_https() -> Result<()> {
    let certified = Certified::make()?;
    let stratum = Stratum::start_with(certified.options(&certified.path("tls.key")?)?)?;
    let https = stratum.endpoint().https.clone().context("no https in endpoint.json")?;
    let url = format!("{}/demo/tls", https.replace("127.0.0.1", "localhost"));
    let git = stratum.git().with("GIT_SSL_CAINFO", &certified.path("tls.crt")?);
    let source = folder(&stratum, "source");
    history(&git, &source, 5, "sha1")?;
    create(&stratum, "demo/tls", "sha1")?;
    git.run(&source, &["push", "-q", "--mirror", &url])?;
    mirror_equals(&git, &source, &url, &folder(&stratum, "tls.git"))?;
    let untrusting = stratum.git().try_run(&source, &["ls-remote", &url])?;
    ensure!(untrusting.code != 0, "a client that does not know the certificate was served");
    Ok(())
}

#[test]
fn a_key_of_another_certificate_is_refused_by_name() -> Result<()> {
    let (certified, other) = (Certified::make()?, Certified::make()?);
    let key = other.path("tls.key")?;
    let refused = Stratum::start_with(certified.options(&key)?);
    let words = format!("{:#}", refused.err().context("it started with a wrong key")?);
    ensure!(words.contains(&key) || words.contains(&certified.path("tls.crt")?), "{words}");
    Ok(())
}
