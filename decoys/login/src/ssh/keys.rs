//! The bird's host keys: one of each kind that Debian makes, made once and kept.

use aws_lc_rs::encoding::AsDer;
use aws_lc_rs::rsa::{KeyPair, KeySize};
use coalmine_core::Bird;
use coalmine_core::settings::Fault;
use russh::keys::pkcs8::decode_pkcs8;
use russh::keys::ssh_key::LineEnding;
use russh::keys::{Algorithm, EcdsaCurve, PrivateKey, decode_secret_key};

/// Makes a key of one kind.
type Maker = fn(&Bird) -> Option<PrivateKey>;

/// The bird's RSA (3072 bits), ECDSA (P-256) and Ed25519 keys, in that order.
pub fn host_keys(bird: &Bird) -> Result<Vec<PrivateKey>, Vec<Fault>> {
    let makers: [(&str, Maker); 3] = [
        ("ssh_host_rsa_key", make_rsa),
        ("ssh_host_ecdsa_key", |bird| {
            make(
                bird,
                Algorithm::Ecdsa {
                    curve: EcdsaCurve::NistP256,
                },
            )
        }),
        ("ssh_host_ed25519_key", |bird| {
            make(bird, Algorithm::Ed25519)
        }),
    ];
    makers
        .into_iter()
        .map(|(name, maker)| kept(bird, name, maker).map_err(|why| vec![Fault::new(name, why)]))
        .collect()
}

/// The key under `name`, as OpenSSH writes private keys.
fn kept(bird: &Bird, name: &str, maker: Maker) -> Result<PrivateKey, String> {
    let bytes = bird.vault.keep(name, &mut || {
        maker(bird)
            .and_then(|key| key.to_openssh(LineEnding::LF).ok())
            .map(|text| text.as_bytes().to_vec())
            .unwrap_or_default()
    })?;
    let text =
        std::str::from_utf8(&bytes).map_err(|_| "the kept host key isn't text".to_owned())?;
    decode_secret_key(text, None).map_err(|e| format!("the kept host key can't be read: {e}"))
}

fn make(bird: &Bird, algorithm: Algorithm) -> Option<PrivateKey> {
    let mut rng = bird.seed.rng(&format!("ssh host key {algorithm}"));
    PrivateKey::random(&mut rng, algorithm).ok()
}

fn make_rsa(_: &Bird) -> Option<PrivateKey> {
    let der = KeyPair::generate(KeySize::Rsa3072).ok()?.as_der().ok()?;
    decode_pkcs8(der.as_ref(), None).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use coalmine_core::decoy::Vault;
    use std::collections::HashMap;
    use std::sync::{Arc, Mutex};

    #[derive(Default)]
    struct Memory(Mutex<HashMap<String, Vec<u8>>>);

    impl Vault for Memory {
        fn keep(&self, name: &str, make: &mut dyn FnMut() -> Vec<u8>) -> Result<Vec<u8>, String> {
            let mut kept = self.0.lock().unwrap();
            Ok(kept.entry(name.to_owned()).or_insert_with(make).clone())
        }
    }

    #[test]
    fn keys_are_made_once() {
        let bird = Bird {
            node_id: Bird::sample().node_id,
            name: String::new(),
            machine: coalmine_core::Machine::default(),
            seed: coalmine_core::Seed::new([1; 32]),
            booted: coalmine_core::Timestamp::from_secs(0),
            vault: Arc::new(Memory::default()),
        };
        let public = |keys: Vec<PrivateKey>| -> Vec<String> {
            keys.iter()
                .map(|k| k.public_key().to_openssh().unwrap())
                .collect()
        };
        let first = public(host_keys(&bird).unwrap());
        assert_eq!(first, public(host_keys(&bird).unwrap()));
        let kinds: Vec<_> = first.iter().filter_map(|k| k.split(' ').next()).collect();
        assert_eq!(kinds, ["ssh-rsa", "ecdsa-sha2-nistp256", "ssh-ed25519"]);
    }

    #[test]
    fn a_spoilt_vault_is_a_fault() {
        struct Spoilt;
        impl Vault for Spoilt {
            fn keep(&self, _: &str, _: &mut dyn FnMut() -> Vec<u8>) -> Result<Vec<u8>, String> {
                Ok(b"nonsense".to_vec())
            }
        }
        let bird = Bird {
            node_id: Bird::sample().node_id,
            name: String::new(),
            machine: coalmine_core::Machine::default(),
            seed: coalmine_core::Seed::new([1; 32]),
            booted: coalmine_core::Timestamp::from_secs(0),
            vault: Arc::new(Spoilt),
        };
        let faults = host_keys(&bird).unwrap_err();
        assert!(faults[0].problem.contains("can't be read"), "{faults:?}");
    }
}
