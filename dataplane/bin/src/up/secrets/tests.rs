use gitstratum_core::{ManualClock, SeededEntropy, UnixMillis};
use gitstratum_store::MemoryFiles;

use super::*;

const FILES: [&str; 5] = [ADMIN_TOKEN, JOIN_TOKEN, CA_CERTIFICATE, CA_KEY, HOST_KEY];

fn founded() -> (std::sync::Arc<MemoryFiles>, ClusterId) {
    let (clock, entropy) = (ManualClock::new(UnixMillis(1_700_000_000_000)), SeededEntropy::new(1));
    let founding = Founding::draw(1, 4, &*clock, &*entropy).unwrap();
    let files = MemoryFiles::new();
    write(&*files, Path::new("/"), &founding, &*entropy).unwrap();
    (files, founding.cluster)
}

fn put(files: &dyn Files, name: &str, bytes: &[u8]) {
    write_atomically(files, &Path::new("/").join(name), bytes, Permissions::Private).unwrap();
}

fn refusal(files: &dyn Files, cluster: ClusterId) -> Option<String> {
    read(files, Path::new("/"), cluster).err().map(|error| format!("{error:#}"))
}

#[test]
fn a_key_with_any_flipped_bit_is_named() {
    let (files, cluster) = founded();
    let sound = read(&*files, Path::new("/"), cluster).unwrap();
    for name in FILES {
        let kept = get(&*files, &Path::new("/").join(name)).unwrap();
        let mut unseen = Vec::new();
        for place in 0..kept.len() {
            let mut bytes = kept.clone();
            bytes[place] ^= 1 << (place % 7);
            put(&*files, name, &bytes);
            match read(&*files, Path::new("/"), cluster) {
                Err(error) => {
                    assert!(format!("{error:#}").contains(name), "{name} {place}: {error:#}")
                }
                Ok(read) => {
                    assert_eq!(read.host_key_line, sound.host_key_line, "{name} {place}");
                    assert_eq!(read.token_id(), sound.token_id(), "{name} {place}");
                    unseen.push(place);
                }
            }
        }
        put(&*files, name, &kept);
        // Labels, line ends, the comment: nothing that a key is made of.
        assert!(unseen.len() <= 30, "{name}: {unseen:?} of {}", kept.len());
    }
    assert_eq!(refusal(&*files, cluster), None);
}

#[test]
fn keys_that_are_missing_empty_short_or_swapped_are_named() {
    let (files, cluster) = founded();
    for name in FILES {
        let path = Path::new("/").join(name);
        let kept = get(&*files, &path).unwrap();
        files.remove(&path).unwrap();
        let missing = refusal(&*files, cluster).unwrap();
        assert!(missing.contains(name), "{missing}");
        for bytes in [&b""[..], &kept[..kept.len() / 2]] {
            put(&*files, name, bytes);
            let damaged = refusal(&*files, cluster).unwrap();
            assert!(damaged.contains(name), "{damaged}");
        }
        for other in FILES.iter().filter(|other| **other != name) {
            put(&*files, name, &get(&*files, &Path::new("/").join(other)).unwrap());
            let swapped = refusal(&*files, cluster).unwrap();
            assert!(swapped.contains(name), "{name} is {other}: {swapped}");
        }
        put(&*files, name, &kept);
    }
    assert_eq!(refusal(&*files, cluster), None);
}

#[test]
fn a_join_token_is_replaced_durably_and_its_authority_stays() {
    let (files, cluster) = founded();
    let data = Path::new("/");
    let before = read(&*files, data, cluster).unwrap().join;
    let path = join_token_file(&*files, data).unwrap().unwrap();
    let token = Token::generate(&*SeededEntropy::new(2));
    replace_join_token(&*files, &path, &token).unwrap();
    files.crash();
    let after = read(&*files, data, cluster).unwrap().join;
    assert!(after.token == token && before.token != token);
    assert_eq!(after.authority_pem, before.authority_pem);
    put(&*files, JOIN_TOKEN, b"no token");
    assert!(join_token_file(&*files, data).is_err());
    assert!(replace_join_token(&*files, &path, &token).is_err());
    files.remove(&path).unwrap();
    assert_eq!(join_token_file(&*files, data).unwrap(), None);
}
