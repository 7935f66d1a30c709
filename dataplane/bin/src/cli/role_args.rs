//! Settings of processes that run one role: what pods run. A file says all of it, so that
//! whoever manages the nodes writes one thing.

use std::collections::BTreeMap;
use std::fs;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use clap::Args;
use gitstratum_core::ProcessRole;
use gitstratum_identity::Service;
use gitstratum_process::LogConfig;
use serde::Deserialize;

use super::Failure;

/// Version of the file's format.
const VERSION: u32 = 1;
/// Most bytes of the file.
const FILE_BYTES_MAX: u64 = 1024 * 1024;
/// Most control planes that are named.
const DOORS_MAX: usize = 16;
/// How often everything stored is verified, where nothing was said (P-I2).
const SCRUB_EVERY_SECONDS: u32 = 7 * 24 * 3_600;
/// Where probes and metrics are served, in `listen`.
const METRICS: &str = "metrics";

/// Run an object node alone in this process: a new one joins a running cluster
///
/// It enrols by the join token, registers where it is reached, and takes its place in the ring as soon
/// as the cluster lets it in (`gitstratum rebalance status`). The next start finds it again by what is
/// in its directory. SIGTERM and Ctrl-C finish what is open and stop; `node drain` and `node remove`
/// take it out for good.
#[derive(Args, Debug)]
#[command(after_help = "\
The file is YAML. A field that is not listed here is refused.
  version: 1                            of this format
  directory: /var/lib/gitstratum        where everything of the node lies; made when it is missing
  join:
    tokenFile: /etc/gitstratum/join.token   token and authority, as `up` writes it in its directory
    control: [10.0.0.1:9090]            control planes, HOST:PORT; any one that answers will do
  listen:                               IP:PORT each
    object: 0.0.0.0:9110                calls of other nodes [default: this]
    bulk: 0.0.0.0:9111                  bytes of segments [default: this]
    metrics: 127.0.0.1:9464             probes and metrics [default: this]
  advertise: 10.0.0.4                   the IP by which others reach it [default: that of `listen`]
  region: eu                            where it stands [default: nothing]
  zone: a                               failure domain: copies go to different ones [default: nothing]
  scrubEvery: 604800                    seconds in which all stored data is verified [default: a week]
  offlineGrace: 3600                    seconds that credentials are good without news [default: this]
  logFilter: info                       what to log [default: warn,openraft=error,gitstratum=info]

Example:
  gitstratum object --config /etc/gitstratum/object.yaml")]
pub(crate) struct ObjectArgs {
    #[command(flatten)]
    file: ConfigFile,
}

#[derive(Args, Debug)]
struct ConfigFile {
    /// Settings file
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
}

/// What a process of one role shall do, whole and checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RoleSettings {
    pub(crate) role: ProcessRole,
    /// Absolute.
    pub(crate) directory: PathBuf,
    pub(crate) token_file: PathBuf,
    /// Control planes, `HOST:PORT`.
    pub(crate) doors: Vec<String>,
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

/// The file as it is written.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Written {
    version: u32,
    directory: PathBuf,
    join: Join,
    #[serde(default)]
    listen: BTreeMap<String, SocketAddr>,
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

impl ObjectArgs {
    /// What the file says.
    pub(crate) fn settle(self) -> Result<RoleSettings, Failure> {
        read(&self.file.config, ProcessRole::Object)
    }
}

fn read(path: &Path, role: ProcessRole) -> Result<RoleSettings, Failure> {
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
        let scrub_every = self.scrub_every.unwrap_or(SCRUB_EVERY_SECONDS);
        ensure!(scrub_every > 0, "`scrubEvery` is 0: the disk would do nothing else");
        let (listen, metrics) = listening(&self.listen, role)?;
        let shown = shown(&listen, self.advertise)?;
        let directory = std::path::absolute(&self.directory).context("finding `directory`")?;
        Ok(RoleSettings {
            role,
            directory,
            token_file: self.join.token_file,
            doors: self.join.control,
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
    let is_known = |word: &&String| {
        *word == METRICS || known.iter().any(|(service, _)| service.as_str() == *word)
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
mod tests {
    use super::*;

    const WHOLE: &str = "\
version: 1
directory: /srv/node
join:
  tokenFile: /etc/join.token
  control: [cp-0.cp:9090, 10.0.0.1:9090]
listen:
  object: 0.0.0.0:9110
  bulk: 127.0.0.1:7
advertise: 10.0.0.4
zone: a
scrubEvery: 60
offlineGrace: 5
";

    fn object(text: &str) -> Result<RoleSettings, String> {
        parse(text, ProcessRole::Object).map_err(|error| format!("{error:#}"))
    }

    #[test]
    fn gs_cp_49_a_whole_file_is_read() {
        let settings = object(WHOLE).unwrap();
        assert_eq!(settings.doors.len(), 2);
        let at = |text: &str| text.parse::<SocketAddr>().unwrap();
        assert_eq!(settings.listen[&Service::Bulk], at("127.0.0.1:7"));
        assert_eq!(settings.shown[&Service::Bulk], at("10.0.0.4:7"));
        assert_eq!(settings.shown[&Service::Object], at("10.0.0.4:9110"));
        assert_eq!(settings.metrics, at("127.0.0.1:9464"));
        assert_eq!((settings.zone.as_str(), settings.scrub_every), ("a", 60));
        assert_eq!(settings.offline_grace, Some(Duration::from_secs(5)));
    }

    #[test]
    fn what_is_wrong_is_refused_by_the_name_of_its_field() {
        for (from, to, why) in [
            ("version: 1", "version: 2", "`version` is 2"),
            ("zone: a", "zoen: a", "zoen"),
            ("  tokenFile", "  token", "token"),
            ("directory: /srv/node\n", "", "directory"),
            ("  bulk:", "  metadata:", "`listen.metadata` is no service"),
            ("127.0.0.1:7", "127.0.0.1:0", "`listen.bulk` has port 0"),
            ("127.0.0.1:7", "0.0.0.0:9110", "`listen.bulk` is another's too"),
            ("127.0.0.1:7", "here", "bulk"),
            ("advertise: 10.0.0.4\n", "", "`advertise` is missing"),
            ("[cp-0.cp:9090, 10.0.0.1:9090]", "[]", "names no control plane"),
            ("10.0.0.1:9090", "10.0.0.1", "which is not HOST:PORT"),
            ("scrubEvery: 60", "scrubEvery: 0", "`scrubEvery` is 0"),
        ] {
            let text = WHOLE.replacen(from, to, 1);
            assert_ne!(text, WHOLE, "{from}");
            let error = object(&text).expect_err(why);
            assert!(error.contains(why), "{to}: {error}");
        }
    }
}
