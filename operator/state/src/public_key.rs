use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use sha2::{Digest as _, Sha256};

/// Longest line read, bytes: an RSA key of 16,384 bits with a comment.
const LINE_BYTES_MAX: usize = 8 * 1024;
/// Longest comment kept, bytes.
const COMMENT_BYTES_MAX: usize = 200;
/// Shortest RSA modulus taken, bits.
const RSA_BITS_MIN: usize = 2_048;
/// Longest RSA modulus taken, bits.
const RSA_BITS_MAX: usize = 16_384;

/// An SSH public key, read from one line of an authorized_keys file without options.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublicKey {
    /// `SHA256:` and base64, as ssh-keygen prints it.
    pub fingerprint: String,
    /// Algorithm and base64 blob.
    pub text: String,
    /// What stands behind them, cut to 200 bytes.
    pub comment: String,
}

/// Why a line is not a key that is taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PublicKeyError {
    /// Not `ALGORITHM BASE64 [COMMENT]`.
    #[error("is not one line of `ALGORITHM BASE64 [COMMENT]`")]
    Line,
    /// Of a kind that is not taken; DSA among them.
    #[error("is of a kind that is not taken; use ed25519, ecdsa or rsa")]
    Algorithm,
    /// The base64 part is none, or not what the algorithm wants.
    #[error("has a damaged body")]
    Body,
    /// A modulus of the wrong size.
    #[error("is an rsa key of {0} bits; 2048 to 16384 are taken")]
    RsaBits(usize),
}

impl PublicKey {
    /// The key in `line`.
    ///
    /// # Errors
    /// Which rule the line breaks.
    pub fn parse(line: &str) -> Result<Self, PublicKeyError> {
        let line = line.trim();
        if line.len() > LINE_BYTES_MAX || line.contains(['\n', '\r', '\0']) {
            return Err(PublicKeyError::Line);
        }
        let mut words = line.splitn(3, [' ', '\t']);
        let (Some(algorithm), Some(body)) = (words.next(), words.next()) else {
            return Err(PublicKeyError::Line);
        };
        let comment = words.next().unwrap_or_default().trim();
        let shape = shape_of(algorithm)?;
        let blob = STANDARD.decode(body).map_err(|_| PublicKeyError::Body)?;
        let mut fields = Fields(&blob);
        fields.next_if(|name| name == algorithm.as_bytes())?;
        shape.check(&mut fields)?;
        if !fields.0.is_empty() {
            return Err(PublicKeyError::Body);
        }
        Ok(Self {
            fingerprint: format!("SHA256:{}", STANDARD_NO_PAD.encode(Sha256::digest(&blob))),
            text: format!("{algorithm} {body}"),
            comment: comment[..comment.floor_char_boundary(COMMENT_BYTES_MAX)].to_owned(),
        })
    }
}

/// What follows the algorithm's name in a key blob (RFC 4253, 5656, 8709; OpenSSH PROTOCOL.u2f).
enum Shape {
    Ed25519 { application: Application },
    Ecdsa { curve: &'static str, point_bytes: usize, application: Application },
    Rsa,
}

/// Whether the key lives on a hardware token, whose application is then named.
#[derive(PartialEq, Eq)]
enum Application {
    Absent,
    Present,
}

fn shape_of(algorithm: &str) -> Result<Shape, PublicKeyError> {
    let ecdsa =
        |curve, point_bytes| Shape::Ecdsa { curve, point_bytes, application: Application::Absent };
    Ok(match algorithm {
        "ssh-ed25519" => Shape::Ed25519 { application: Application::Absent },
        "sk-ssh-ed25519@openssh.com" => Shape::Ed25519 { application: Application::Present },
        "ecdsa-sha2-nistp256" => ecdsa("nistp256", 65),
        "ecdsa-sha2-nistp384" => ecdsa("nistp384", 97),
        "ecdsa-sha2-nistp521" => ecdsa("nistp521", 133),
        "sk-ecdsa-sha2-nistp256@openssh.com" => {
            Shape::Ecdsa { curve: "nistp256", point_bytes: 65, application: Application::Present }
        }
        "ssh-rsa" => Shape::Rsa,
        _ => return Err(PublicKeyError::Algorithm),
    })
}

impl Shape {
    fn check(&self, fields: &mut Fields<'_>) -> Result<(), PublicKeyError> {
        let application = match self {
            Self::Ed25519 { application } => {
                fields.next_if(|point| point.len() == 32)?;
                application
            }
            Self::Ecdsa { curve, point_bytes, application } => {
                fields.next_if(|name| name == curve.as_bytes())?;
                fields.next_if(|point| point.len() == *point_bytes && point[0] == 4)?;
                application
            }
            Self::Rsa => return check_rsa(fields),
        };
        if *application == Application::Present {
            fields.next_if(|application| !application.is_empty())?;
        }
        Ok(())
    }
}

fn check_rsa(fields: &mut Fields<'_>) -> Result<(), PublicKeyError> {
    fields.next_if(|exponent| exponent.last().is_some_and(|byte| byte % 2 == 1))?;
    let modulus = fields.next()?;
    let digits = modulus.strip_prefix(&[0]).unwrap_or(modulus);
    let head = *digits.first().ok_or(PublicKeyError::Body)?;
    let leading = usize::try_from(head.leading_zeros()).unwrap_or_default();
    let bits = digits.len() * 8 - leading;
    if (RSA_BITS_MIN..=RSA_BITS_MAX).contains(&bits) {
        Ok(())
    } else {
        Err(PublicKeyError::RsaBits(bits))
    }
}

/// Length-prefixed fields of a blob, one after another.
struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    fn next(&mut self) -> Result<&'a [u8], PublicKeyError> {
        let (length, rest) = self.0.split_first_chunk::<4>().ok_or(PublicKeyError::Body)?;
        let length =
            usize::try_from(u32::from_be_bytes(*length)).map_err(|_| PublicKeyError::Body)?;
        let (field, rest) = rest.split_at_checked(length).ok_or(PublicKeyError::Body)?;
        self.0 = rest;
        Ok(field)
    }

    /// The next field, if it is as it must be.
    fn next_if(&mut self, is_good: impl FnOnce(&[u8]) -> bool) -> Result<(), PublicKeyError> {
        let field = self.next()?;
        if is_good(field) { Ok(()) } else { Err(PublicKeyError::Body) }
    }
}

#[cfg(test)]
mod tests;
