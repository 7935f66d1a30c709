use std::fmt;

use sha2::{Digest as _, Sha256};

use crate::Entropy;

/// What every token starts with, so that scanners and people know one when they see it.
const PREFIX: &[u8; 4] = b"gst_";
/// Base62 digits that hold 32 bytes: 62^43 > 2^256.
const SECRET_DIGITS: usize = 43;
/// Base62 digits that hold a CRC-32: 62^6 > 2^32.
const CHECK_DIGITS: usize = 6;
/// Bytes of a whole token.
const TOKEN_BYTES: usize = PREFIX.len() + SECRET_DIGITS + CHECK_DIGITS;
/// Digits in the order of their value.
const ALPHABET: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
/// CRC-32 as zlib and Ethernet compute it, bits reversed.
const CRC32_POLYNOMIAL: u32 = 0xedb8_8320;

/// An access token: `gst_`, 32 random bytes in base62, 6 digits of CRC-32 over all
/// before them. The check digits let a server refuse a typing error without a look-up
/// and a scanner find leaked tokens without false alarms.
///
/// The text is a secret: it is shown once, to the person who asked for it. Everything
/// that is stored or sent holds [`Token::hash`].
#[derive(Clone, PartialEq, Eq)]
pub struct Token([u8; TOKEN_BYTES]);

/// Text that is not a token. It says nothing of the text, which may be a secret of
/// another kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a GitStratum token")]
pub struct TokenError;

impl Token {
    /// A new token of 32 bytes from `entropy`.
    pub fn generate(entropy: &dyn Entropy) -> Self {
        let mut secret = [0; 32];
        entropy.fill(&mut secret);
        let mut text = [0; TOKEN_BYTES];
        let (head, check) = text.split_at_mut(TOKEN_BYTES - CHECK_DIGITS);
        head[..PREFIX.len()].copy_from_slice(PREFIX);
        write_base62(&mut secret, &mut head[PREFIX.len()..]);
        write_base62(&mut crc32(head).to_be_bytes(), check);
        Self(text)
    }

    /// The token in `text`.
    ///
    /// # Errors
    /// [`TokenError`] when the prefix, the length, a digit or the check digits are wrong.
    pub fn parse(text: &str) -> Result<Self, TokenError> {
        let bytes: [u8; TOKEN_BYTES] = text.as_bytes().try_into().map_err(|_| TokenError)?;
        let (head, check) = bytes.split_at(TOKEN_BYTES - CHECK_DIGITS);
        let digits = head.strip_prefix(PREFIX).ok_or(TokenError)?;
        if !digits.iter().all(u8::is_ascii_alphanumeric) {
            return Err(TokenError);
        }
        let mut expected = [0; CHECK_DIGITS];
        write_base62(&mut crc32(head).to_be_bytes(), &mut expected);
        if check == expected { Ok(Self(bytes)) } else { Err(TokenError) }
    }

    /// SHA-256 of the text: what is stored. 256 random bits need no slow hash.
    pub fn hash(&self) -> [u8; 32] {
        Sha256::digest(self.0).into()
    }

    /// The secret text, for the one answer or file that hands it over.
    pub fn expose(&self) -> &str {
        std::str::from_utf8(&self.0).expect("because a token is ASCII")
    }
}

/// Writes the big-endian number in `number` as base62, most significant digit first,
/// filling `digits`. Leaves zeroes in `number`.
fn write_base62(number: &mut [u8], digits: &mut [u8]) {
    for digit in digits.iter_mut().rev() {
        let mut remainder = 0_usize;
        for byte in number.iter_mut() {
            let value = (remainder << 8) | usize::from(*byte);
            *byte = u8::try_from(value / 62).expect("because the remainder is below 62");
            remainder = value % 62;
        }
        *digit = ALPHABET[remainder];
    }
}

/// Bit by bit: the input is 47 bytes.
fn crc32(bytes: &[u8]) -> u32 {
    let mut crc = u32::MAX;
    for byte in bytes {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            let carry = crc & 1 == 1;
            crc >>= 1;
            if carry {
                crc ^= CRC32_POLYNOMIAL;
            }
        }
    }
    !crc
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(gst_…)")
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::SeededEntropy;

    #[test]
    fn crc32_matches_the_published_check_value() {
        assert_eq!(crc32(b"123456789"), 0xcbf4_3926);
    }

    #[test]
    fn base62_is_of_fixed_width() {
        let mut digits = [0; CHECK_DIGITS];
        write_base62(&mut 61_u32.to_be_bytes(), &mut digits);
        assert_eq!(&digits, b"00000z");
        write_base62(&mut u32::MAX.to_be_bytes(), &mut digits);
        assert_eq!(&digits, b"4gfFC3");
    }

    #[test]
    fn a_token_is_never_shown_by_debug() {
        let token = Token::generate(&*SeededEntropy::new(1));
        assert_eq!(format!("{token:?}"), "Token(gst_…)");
    }

    #[test]
    fn the_hash_is_of_the_text_as_sent() {
        let token = Token::generate(&*SeededEntropy::new(2));
        assert_eq!(token.hash(), <[u8; 32]>::from(Sha256::digest(token.expose())));
    }

    proptest! {
        #[test]
        fn tokens_round_trip(seed: u64) {
            let token = Token::generate(&*SeededEntropy::new(seed));
            prop_assert_eq!(token.expose().len(), 53);
            prop_assert_eq!(Token::parse(token.expose()), Ok(token));
        }

        #[test]
        fn one_changed_character_is_noticed(seed: u64, place in 0_usize..53, to in "[ -~]") {
            let token = Token::generate(&*SeededEntropy::new(seed));
            let mut text = token.expose().to_owned();
            text.replace_range(place..=place, &to);
            prop_assert_eq!(Token::parse(&text).is_ok(), text == token.expose());
        }

        #[test]
        fn any_text_is_parsed_without_a_panic(text in ".{0,80}") {
            prop_assert_eq!(Token::parse(&text), Err(TokenError));
        }
    }
}
