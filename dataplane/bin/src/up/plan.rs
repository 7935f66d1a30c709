use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::cli::up_args::UpArgs;

/// Metadata partitions of a cluster made by `up`; fixed for the life of its data.
pub(super) const PARTITIONS: u32 = 4;

/// What `up` was asked for, checked.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    /// The data directory, absolute.
    pub(super) data: PathBuf,
    pub(super) http: SocketAddr,
    pub(super) ssh: SocketAddr,
    pub(super) https: Option<Https>,
    pub(super) metrics: SocketAddr,
    pub(super) log_filter: String,
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
        let (http, ssh, metrics) = (args.http, args.ssh, args.metrics);
        Ok(Self { data, http, ssh, https, metrics, log_filter: args.log_filter.clone() })
    }

    /// The folder of one role of the node.
    pub(super) fn role(&self, role: &str) -> PathBuf {
        node_folder(&self.data).join(role)
    }
}

/// The folder of the only node.
pub(super) fn node_folder(data: &Path) -> PathBuf {
    data.join("nodes").join("1")
}
