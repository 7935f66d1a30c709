use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Result, bail, ensure};
use clap::Args;
use gitstratum_process::LogConfig;
use serde::{Deserialize, Deserializer};

use super::Failure;
use super::console::DATA;

/// Most bytes of a settings file.
const CONFIG_BYTES_MAX: u64 = 1024 * 1024;
/// How often everything that is stored is verified, where nothing was said (P-I2).
const SCRUB_EVERY_SECONDS: u32 = 7 * 24 * 3_600;

/// Run the whole system here
///
/// Every role of one node in this process, on one data directory; the first start makes it, with a
/// user `admin` and an empty repository `demo/hello`, and prints a line that clones it. Ctrl-C and
/// SIGTERM finish what is open and stop.
#[derive(Args, Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
#[command(after_help = "\
Examples:
  gitstratum up
  gitstratum up --data /srv/git --http 127.0.0.1:0 --ssh 0.0.0.0:2222
  gitstratum up --https 0.0.0.0:8443 --tls-cert fullchain.pem --tls-key key.pem

The settings file is YAML: options by their names, `http: 127.0.0.1:8080`. What is typed counts more.")]
pub(crate) struct UpOptions {
    /// How many nodes, each with all roles, a process each when there are 3 [default: as the
    /// data directory has, else 1]
    #[arg(long, value_name = "1|3")]
    nodes: Option<u8>,
    /// Which of several nodes this process is: for the process that watches over them.
    #[arg(long, hide = true)]
    #[serde(skip)]
    node: Option<u8>,
    /// The process that watches over this one.
    #[arg(long, hide = true, requires = "node")]
    #[serde(skip)]
    watched_by: Option<u32>,
    /// Where to serve Git over HTTP; port 0 picks a free one [default: 127.0.0.1:8080]
    #[arg(long, value_name = "ADDR", value_parser = parse_address)]
    #[serde(deserialize_with = "read_address")]
    http: Option<SocketAddr>,
    /// Where to serve Git over SSH [default: 127.0.0.1:2222]
    #[arg(long, value_name = "ADDR", value_parser = parse_address)]
    #[serde(deserialize_with = "read_address")]
    ssh: Option<SocketAddr>,
    /// Where to serve Git over HTTPS [default: nowhere]
    #[arg(long, value_name = "ADDR", value_parser = parse_address)]
    #[serde(deserialize_with = "read_address")]
    https: Option<SocketAddr>,
    /// Certificate chain for HTTPS, PEM
    #[arg(long, value_name = "FILE")]
    tls_cert: Option<PathBuf>,
    /// Its private key, PEM
    #[arg(long, value_name = "FILE")]
    tls_key: Option<PathBuf>,
    /// Where to serve probes and metrics [default: 127.0.0.1:9464]
    #[arg(long, value_name = "ADDR", value_parser = parse_address)]
    #[serde(deserialize_with = "read_address")]
    metrics: Option<SocketAddr>,
    /// Settings file: YAML with the names of these options, like `http: 127.0.0.1:8080`
    #[arg(long, value_name = "FILE")]
    #[serde(skip)]
    config: Option<PathBuf>,
    /// Serve HTTP to other machines too: tokens then cross the network in clear
    #[arg(long)]
    insecure_http: bool,
    /// What to log, like `info,gitstratum=debug` [default: warn,openraft=error,gitstratum=info]
    #[arg(long, value_name = "FILTER")]
    log_filter: Option<String>,
    /// How long certificates inside the cluster hold, in seconds: for tests of their renewal.
    #[arg(long, hide = true, value_name = "SECONDS")]
    #[serde(skip)]
    certificate_lifetime: Option<u64>,
    /// How long credentials are good without news where the cluster has not set it, in seconds:
    /// for tests of what happens then.
    #[arg(long, hide = true, value_name = "SECONDS")]
    #[serde(skip)]
    offline_grace: Option<u64>,
    /// How often everything that is stored is read and verified [default: 604800, a week]
    #[arg(long, value_name = "SECONDS")]
    scrub_every: Option<u32>,
}

