//! A signer of programs that exists for one token: three keys and certificates, of which two go into
//! the signature (RFC 5280, Authenticode's PKCS #7 of RFC 2315).
//!
//! The certificates say that their issuer, their status and the list of revoked ones are at the
//! token's URLs. Whoever checks the signature asks there.

use coalmine_core::{Seed, Timestamp};
use p256::ecdsa::signature::Signer as _;
use p256::ecdsa::{Signature, SigningKey, VerifyingKey};
use sha1::Sha1;
use sha2::{Digest, Sha256};

use super::der::{
    bits, context, implicit, integer, null, octets, oid, printable, sequence, set, time, truth,
    utf8,
};
use super::{Dice, prose};

/// A day in seconds.
const DAY: i64 = 86_400;
const ECDSA_SHA256: &str = "1.2.840.10045.4.3.2";
const SHA256: &str = "2.16.840.1.101.3.4.2.1";
const SPC_INDIRECT_DATA: &str = "1.3.6.1.4.1.311.2.1.4";

/// Where a certificate sends those who check it.
#[derive(Clone, Debug)]
pub struct Places {
    /// The issuers' certificates.
    pub issuer: String,
    /// Its status.
    pub status: String,
    /// The list of revoked ones, if there is one.
    pub revoked: Option<String>,
}

/// Signs programs.
pub struct Signer {
    key: SigningKey,
    issuer_name: Vec<u8>,
    serial: Vec<u8>,
    /// Own certificate and its issuer's.
    certificates: Vec<Vec<u8>>,
    /// The root's.
    root: Vec<u8>,
    /// The list of those that the issuer revoked.
    revoked: Vec<u8>,
    signed: Timestamp,
}

impl Signer {
    /// The one of this seed. `subject` is the organisation that its certificate names.
    pub fn new(seed: &Seed, now: Timestamp, subject: &str, places: &Places) -> Self {
        let mut dice = Dice::new(seed, "signer");
        let (root, authority, key) = (
            key(seed, "root key"),
            key(seed, "authority key"),
            key(seed, "signer key"),
        );
        let (country, maker) = (
            dice.pick(&["US", "GB", "DE", "NL", "CH", "SE", "FR", "CA"]),
            prose::company(&mut dice),
        );
        let generation = dice.number(1, 6);
        let root_name = name(country, &maker, &format!("{maker} Root R{generation}"));
        let authority_name = name(
            country,
            &maker,
            &format!(
                "{maker} {} {}",
                dice.pick(&["Code Signing CA", "Software CA", "Object CA"]),
                dice.number(1, 4)
            ),
        );
        let since = |dice: &mut Dice, low: u32, high: u32| {
            Timestamp::from_secs(
                now.secs()
                    - i64::from(dice.number(low, high)) * DAY
                    - i64::from(dice.number(0, 86_400)),
            )
        };
        let authority_since = since(&mut dice, 600, 1500);
        let authority_certificate = certificate(
            &root,
            &root_name,
            &authority_name,
            &authority,
            &serial(&mut dice),
            (authority_since, years(authority_since, 10)),
            may_issue(Some(0)),
            // The one list there is names what the authority revoked, not what the root did.
            Some(&Places {
                revoked: None,
                ..places.clone()
            }),
        );
        let root_since = since(&mut dice, 1600, 3000);
        let root_certificate = certificate(
            &root,
            &root_name,
            &root_name,
            &root,
            &serial(&mut dice),
            (root_since, years(root_since, 20)),
            may_issue(None),
            None,
        );
        let own_since = since(&mut dice, 40, 300);
        let serial = serial(&mut dice);
        let own_name = name(dice.pick(&["US", "GB", "DE", "NL", "CA"]), subject, subject);
        let own = certificate(
            &authority,
            &authority_name,
            &own_name,
            &key,
            &serial,
            (own_since, years(own_since, 3)),
            vec![
                extension("2.5.29.19", true, &sequence(&[])),
                extension("2.5.29.15", true, &bits(7, &[0x80])),
                extension("2.5.29.37", false, &sequence(&[oid("1.3.6.1.5.5.7.3.3")])),
                // Policy of the CA/Browser Forum for signed code.
                extension(
                    "2.5.29.32",
                    false,
                    &sequence(&[sequence(&[oid("2.23.140.1.4.1")])]),
                ),
            ],
            Some(places),
        );
        let listed = Timestamp::from_secs(now.secs() - i64::from(dice.number(600, 86_400)));
        let number = dice.number(20, 4_000).to_be_bytes();
        Self {
            revoked: revoked(
                &authority,
                &authority_name,
                (listed, years(own_since, 3)),
                &number,
            ),
            key,
            issuer_name: authority_name,
            serial,
            certificates: vec![own, authority_certificate],
            root: root_certificate,
            signed: since(&mut dice, 1, 30),
        }
    }

