use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::cli::up_args::UpArgs;

/// Metadata partitions of a cluster made by `up`; fixed for the life of its data.
pub(super) const PARTITIONS: u32 = 4;

/// What `up` was asked for, checked.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    /// The data directory, absolute.
    pub(super) data: PathBuf,
    /// The folder of the node that this process is.
    pub(super) folder: PathBuf,
    /// How many nodes the cluster begins with, if it was said.
    pub(super) nodes: Option<u8>,
    /// Which of several nodes this process is, counted from 1; `None` if it is the only one,
    /// or watches over them.
    pub(super) node: Option<u8>,
    pub(super) http: SocketAddr,
    pub(super) ssh: SocketAddr,
    pub(super) https: Option<Https>,
    pub(super) metrics: SocketAddr,
    /// HTTP may be served to other machines.
    pub(super) insecure_http: bool,
    pub(super) log_filter: String,
    /// How long certificates hold, if not as long as always.
    pub(super) certificate_lifetime: Option<Duration>,
    /// How long credentials are good without news, if not as long as always.
    pub(super) offline_grace: Option<Duration>,
    /// How often everything stored is verified.
    pub(super) scrub_every: Duration,
    pub(super) place: Place,
}

/// Where a node stands; empty where it was not said.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) region: String,
    /// Its failure domain.
    pub(super) zone: String,
}

/// Where HTTPS is served, and with what.
#[derive(Clone, Debug)]
pub(super) struct Https {
    pub(super) address: SocketAddr,
    pub(super) certificate: PathBuf,
    pub(super) key: PathBuf,
}

impl Plan {
    /// # Errors
    /// Names the option that cannot be.
    pub(super) fn of(args: &UpArgs) -> Result<Self> {
        args.validate()?;
        let data = std::path::absolute(&args.data)
            .with_context(|| format!("finding {}", args.data.display()))?;
        let https = match (args.https, &args.tls_cert, &args.tls_key) {
            (None, _, _) => None,
            (Some(address), Some(certificate), Some(key)) => {
                Some(Https { address, certificate: certificate.clone(), key: key.clone() })
            }
            (Some(_), _, _) => bail!("--https needs --tls-cert and --tls-key"),
        };
        let (nodes, node) = (args.nodes, args.node);
        let folder = node_folder(&data, node.unwrap_or(1));
        let (http, ssh, metrics) = (args.http, args.ssh, args.metrics);
        let (insecure_http, log_filter) = (args.insecure_http, args.log_filter.clone());
        let (certificate_lifetime, offline_grace) = (args.certificate_lifetime, args.offline_grace);
        let scrub_every = Duration::from_secs(args.scrub_every.into());
        Ok(Self {
            data,
            folder,
            nodes,
            node,
            http,
            ssh,
            https,
            metrics,
            insecure_http,
            log_filter,
            certificate_lifetime,
            offline_grace,
            scrub_every,
            place: Place::default(),
        })
    }

    /// Of a process that runs one role on `directory` and no frontend.
    pub(super) fn of_one_role(directory: PathBuf, metrics: SocketAddr) -> Self {
        let nowhere = SocketAddr::from((std::net::Ipv4Addr::LOCALHOST, 0));
        Self {
            data: directory.clone(),
            folder: directory,
            nodes: None,
            node: None,
            http: nowhere,
            ssh: nowhere,
            https: None,
            metrics,
            insecure_http: false,
            log_filter: String::new(),
            certificate_lifetime: None,
            offline_grace: None,
            scrub_every: Duration::ZERO,
            place: Place::default(),
        }
    }

    /// The number of the node that this process is.
    pub(super) fn number(&self) -> u8 {
        self.node.unwrap_or(1)
    }

    /// The folder of that node.
    pub(super) fn folder(&self) -> PathBuf {
        self.folder.clone()
    }

    /// Where it says where it is found: the data directory, or one of several nodes' folder.
    pub(super) fn endpoint_folder(&self) -> PathBuf {
        self.node.map_or_else(|| self.data.clone(), |_| self.folder())
    }

    /// The folder of one of its roles.
    pub(super) fn role(&self, role: &str) -> PathBuf {
        self.folder().join(role)
    }
}

/// The folder of a node.
pub(super) fn node_folder(data: &Path, number: u8) -> PathBuf {
    nodes_folder(data).join(number.to_string())
}

/// The folder that holds those of the nodes.
pub(super) fn nodes_folder(data: &Path) -> PathBuf {
    data.join("nodes")
}