/// What `up` shall do, whole and checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct UpArgs {
    /// Data directory.
    pub(crate) data: PathBuf,
    /// How many nodes, if it was said.
    pub(crate) nodes: Option<u8>,
    /// Which of several nodes this process is.
    pub(crate) node: Option<u8>,
    /// The process that watches over this one.
    pub(crate) watched_by: Option<u32>,
    /// Where Git is served over HTTP.
    pub(crate) http: SocketAddr,
    /// Where Git is served over SSH.
    pub(crate) ssh: SocketAddr,
    /// Where Git is served over HTTPS.
    pub(crate) https: Option<SocketAddr>,
    /// Certificate chain for HTTPS.
    pub(crate) tls_cert: Option<PathBuf>,
    /// Its key.
    pub(crate) tls_key: Option<PathBuf>,
    /// Where probes and metrics are served.
    pub(crate) metrics: SocketAddr,
    /// HTTP may be served to other machines.
    pub(crate) insecure_http: bool,
    /// What is logged.
    pub(crate) log_filter: String,
    /// How long certificates inside the cluster hold, if it was said.
    pub(crate) certificate_lifetime: Option<Duration>,
    /// How long credentials are good without news, if it was said.
    pub(crate) offline_grace: Option<Duration>,
    /// How often everything stored is verified, seconds.
    pub(crate) scrub_every: u32,
}

impl UpOptions {
    /// What was typed, then what the settings file says, then the defaults; checked.
    pub(crate) fn settle(self, data: Option<PathBuf>) -> Result<UpArgs, Failure> {
        let written = self.config.as_deref().map(read_config).transpose()?.unwrap_or_default();
        let local = |port| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let args = UpArgs {
            data: data.unwrap_or_else(|| DATA.into()),
            nodes: self.nodes.or(written.nodes),
            node: self.node,
            watched_by: self.watched_by,
            http: self.http.or(written.http).unwrap_or_else(|| local(8080)),
            ssh: self.ssh.or(written.ssh).unwrap_or_else(|| local(2222)),
            https: self.https.or(written.https),
            tls_cert: self.tls_cert.or(written.tls_cert),
            tls_key: self.tls_key.or(written.tls_key),
            metrics: self.metrics.or(written.metrics).unwrap_or_else(|| local(9464)),
            insecure_http: self.insecure_http || written.insecure_http,
            log_filter: self
                .log_filter
                .or(written.log_filter)
                .unwrap_or_else(|| LogConfig::default().filter),
            certificate_lifetime: self.certificate_lifetime.map(Duration::from_secs),
            offline_grace: self.offline_grace.map(Duration::from_secs),
            scrub_every: self.scrub_every.or(written.scrub_every).unwrap_or(SCRUB_EVERY_SECONDS),
        };
        args.validate().map_err(|error| Failure::usage(error.to_string(), HINT))?;
        Ok(args)
    }
}

/// What to do about options that contradict each other.
const HINT: &str = "`gitstratum up --help` explains the options";

impl UpArgs {
    /// Checks that the options fit each other.
    ///
    /// # Errors
    /// Names the option that cannot be.
    pub(crate) fn validate(&self) -> Result<()> {
        match self.nodes {
            None | Some(1 | 3) => {}
            Some(other) => bail!("--nodes {other}: there can be 1 or 3"),
        }
        ensure!(self.scrub_every > 0, "--scrub-every 0: the disk would do nothing else");
        ensure!(
            self.http.ip().is_loopback() || self.insecure_http,
            "--http {}: tokens would cross the network in clear; use --https, or allow it with \
             --insecure-http",
            self.http
        );
        match (self.https, &self.tls_cert, &self.tls_key) {
            (None, None, None) | (Some(_), Some(_), Some(_)) => Ok(()),
            (Some(_), ..) => bail!("--https needs --tls-cert and --tls-key"),
            (None, ..) => bail!("--tls-cert and --tls-key are for --https"),
        }
    }
}

