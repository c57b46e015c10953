//! A fresh SSH key pair as OpenSSH writes it.

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use data_encoding::BASE64;

const KIND: &[u8] = b"ssh-ed25519";
/// Characters of a line of base64.
const LINE: usize = 70;

/// A pair of keys.
pub struct Pair {
    /// In OpenSSH's one-line form without a comment.
    pub public: String,
    /// The file `id_ed25519`.
    pub private: String,
}

/// The Ed25519 pair of a seed. `check` is any random number; `comment` stands in the private key.
pub fn pair(seed: &[u8; 32], check: u32, comment: &str) -> Option<Pair> {
    let keys = Ed25519KeyPair::from_seed_unchecked(seed).ok()?;
    let public = keys.public_key().as_ref();
    let blob = [string(KIND)?, string(public)?].concat();

    // OpenSSH's PROTOCOL.key: the check twice, the keys, the comment, padding 1, 2, 3, ...
    let mut secret = [check.to_be_bytes(), check.to_be_bytes()].concat();
    secret.extend(string(KIND)?);
    secret.extend(string(public)?);
    secret.extend(string(&[seed.as_slice(), public].concat())?);
    secret.extend(string(comment.as_bytes())?);
    secret.extend((1..=8_u8).take((8 - secret.len() % 8) % 8));

    let mut file = b"openssh-key-v1\0".to_vec();
    file.extend(string(b"none")?);
    file.extend(string(b"none")?);
    file.extend(string(b"")?);
    file.extend(1_u32.to_be_bytes());
    file.extend(string(&blob)?);
    file.extend(string(&secret)?);

    let mut private = String::from("-----BEGIN OPENSSH PRIVATE KEY-----\n");
    for line in BASE64.encode(&file).as_bytes().chunks(LINE) {
        private.push_str(std::str::from_utf8(line).ok()?);
        private.push('\n');
    }
    private.push_str("-----END OPENSSH PRIVATE KEY-----\n");
    Some(Pair {
        public: format!("ssh-ed25519 {}", BASE64.encode(&blob)),
        private,
    })
}

/// RFC 4251 section 5: a length and bytes.
fn string(bytes: &[u8]) -> Option<Vec<u8>> {
    let length = u32::try_from(bytes.len()).ok()?;
    Some([length.to_be_bytes().as_slice(), bytes].concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pair_is_the_one_of_its_seed() {
        // RFC 8032 section 7.1, test 1.
        let seed: [u8; 32] = data_encoding::HEXLOWER
            .decode(b"9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60")
            .unwrap()
            .try_into()
            .unwrap();
        let pair = pair(&seed, 7, "root@nas").unwrap();
        let blob = BASE64
            .decode(pair.public.strip_prefix("ssh-ed25519 ").unwrap().as_bytes())
            .unwrap();
        assert_eq!(
            data_encoding::HEXLOWER.encode(&blob[blob.len() - 32..]),
            "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a"
        );
        assert!(
            pair.private
                .starts_with("-----BEGIN OPENSSH PRIVATE KEY-----\n")
        );
        assert!(pair.private.lines().all(|line| line.len() <= LINE));
    }
}
