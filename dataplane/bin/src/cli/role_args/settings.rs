use std::collections::BTreeMap;
use std::fs;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use gitstratum_core::ProcessRole;
use gitstratum_identity::Service;
use gitstratum_process::LogConfig;
use serde::Deserialize;

use crate::cli::Failure;

/// Version of the file's format.
const VERSION: u32 = 1;
/// Most bytes of the file.
const FILE_BYTES_MAX: u64 = 1024 * 1024;
/// Most control planes that are named.
const DOORS_MAX: usize = 16;
/// How long open requests may take once a frontend stops, where nothing was said.
const DRAIN_SECONDS: u64 = 900;
/// How often everything stored is verified, where nothing was said (P-I2).
const SCRUB_EVERY_SECONDS: u32 = 7 * 24 * 3_600;
/// Where probes and metrics are served, in `listen`.
const METRICS: &str = "metrics";

/// What a process of one role shall do, whole and checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RoleSettings {
    pub(crate) role: ProcessRole,
    /// Absolute.
    pub(crate) directory: PathBuf,
    pub(crate) token_file: PathBuf,
    /// Control planes, `HOST:PORT`.
    pub(crate) doors: Vec<String>,
    /// Of a control plane.
    pub(crate) authority: Option<KeyFiles>,
    /// Of a frontend.
    pub(crate) frontend: Option<FrontendSettings>,
    /// Where its services listen.
    pub(crate) listen: BTreeMap<Service, SocketAddr>,
    /// Where others reach them.
    pub(crate) shown: BTreeMap<Service, SocketAddr>,
    pub(crate) metrics: SocketAddr,
    pub(crate) region: String,
    pub(crate) zone: String,
    pub(crate) scrub_every: u32,
    pub(crate) offline_grace: Option<Duration>,
    pub(crate) log_filter: String,
}

/// What a frontend serves, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct FrontendSettings {
    pub(crate) ssh: SocketAddr,
    pub(crate) http: Option<SocketAddr>,
    /// With certificate and key.
    pub(crate) https: Option<(SocketAddr, KeyFiles)>,
    pub(crate) host_key_file: PathBuf,
    /// How long open requests may go on once a stop was asked for.
    pub(crate) drain_within: Duration,
}

/// Where a certificate and its key are, PEM.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(crate) struct KeyFiles {
    pub(crate) certificate_file: PathBuf,
    pub(crate) key_file: PathBuf,
}

/// The file as it is written.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Written {
    version: u32,
    directory: PathBuf,
    join: Join,
    authority: Option<KeyFiles>,
    ssh_host_key_file: Option<PathBuf>,
    tls: Option<KeyFiles>,
    insecure_http: Option<bool>,
    drain_seconds: Option<u64>,
    #[serde(default)]
    listen: BTreeMap<String, String>,
    advertise: Option<IpAddr>,
    #[serde(default)]
    region: String,
    #[serde(default)]
    zone: String,
    scrub_every: Option<u32>,
    offline_grace: Option<u64>,
    log_filter: Option<String>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Join {
    token_file: PathBuf,
    control: Vec<String>,
}

/// The settings in the file at `path`, for a process with `role`.
pub(super) fn read(path: &Path, role: ProcessRole) -> Result<RoleSettings, Failure> {
    use std::io::Read as _;
    let failed = |why: String| Failure::failed(format!("settings file {} {why}", path.display()));
    let mut text = String::new();
    let read =
        fs::File::open(path).and_then(|file| file.take(FILE_BYTES_MAX).read_to_string(&mut text));
    read.map_err(|error| failed(format!("does not read: {error}")))?;
    parse(&text, role).map_err(|error| failed(format!("is wrong: {error:#}")))
}

fn parse(text: &str, role: ProcessRole) -> Result<RoleSettings> {
    let written: Written = serde_saphyr::from_str(text).map_err(|error| {
        // The lines below the first draw the place in the file.
        let error = error.to_string();
        let first = error.lines().next().unwrap_or_default().to_owned();
        anyhow::anyhow!(first.trim_start_matches("error: ").to_owned())
    })?;
    written.settle(role)
}

impl Written {
    fn settle(self, role: ProcessRole) -> Result<RoleSettings> {
        let Self { version, .. } = self;
        ensure!(version == VERSION, "`version` is {version}; this program reads {VERSION}");
        check_doors(&self.join.control)?;
        self.check_owners(role)?;
        let addresses = self.addresses()?;
        let serves = role == ProcessRole::Frontend;
        let frontend = serves.then(|| self.frontend(&addresses)).transpose()?;
        let scrub_every = self.scrub_every.unwrap_or(SCRUB_EVERY_SECONDS);
        ensure!(scrub_every > 0, "`scrubEvery` is 0: the disk would do nothing else");
        let (listen, metrics) = listening(&addresses, role)?;
        let shown = shown(&listen, self.advertise)?;
        let directory = std::path::absolute(&self.directory).context("finding `directory`")?;
        Ok(RoleSettings {
            role,
            directory,
            token_file: self.join.token_file,
            doors: self.join.control,
            authority: self.authority,
            frontend,
            listen,
            shown,
            metrics,
            region: self.region,
            zone: self.zone,
            scrub_every,
            offline_grace: self.offline_grace.map(Duration::from_secs),
            log_filter: self.log_filter.unwrap_or_else(|| LogConfig::default().filter),
        })
    }
}