    /// The certificates of all issuers as the token's URL gives them to those who ask: a PKCS #7
    /// without content.
    pub fn issuers(&self) -> Vec<u8> {
        let authority = self.certificates.get(1).cloned().unwrap_or_default();
        signed_data(
            vec![],
            sequence(&[oid("1.2.840.113549.1.7.1")]),
            &[authority, self.root.clone()].concat(),
            vec![],
        )
    }

    /// The list of revoked certificates: none (RFC 5280 section 5).
    pub fn revoked(&self) -> Vec<u8> {
        self.revoked.clone()
    }

    /// The signature of a program whose Authenticode digest (SHA-256) this is, in DER.
    pub fn sign(&self, digest: &[u8]) -> Vec<u8> {
        let algorithm = sequence(&[oid(SHA256), null()]);
        // What the signature is about: an image, and a link that means nothing any more.
        let obsolete: Vec<u8> = "<<<Obsolete>>>"
            .encode_utf16()
            .flat_map(u16::to_be_bytes)
            .collect();
        let image = sequence(&[
            bits(0, &[]),
            context(0, &context(2, &implicit(0, &obsolete))),
        ]);
        let content = [
            sequence(&[oid("1.3.6.1.4.1.311.2.1.15"), image]),
            sequence(&[algorithm.clone(), octets(digest)]),
        ];
        let attributes = set(vec![
            attribute("1.2.840.113549.1.9.3", oid(SPC_INDIRECT_DATA)),
            attribute(
                "1.2.840.113549.1.9.4",
                octets(&Sha256::digest(content.concat())),
            ),
            attribute("1.2.840.113549.1.9.5", time(self.signed)),
            attribute(
                "1.3.6.1.4.1.311.2.1.11",
                sequence(&[oid("1.3.6.1.4.1.311.2.1.21")]),
            ),
            attribute("1.3.6.1.4.1.311.2.1.12", sequence(&[])),
        ]);
        let signature: Signature = self.key.sign(&attributes);
        // The attributes are signed as a SET but stand as [0].
        let mut standing = attributes;
        if let Some(tag) = standing.first_mut() {
            *tag = 0xa0;
        }
        let signer = sequence(&[
            integer(&[1]),
            sequence(&[self.issuer_name.clone(), integer(&self.serial)]),
            algorithm.clone(),
            standing,
            sequence(&[oid(ECDSA_SHA256)]),
            octets(signature.to_der().as_bytes()),
        ]);
        signed_data(
            vec![algorithm],
            sequence(&[oid(SPC_INDIRECT_DATA), context(0, &sequence(&content))]),
            &self.certificates.concat(),
            vec![signer],
        )
    }
}

/// PKCS #7 (RFC 2315 section 9.1).
fn signed_data(
    algorithms: Vec<Vec<u8>>,
    content: Vec<u8>,
    certificates: &[u8],
    signers: Vec<Vec<u8>>,
) -> Vec<u8> {
    let signed = sequence(&[
        integer(&[1]),
        set(algorithms),
        content,
        context(0, certificates),
        set(signers),
    ]);
    sequence(&[oid("1.2.840.113549.1.7.2"), context(0, &signed)])
}

/// What the certificate of an authority may do; `below` it are at most as many others.
fn may_issue(below: Option<u8>) -> Vec<Vec<u8>> {
    let mut constraints = vec![truth()];
    constraints.extend(below.map(|n| integer(&[n])));
    vec![
        extension("2.5.29.19", true, &sequence(&constraints)),
        extension("2.5.29.15", true, &bits(1, &[0x86])),
        extension("2.5.29.37", false, &sequence(&[oid("1.3.6.1.5.5.7.3.3")])),
    ]
}

