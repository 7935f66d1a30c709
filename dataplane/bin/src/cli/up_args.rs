use std::net::SocketAddr;
use std::path::PathBuf;

use anyhow::{Result, bail};
use clap::Args;

/// Options of `gitstratum up`.
#[derive(Args, Clone, Debug)]
pub(crate) struct UpArgs {
    /// Data directory.
    #[arg(long, default_value = "./gitstratum-data")]
    pub(crate) data: PathBuf,
    /// Nodes: 1.
    #[arg(long, default_value_t = 1)]
    pub(crate) nodes: u8,
    /// Address of HTTP.
    #[arg(long, default_value = "127.0.0.1:8080")]
    pub(crate) http: SocketAddr,
    /// Address of SSH.
    #[arg(long, default_value = "127.0.0.1:2222")]
    pub(crate) ssh: SocketAddr,
    /// Address of HTTPS.
    #[arg(long)]
    pub(crate) https: Option<SocketAddr>,
    /// Certificate chain of HTTPS.
    #[arg(long)]
    pub(crate) tls_cert: Option<PathBuf>,
    /// Key of HTTPS.
    #[arg(long)]
    pub(crate) tls_key: Option<PathBuf>,
    /// Address of probes and metrics.
    #[arg(long, default_value = "127.0.0.1:9464")]
    pub(crate) metrics: SocketAddr,
    /// Serve HTTP on other addresses than loopback.
    #[arg(long)]
    pub(crate) insecure_http: bool,
    /// What is logged.
    #[arg(long, default_value = "info")]
    pub(crate) log_filter: String,
}

impl UpArgs {
    /// # Errors
    /// Names the option that cannot be.
    pub(crate) fn validate(&self) -> Result<()> {
        if !self.http.ip().is_loopback() && !self.insecure_http {
            bail!("--http {} is not loopback: passwords would be sent in clear", self.http);
        }
        Ok(())
    }
}