fn read_config(path: &Path) -> Result<UpOptions, Failure> {
    use std::io::Read as _;
    let failed = |why: String| Failure::failed(format!("settings file {} {why}", path.display()));
    let mut text = String::new();
    let read =
        fs::File::open(path).and_then(|file| file.take(CONFIG_BYTES_MAX).read_to_string(&mut text));
    read.map_err(|error| failed(format!("does not read: {error}")))?;
    serde_saphyr::from_str(&text).map_err(|error| {
        // The lines below the first draw the place in the file.
        let error = error.to_string();
        let first = error.lines().next().unwrap_or_default();
        failed(format!("is wrong: {}", first.trim_start_matches("error: ")))
    })
}

/// `IP:PORT`, or `localhost:PORT`.
fn parse_address(text: &str) -> Result<SocketAddr, &'static str> {
    if let Some(port) = text.strip_prefix("localhost:").and_then(|port| port.parse().ok()) {
        return Ok(SocketAddr::from((Ipv4Addr::LOCALHOST, port)));
    }
    text.parse().map_err(|_| "an address is IP:PORT, like 127.0.0.1:8080 or [::]:8443")
}

fn read_address<'de, D: Deserializer<'de>>(from: D) -> Result<Option<SocketAddr>, D::Error> {
    let text = Option::<String>::deserialize(from)?;
    text.map(|text| parse_address(&text).map_err(serde::de::Error::custom)).transpose()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::{Command, Verb};
    use clap::Parser as _;

    fn settle(words: &str) -> Result<UpArgs, String> {
        let words = ["gitstratum", "up"].into_iter().chain(words.split_whitespace());
        let command = Command::try_parse_from(words).map_err(|error| error.to_string())?;
        let Verb::Up(options) = command.verb else { return Err("another verb".to_owned()) };
        options.settle(command.global.data).map_err(|failure| format!("{failure:?}"))
    }

    #[test]
    fn defaults_are_those_that_the_docs_promise() {
        let args = settle("").unwrap();
        assert_eq!(args.data, Path::new("./gitstratum-data"));
        assert_eq!((args.nodes, args.https), (None, None));
        let shown = [args.http, args.ssh, args.metrics].map(|address| address.to_string());
        assert_eq!(shown, ["127.0.0.1:8080", "127.0.0.1:2222", "127.0.0.1:9464"]);
    }

    #[test]
    fn what_cannot_be_is_refused_by_name() {
        for (words, why) in [
            ("--http 0.0.0.0:80", "--insecure-http"),
            ("--nodes 2", "there can be 1 or 3"),
            ("--https 0.0.0.0:443", "needs --tls-cert and --tls-key"),
            ("--https 0.0.0.0:443 --tls-cert a", "needs --tls-cert and --tls-key"),
            ("--tls-key a", "are for --https"),
            ("--scrub-every 0", "would do nothing else"),
            ("--http here", "an address is IP:PORT"),
            ("--config /nowhere/at/all", "does not read"),
        ] {
            let error = settle(words).expect_err("because it cannot be");
            assert!(error.contains(why), "{words}: {error}");
        }
        assert!(settle("--http 0.0.0.0:80 --insecure-http").is_ok());
        assert!(settle("--http [::1]:0 --ssh 0.0.0.0:22").is_ok());
        assert!(settle("--https 0.0.0.0:443 --tls-cert a --tls-key b").is_ok());
    }

    #[test]
    fn what_is_typed_counts_more_than_the_settings_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("up.yaml");
        fs::write(&path, "http: localhost:1\nssh: 127.0.0.1:2\nlog-filter: debug\n").unwrap();
        let args = settle(&format!("--config {} --ssh 127.0.0.1:3", path.display())).unwrap();
        assert_eq!((args.http.port(), args.ssh.port()), (1, 3));
        assert_eq!(args.log_filter, "debug");
        fs::write(&path, "htpp: 127.0.0.1:1\n").unwrap();
        let error = settle(&format!("--config {}", path.display()));
        assert!(error.expect_err("because of a typing error").contains("htpp"));
    }
}