/// A certificate of `key`, signed by `issuer`; names in DER.
#[expect(
    clippy::too_many_arguments,
    reason = "a certificate is a list of as many parts"
)]
pub(crate) fn certificate(
    issuer: &SigningKey,
    issuer_name: &[u8],
    subject: &[u8],
    key: &SigningKey,
    serial: &[u8],
    (since, until): (Timestamp, Timestamp),
    mut extensions: Vec<Vec<u8>>,
    places: Option<&Places>,
) -> Vec<u8> {
    if let Some(places) = places {
        let access = |kind: &str, url: &str| sequence(&[oid(kind), implicit(6, url.as_bytes())]);
        let information = sequence(&[
            access("1.3.6.1.5.5.7.48.1", &places.status),
            access("1.3.6.1.5.5.7.48.2", &places.issuer),
        ]);
        extensions.push(extension("1.3.6.1.5.5.7.1.1", false, &information));
        if let Some(url) = &places.revoked {
            let point = context(0, &context(0, &implicit(6, url.as_bytes())));
            let points = sequence(&[sequence(&[point])]);
            extensions.push(extension("2.5.29.31", false, &points));
        }
    }
    extensions.push(issued_by(issuer));
    extensions.push(extension("2.5.29.14", false, &octets(&key_id(key))));
    let algorithm = sequence(&[oid(ECDSA_SHA256)]);
    let body = sequence(&[
        context(0, &integer(&[2])),
        integer(serial),
        algorithm.clone(),
        issuer_name.to_vec(),
        sequence(&[time(since), time(until)]),
        subject.to_vec(),
        sequence(&[
            sequence(&[oid("1.2.840.10045.2.1"), oid("1.2.840.10045.3.1.7")]),
            bits(0, &point_of(key)),
        ]),
        context(3, &sequence(&extensions)),
    ]);
    let signature: Signature = issuer.sign(&body);
    sequence(&[body, algorithm, bits(0, signature.to_der().as_bytes())])
}

fn revoked(
    issuer: &SigningKey,
    name: &[u8],
    (since, until): (Timestamp, Timestamp),
    number: &[u8],
) -> Vec<u8> {
    let algorithm = sequence(&[oid(ECDSA_SHA256)]);
    let extensions = sequence(&[
        issued_by(issuer),
        extension("2.5.29.20", false, &integer(number)),
    ]);
    let body = sequence(&[
        integer(&[1]),
        algorithm.clone(),
        name.to_vec(),
        time(since),
        time(until),
        context(0, &extensions),
    ]);
    let signature: Signature = issuer.sign(&body);
    sequence(&[body, algorithm, bits(0, signature.to_der().as_bytes())])
}

/// Which key signed it.
fn issued_by(issuer: &SigningKey) -> Vec<u8> {
    let id = sequence(&[implicit(0, &key_id(issuer))]);
    extension("2.5.29.35", false, &id)
}

pub(crate) fn extension(id: &str, critical: bool, value: &[u8]) -> Vec<u8> {
    let mut parts = vec![oid(id)];
    if critical {
        parts.push(truth());
    }
    parts.push(octets(value));
    sequence(&parts)
}

fn attribute(id: &str, value: Vec<u8>) -> Vec<u8> {
    sequence(&[oid(id), set(vec![value])])
}

fn name(country: &str, organisation: &str, common: &str) -> Vec<u8> {
    let part = |id: &str, value: Vec<u8>| set(vec![sequence(&[oid(id), value])]);
    sequence(&[
        part("2.5.4.6", printable(country)),
        part("2.5.4.10", utf8(organisation)),
        part("2.5.4.3", utf8(common)),
    ])
}

pub(crate) fn serial(dice: &mut Dice) -> Vec<u8> {
    let mut serial = dice.bytes::<16>().to_vec();
    if let Some(first) = serial.first_mut() {
        *first = *first & 0x7f | 1;
    }
    serial
}

fn years(since: Timestamp, years: i64) -> Timestamp {
    Timestamp::from_secs(since.secs() + years * 365 * DAY)
}

/// The key of this name: the first of its stream that is a number below the curve's order, which
/// all but one of 2^32 are.
pub(crate) fn key(seed: &Seed, label: &str) -> SigningKey {
    let mut dice = Dice::new(seed, label);
    loop {
        if let Ok(key) = SigningKey::from_slice(&dice.bytes::<32>()) {
            return key;
        }
    }
}

fn point_of(key: &SigningKey) -> Vec<u8> {
    VerifyingKey::from(key)
        .to_sec1_point(false)
        .as_bytes()
        .to_vec()
}

/// SHA-1 of the public key (RFC 5280 section 4.2.1.2).
fn key_id(key: &SigningKey) -> Vec<u8> {
    Sha1::digest(point_of(key)).to_vec()
}
