use std::borrow::Cow;
use std::time::Duration;

use russh::keys::ssh_key::{EcdsaCurve, HashAlg};
use russh::keys::{Algorithm, PrivateKey};
use russh::server::Config;
use russh::{Limits, MethodKind, MethodSet, Preferred, SshId, cipher, compression, kex, mac};

/// Rejected requests to log in before the connection is closed: one that only asks for
/// the methods, and six keys (promises §5).
const REJECTIONS_MAX: usize = 7;
/// Every rejection takes this long, whatever its reason.
const REJECTION_TIME: Duration = Duration::from_millis(100);
/// Flow-control window of a channel, bytes.
const WINDOW_BYTES: u32 = 8 * 1024 * 1024;
/// Largest packet that we take, bytes: what every client sends at most.
const PACKET_BYTES: u32 = 32 * 1024;
/// Packets of a channel that wait for its command, and packets on their way out.
const CHANNEL_PACKETS_MAX: usize = 32;
const OUTGOING_PACKETS_MAX: usize = 64;
/// Keys are exchanged anew after so many bytes and so much time.
const REKEY_BYTES: usize = 1 << 30;
const REKEY_TIME: Duration = Duration::from_secs(3_600);
/// How often a silent client is asked whether it is there; three misses close.
const KEEP_ALIVE_EVERY: Duration = Duration::from_secs(30);

const KEX: &[kex::Name] = &[
    kex::MLKEM768X25519_SHA256,
    kex::CURVE25519,
    kex::CURVE25519_PRE_RFC_8731,
    kex::DH_G16_SHA512,
    kex::DH_G14_SHA256,
    kex::EXTENSION_SUPPORT_AS_SERVER,
    kex::EXTENSION_OPENSSH_STRICT_KEX_AS_SERVER,
];

/// The client's order decides; ours decides among equals.
const CIPHERS: &[cipher::Name] = &[cipher::AES_256_GCM, cipher::AES_256_CTR, cipher::AES_128_CTR];

const MACS: &[mac::Name] = &[mac::HMAC_SHA256, mac::HMAC_SHA512];

/// Keys of users that are taken; RSA only with SHA-2. The host key is always Ed25519.
const KEYS: &[Algorithm] = &[
    Algorithm::Ed25519,
    Algorithm::Ecdsa { curve: EcdsaCurve::NistP256 },
    Algorithm::Ecdsa { curve: EcdsaCurve::NistP384 },
    Algorithm::Ecdsa { curve: EcdsaCurve::NistP521 },
    Algorithm::Rsa { hash: Some(HashAlg::Sha512) },
    Algorithm::Rsa { hash: Some(HashAlg::Sha256) },
];

/// How SSH is spoken by a server that shows `host_key`.
pub(super) fn of(host_key: PrivateKey, config: &crate::Config) -> Config {
    Config {
        server_id: SshId::Standard(Cow::Borrowed("SSH-2.0-gitstratum")),
        methods: MethodSet::from(&[MethodKind::PublicKey][..]),
        auth_rejection_time: REJECTION_TIME,
        auth_rejection_time_initial: Some(Duration::ZERO),
        keys: vec![host_key],
        limits: Limits::new(REKEY_BYTES, REKEY_BYTES, REKEY_TIME),
        window_size: WINDOW_BYTES,
        maximum_packet_size: PACKET_BYTES,
        channel_buffer_size: CHANNEL_PACKETS_MAX,
        event_buffer_size: OUTGOING_PACKETS_MAX,
        preferred: preferred(),
        max_auth_attempts: REJECTIONS_MAX,
        // Whoever watches the connection closes it sooner when nothing runs on it.
        inactivity_timeout: Some(config.request_max),
        keepalive_interval: Some(KEEP_ALIVE_EVERY),
        nodelay: true,
        ..Config::default()
    }
}

fn preferred() -> Preferred {
    Preferred {
        kex: Cow::Borrowed(KEX),
        key: Cow::Borrowed(KEYS),
        host_key_certificates: Cow::Borrowed(&[]),
        cipher: Cow::Borrowed(CIPHERS),
        mac: Cow::Borrowed(MACS),
        // Packs are deflated already, and a client's zlib bombs are not our business.
        compression: Cow::Borrowed(&[compression::NONE]),
    }
}
