use super::*;

const ED25519: &str =
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIKcx1DFibyI7+hCFsXKbA1lRbEjsnApbtl+gTPyc1oGT";
const ECDSA: &str = "ecdsa-sha2-nistp256 AAAAE2VjZHNhLXNoYTItbmlzdHAyNTYAAAAIbmlzdHAyNTYAAABBBD9X4qwGE8tIJ9SKK6FshoxwYhWOcd/TsUgaT3dxdSwwoOxuHLzT3QTe/SMBiue0TPvDiHhTveN+Di8W3cIPtwU=";
const RSA_2048: &str = "ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAABAQCqvmSyLA2qHDvBQJw+nToOzrgfikI0B6D36w0x1V+JCS9ct3TB7ucGCTt/kEBSK2Searu7oHfIwf74s1qOM/coEgDXo9ZWYH+rpbfRXvl+VqzjHWZSuOUmesKb3YYE4vA+ivIeeZTdxUModQqIxFi/tXv3hizXmOetxbe7LoNKTlCdZVigDgov2OAbJzBhtzo2xgO+2229bioXqUenbq5ijV0LJIawpo7cs7b+NyYK0zKwxsLUJ54MOl3VLwPLWuwjb33uqrBkiokgHPDY16G5AMaJD17Fj2Wzfszxucckg4hfArfx24EuRBn7gytHHM6ev+QZkwjhF8Irk/bbioUl";
const RSA_1024: &str = "ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAAAgQDE5RU3/fKx7tuAuRbZbpLv/ycLm9ZDFN1ooUWF7Vmmj2bfmbQrTv+o3pvwSkgU0SUGE9jg8zS1htQZxJ0dcVIXVCMXmWN5Y+udc8OUmj/siOWUWiXU1Mn1YguKfOMcgCEyy3lOdQiDa0N8+MiNOfN2Uduo0re+n83/gEFPs5UDRQ==";

#[test]
fn fingerprints_are_those_of_ssh_keygen() {
    for (line, fingerprint) in [
        (ED25519, "SHA256:biqRkIGwqnLnNYQljw4hkLkpnUFFcVNTvn3/PXQMaRs"),
        (ECDSA, "SHA256:7WumZbMHsghCc2ptEWrVar1RqtI4WtVdqRosm9GQoyw"),
        (RSA_2048, "SHA256:hJ3JQrri7Qi1qLfKvAsgdOBbnurQtCyVROytNcvqnuU"),
    ] {
        let key = PublicKey::parse(&format!("{line}  eva at host \n")).expect("a good key");
        assert_eq!(key.fingerprint, fingerprint);
        assert_eq!(key.text, line);
        assert_eq!(key.comment, "eva at host");
    }
}

#[test]
fn weak_foreign_and_damaged_keys_are_refused() {
    let swapped = ED25519.replacen("ssh-ed25519", "ssh-rsa", 1);
    let short = &ED25519[..ED25519.len() - 4];
    let long = format!("{}AAAA", ED25519);
    let options = format!("no-pty {ED25519}");
    for (line, error) in [
        (RSA_1024, PublicKeyError::RsaBits(1_024)),
        ("ssh-dss AAAAB3NzaC1kc3M=", PublicKeyError::Algorithm),
        (options.as_str(), PublicKeyError::Algorithm),
        (swapped.as_str(), PublicKeyError::Body),
        (short, PublicKeyError::Body),
        (long.as_str(), PublicKeyError::Body),
        ("ssh-ed25519 ////", PublicKeyError::Body),
        ("ssh-ed25519", PublicKeyError::Line),
        ("", PublicKeyError::Line),
        ("ssh-ed25519 AAAA\nssh-ed25519 AAAA", PublicKeyError::Line),
    ] {
        assert_eq!(PublicKey::parse(line), Err(error), "{line}");
    }
}