impl Written {
    /// Fields of one role are not for others.
    fn check_owners(&self, role: ProcessRole) -> Result<()> {
        let fields = [
            ("authority", self.authority.is_some(), ProcessRole::Control),
            ("scrubEvery", self.scrub_every.is_some(), ProcessRole::Object),
            ("sshHostKeyFile", self.ssh_host_key_file.is_some(), ProcessRole::Frontend),
            ("tls", self.tls.is_some(), ProcessRole::Frontend),
            ("insecureHttp", self.insecure_http.is_some(), ProcessRole::Frontend),
            ("drainSeconds", self.drain_seconds.is_some(), ProcessRole::Frontend),
        ];
        let foreign = fields.iter().find(|(_, is_there, owner)| *is_there && *owner != role);
        if let Some((name, _, owner)) = foreign {
            bail!("`{name}` is for role {owner} alone");
        }
        // Nobody but clients of Git dials a frontend.
        let is_idle = role == ProcessRole::Frontend && self.advertise.is_some();
        ensure!(!is_idle, "`advertise` is not for role frontend");
        let is_missing = role == ProcessRole::Control && self.authority.is_none();
        ensure!(!is_missing, "`authority` is missing");
        Ok(())
    }

    /// Where it is to listen, by the names of services.
    fn addresses(&self) -> Result<BTreeMap<String, SocketAddr>> {
        let parse = |(name, text): (&String, &String)| {
            let address = text.parse::<SocketAddr>().ok();
            let address = address.with_context(|| format!("`listen.{name}` is not IP:PORT"))?;
            Ok((name.clone(), address))
        };
        self.listen.iter().map(parse).collect()
    }

    fn frontend(&self, listen: &BTreeMap<String, SocketAddr>) -> Result<FrontendSettings> {
        let listen = |name: &str| listen.get(name).copied();
        let host_key_file =
            self.ssh_host_key_file.clone().context("`sshHostKeyFile` is missing")?;
        let https = match (listen("https"), &self.tls) {
            (None, None) => None,
            (Some(address), Some(files)) => Some((address, files.clone())),
            (Some(_), None) => bail!("`listen.https` needs `tls`"),
            (None, Some(_)) => bail!("`tls` is for `listen.https`"),
        };
        let http = listen("http");
        let is_safe = http.is_none_or(|at| at.ip().is_loopback());
        ensure!(
            is_safe || self.insecure_http == Some(true),
            "`listen.http` is for other machines too: tokens would cross the network in clear; use \
             `listen.https`, or allow it with `insecureHttp: true`"
        );
        let ssh = listen("ssh").unwrap_or_else(|| SocketAddr::from((Ipv4Addr::UNSPECIFIED, 2_222)));
        let drain_within = Duration::from_secs(self.drain_seconds.unwrap_or(DRAIN_SECONDS));
        Ok(FrontendSettings { ssh, http, https, host_key_file, drain_within })
    }
}

fn check_doors(doors: &[String]) -> Result<()> {
    ensure!(!doors.is_empty(), "`join.control` names no control plane");
    ensure!(doors.len() <= DOORS_MAX, "`join.control` names more than {DOORS_MAX}");
    let has_port = |door: &&String| {
        let parts = door.rsplit_once(':');
        parts.is_some_and(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok())
    };
    match doors.iter().find(|door| !has_port(door)) {
        Some(door) => bail!("`join.control` holds `{door}`, which is not HOST:PORT"),
        None => Ok(()),
    }
}

/// The services of a role, each with the port that it has by default.
fn services(role: ProcessRole) -> &'static [(Service, u16)] {
    match role {
        ProcessRole::Control => &[(Service::Control, 9_090), (Service::ControlRaft, 8_080)],
        ProcessRole::Metadata => &[(Service::Metadata, 9_100), (Service::MetadataRaft, 9_101)],
        ProcessRole::Object => &[(Service::Object, 9_110), (Service::Bulk, 9_111)],
        ProcessRole::Frontend | ProcessRole::Agent => &[],
    }
}

fn listening(
    written: &BTreeMap<String, SocketAddr>,
    role: ProcessRole,
) -> Result<(BTreeMap<Service, SocketAddr>, SocketAddr)> {
    let known = services(role);
    let outer: &[&str] = match role {
        ProcessRole::Frontend => &["ssh", "http", "https", METRICS],
        _ => &[METRICS],
    };
    let is_known = |word: &&String| {
        outer.contains(&word.as_str()) || known.iter().any(|(service, _)| service.as_str() == *word)
    };
    if let Some(word) = written.keys().find(|word| !is_known(word)) {
        bail!("`listen.{word}` is no service of a process with role {role}");
    }
    let mut listen = BTreeMap::new();
    for (service, port) in known {
        let default = SocketAddr::from((Ipv4Addr::UNSPECIFIED, *port));
        let address = written.get(service.as_str()).copied().unwrap_or(default);
        let name = service.as_str();
        ensure!(address.port() != 0, "`listen.{name}` has port 0: others could not know which");
        ensure!(!listen.values().any(|at| *at == address), "`listen.{name}` is another's too");
        listen.insert(*service, address);
    }
    let metrics = written.get(METRICS).copied();
    Ok((listen, metrics.unwrap_or_else(|| SocketAddr::from((Ipv4Addr::LOCALHOST, 9_464)))))
}

/// Where others reach what listens.
fn shown(
    listen: &BTreeMap<Service, SocketAddr>,
    advertise: Option<IpAddr>,
) -> Result<BTreeMap<Service, SocketAddr>> {
    let show = |(service, address): (&Service, &SocketAddr)| {
        let ip = advertise.unwrap_or_else(|| address.ip());
        let name = service.as_str();
        ensure!(
            !ip.is_unspecified(),
            "`advertise` is missing: others cannot dial {address}, where {name} listens"
        );
        Ok((*service, SocketAddr::new(ip, address.port())))
    };
    listen.iter().map(show).collect()
}

#[cfg(test)]
mod tests;
