//! Processes that run one role: what pods run. A file says all of it, so that whoever manages
//! the nodes writes one thing.

mod settings;

use std::path::PathBuf;

use clap::Args;
use gitstratum_core::ProcessRole;

use super::Failure;
use settings::read;

pub(crate) use settings::{FrontendSettings, KeyFiles, RoleSettings};

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

/// Run a control plane alone in this process: a new one joins those of a running cluster
///
/// It enrols by the join token and waits until the control plane's leader takes it in: as a learner
/// first, as a voter once it has caught up and the number of voters stays odd, up to five. `status`
/// shows the voters. `node drain` gives its vote to another, `node remove` takes it out for good.
#[derive(Args, Debug)]
#[command(after_help = "\
The file is YAML. A field that is not listed here is refused.
  version: 1                            of this format
  directory: /var/lib/gitstratum        where everything of the node lies; made when it is missing
  join:
    tokenFile: /etc/gitstratum/join.token   token and authority, as `up` writes it in its directory
    control: [10.0.0.1:9090]            control planes, HOST:PORT; any one that answers will do
  authority:
    certificateFile: /etc/gitstratum/ca.crt  the cluster's authority, which every control plane has
    keyFile: /etc/gitstratum/ca.key     its key
  listen:                               IP:PORT each
    control: 0.0.0.0:9090               calls of nodes and people [default: this]
    control-raft: 0.0.0.0:8080          messages of other control planes [default: this]
    metrics: 127.0.0.1:9464             probes and metrics [default: this]
  advertise: 10.0.0.4                   the IP by which others reach it [default: that of `listen`]
  region: eu                            where it stands [default: nothing]
  zone: a                               failure domain [default: nothing]
  offlineGrace: 3600                    seconds that credentials are good without news [default: this]
  logFilter: info                       what to log [default: warn,openraft=error,gitstratum=info]

Example:
  gitstratum control --config /etc/gitstratum/control.yaml")]
pub(crate) struct ControlArgs {
    #[command(flatten)]
    file: ConfigFile,
}

/// Run a frontend alone in this process: a new one joins a running cluster
///
/// It enrols by the join token and serves Git over SSH and HTTP(S). SIGTERM and Ctrl-C end what is
/// open within `drainSeconds`; it holds nothing that others do not.
#[derive(Args, Debug)]
#[command(after_help = "\
The file is YAML. A field that is not listed here is refused.
  version: 1                            of this format
  directory: /var/lib/gitstratum        where its identity and its spool lie; made when it is missing
  join:
    tokenFile: /etc/gitstratum/join.token   token and authority, as `up` writes it in its directory
    control: [10.0.0.1:9090]            control planes, HOST:PORT; any one that answers will do
  listen:                               IP:PORT each
    ssh: 0.0.0.0:2222                   Git over SSH [default: this]
    https: 0.0.0.0:8443                 Git over HTTPS, with `tls` [default: nowhere]
    http: 127.0.0.1:8080                Git over HTTP [default: nowhere]
    metrics: 127.0.0.1:9464             probes and metrics [default: this]
  sshHostKeyFile: /etc/gitstratum/ssh_host_key  the host key that all frontends have
  tls:
    certificateFile: /etc/tls/tls.crt   certificate chain for HTTPS, PEM
    keyFile: /etc/tls/tls.key           its key
  insecureHttp: false                   HTTP may be served to other machines, tokens in clear [default: this]
  drainSeconds: 900                     seconds that open requests may take once it stops [default: this]
  region: eu                            where it stands [default: nothing]
  zone: a                               failure domain [default: nothing]
  offlineGrace: 3600                    seconds that credentials are good without news [default: this]
  logFilter: info                       what to log [default: warn,openraft=error,gitstratum=info]

Example:
  gitstratum frontend --config /etc/gitstratum/frontend.yaml")]
pub(crate) struct FrontendArgs {
    #[command(flatten)]
    file: ConfigFile,
}

/// Run a metadata node alone in this process: a new one joins a running cluster
///
/// It enrols by the join token, and partitions get a voter on it one by one, until all metadata nodes
/// have about as many (`gitstratum status` shows the voters). SIGTERM and Ctrl-C hand over what it
/// leads and stop. `node drain` gives its votes to others, `node remove` takes it out for good.
#[derive(Args, Debug)]
#[command(after_help = "\
The file is YAML. A field that is not listed here is refused.
  version: 1                            of this format
  directory: /var/lib/gitstratum        where everything of the node lies; made when it is missing
  join:
    tokenFile: /etc/gitstratum/join.token   token and authority, as `up` writes it in its directory
    control: [10.0.0.1:9090]            control planes, HOST:PORT; any one that answers will do
  listen:                               IP:PORT each
    metadata: 0.0.0.0:9100              calls of other nodes [default: this]
    metadata-raft: 0.0.0.0:9101         messages of other voters [default: this]
    metrics: 127.0.0.1:9464             probes and metrics [default: this]
  advertise: 10.0.0.4                   the IP by which others reach it [default: that of `listen`]
  region: eu                            where it stands [default: nothing]
  zone: a                               failure domain: voters go to several [default: nothing]
  offlineGrace: 3600                    seconds that credentials are good without news [default: this]
  logFilter: info                       what to log [default: warn,openraft=error,gitstratum=info]

Example:
  gitstratum metadata --config /etc/gitstratum/metadata.yaml")]
pub(crate) struct MetadataArgs {
    #[command(flatten)]
    file: ConfigFile,
}

#[derive(Args, Debug)]
struct ConfigFile {
    /// Settings file
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
}

impl ObjectArgs {
    /// What the file says.
    pub(crate) fn settle(self) -> Result<RoleSettings, Failure> {
        read(&self.file.config, ProcessRole::Object)
    }
}

impl FrontendArgs {
    /// What the file says.
    pub(crate) fn settle(self) -> Result<RoleSettings, Failure> {
        read(&self.file.config, ProcessRole::Frontend)
    }
}

impl MetadataArgs {
    /// What the file says.
    pub(crate) fn settle(self) -> Result<RoleSettings, Failure> {
        read(&self.file.config, ProcessRole::Metadata)
    }
}

impl ControlArgs {
    /// What the file says.
    pub(crate) fn settle(self) -> Result<RoleSettings, Failure> {
        read(&self.file.config, ProcessRole::Control)
    }
}
