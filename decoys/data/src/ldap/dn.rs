//! Distinguished names as OpenLDAP reads them (RFC 4514, and what RFC 1779 and RFC 2253 allowed),
//! and the attributes of the schema that Debian's slapd starts with.

use std::str;

/// Longest name, in bytes (`SLAP_LDAPDN_MAXLEN`).
const MAX_NAME: usize = 8_192;
/// Most parts of a name.
const MAX_PARTS: usize = 1_024;
/// Names within names.
const MAX_DEPTH: usize = 4;

/// A name for comparing: attributes by their first name in lower case, values folded.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Name(Vec<Vec<(String, Vec<u8>)>>);

impl Name {
    /// Reads a name; `None` where the schema or the syntax doesn't allow it.
    pub fn read(bytes: &[u8]) -> Option<Self> {
        Self::within(bytes, 0)
    }

    fn within(bytes: &[u8], depth: usize) -> Option<Self> {
        if bytes.len() > MAX_NAME || depth > MAX_DEPTH {
            return None;
        }
        if bytes.is_empty() {
            return Some(Self::default());
        }
        let mut parts = Vec::new();
        let mut part: Vec<(String, Vec<u8>)> = Vec::new();
        let mut rest = bytes;
        loop {
            let (attribute, value, separator, after) = one(rest, depth)?;
            if part.iter().any(|(known, _)| *known == attribute) {
                return None;
            }
            part.push((attribute, value));
            if separator != Some(b'+') {
                part.sort();
                parts.push(std::mem::take(&mut part));
            }
            if separator.is_none() {
                return Some(Self(parts));
            }
            if parts.len() > MAX_PARTS || part.len() > MAX_PARTS {
                return None;
            }
            rest = after;
        }
    }

    /// Whether it's the name of nothing: the root.
    pub fn is_root(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether it has exactly one part.
    pub fn is_relative(&self) -> bool {
        self.0.len() == 1
    }

    /// Whether it's `other` or lies below it.
    pub fn is_within(&self, other: &Self) -> bool {
        self.0.ends_with(&other.0)
    }
}

/// One attribute and value, the separator behind them, and the rest.
type One<'a> = (String, Vec<u8>, Option<u8>, &'a [u8]);

fn one(bytes: &[u8], depth: usize) -> Option<One<'_>> {
    let bytes = trim_start(bytes);
    let equals = bytes.iter().position(|&b| b == b'=')?;
    let (name, rest) = bytes.split_at_checked(equals)?;
    let attribute = Attribute::find(name.trim_ascii_end())?;
    let rest = trim_start(rest.get(1..)?);
    let (value, separator, after) = match rest.first() {
        // In BER: OpenLDAP knows no attribute of Debian's schema in it.
        Some(b'#') => return None,
        Some(b'"') => quoted(rest.get(1..)?)?,
        _ => plain(rest)?,
    };
    if value.is_empty() || !attribute.takes(&value, depth) {
        return None;
    }
    let folded = attribute.fold(&value, depth);
    Some((
        attribute.name.to_ascii_lowercase(),
        folded,
        separator,
        after,
    ))
}

fn trim_start(bytes: &[u8]) -> &[u8] {
    let start = bytes.iter().position(|b| *b != b' ');
    start.and_then(|at| bytes.get(at..)).unwrap_or_default()
}

/// An unquoted value up to its separator.
fn plain(bytes: &[u8]) -> Option<(Vec<u8>, Option<u8>, &[u8])> {
    let mut value = Vec::new();
    // Length without the spaces at the end, which don't count unless they're escaped.
    let mut length = 0;
    let mut rest = bytes;
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        match byte {
            b',' | b';' | b'+' => {
                value.truncate(length);
                return Some((value, Some(byte), rest));
            }
            b'\\' => {
                let (byte, after) = escaped(rest)?;
                value.push(byte);
                length = value.len();
                rest = after;
            }
            b'"' | b'<' | b'>' | 0 => return None,
            b' ' => value.push(byte),
            byte => {
                value.push(byte);
                length = value.len();
            }
        }
    }
    value.truncate(length);
    Some((value, None, rest))
}

/// A value in quotes, behind the first of them.
fn quoted(bytes: &[u8]) -> Option<(Vec<u8>, Option<u8>, &[u8])> {
    let mut value = Vec::new();
    let mut rest = bytes;
    loop {
        let (&byte, after) = rest.split_first()?;
        rest = after;
        match byte {
            b'"' => break,
            b'\\' => {
                let (byte, after) = escaped(rest)?;
                value.push(byte);
                rest = after;
            }
            0 => return None,
            byte => value.push(byte),
        }
    }
    match trim_start(rest).split_first() {
        None => Some((value, None, &[])),
        Some((&separator @ (b',' | b';' | b'+'), after)) => Some((value, Some(separator), after)),
        Some(_) => None,
    }
}

/// The byte behind a backslash.
fn escaped(bytes: &[u8]) -> Option<(u8, &[u8])> {
    let (&first, rest) = bytes.split_first()?;
    if matches!(
        first,
        b',' | b';' | b'+' | b'"' | b'\\' | b'<' | b'>' | b'=' | b'#' | b' '
    ) {
        return Some((first, rest));
    }
    let (&second, rest) = rest.split_first()?;
    let digit = |b: u8| {
        char::from(b)
            .to_digit(16)
            .and_then(|d| u8::try_from(d).ok())
    };
    Some(((digit(first)? << 4) | digit(second)?, rest))
}

/// An attribute of the schema.
#[derive(Clone, Copy, Debug)]
pub(super) struct Attribute {
    /// Its first name.
    pub name: &'static str,
    syntax: Syntax,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Syntax {
    Text,
    Ascii,
    Printable,
    Digits,
    Integer,
    Name,
    Country,
    Class,
    Oid,
    Time,
    Truth,
    Octets,
    /// What no value of a name is taken of.
    Odd,
    /// Can't be compared.
    Incomparable,
}

/// Names by syntax; those of one attribute are joined by `/`.
const SCHEMA: &[(Syntax, &str)] = &[
    (Syntax::Class, "objectClass structuralObjectClass"),
    (Syntax::Oid, "supportedFeatures supportedApplicationContext"),
    (
        Syntax::Time,
        "createTimestamp modifyTimestamp pwdLastSuccess",
    ),
    (
        Syntax::Name,
        "creatorsName modifiersName subschemaSubentry entryDN namingContexts \
         aliasedObjectName/aliasedEntryName distinguishedName seeAlso member owner roleOccupant \
         manager documentAuthor secretary associatedName dITRedirect",
    ),
    (Syntax::Truth, "hasSubordinates"),
    (
        Syntax::Text,
        "vendorName vendorVersion ref name cn/commonName uid/userid labeledURI description \
         knowledgeInformation sn/surname l/localityName st/stateOrProvinceName \
         street/streetAddress o/organizationName ou/organizationalUnitName title businessCategory \
         postalCode postOfficeBox physicalDeliveryOfficeName givenName/gn initials \
         generationQualifier houseIdentifier dmdName pseudonym textEncodedORAddress info \
         drink/favouriteDrink roomNumber userClass host documentIdentifier documentTitle \
         documentVersion documentLocation personalTitle co/friendlyCountryName uniqueIdentifier \
         organizationalStatus buildingName documentPublisher ipServiceProtocol nisMapName \
         carLicense departmentNumber displayName employeeNumber employeeType preferredLanguage \
         postalAddress registeredAddress homePostalAddress olcAccess olcBackend olcDatabase \
         olcDbDirectory olcDbIndex olcInclude olcLogLevel olcModuleLoad olcModulePath olcOverlay \
         olcReferral olcSyncrepl olcUpdateRef",
    ),
    (
        Syntax::Ascii,
        "mail/rfc822Mailbox dc/domainComponent associatedDomain email/emailAddress/pkcs9email \
         aRecord mDRecord mXRecord nSRecord sOARecord cNAMERecord janetMailbox gecos homeDirectory \
         loginShell memberUid memberNisNetgroup ipHostNumber ipNetworkNumber ipNetmaskNumber \
         macAddress bootFile nisMapEntry",
    ),
    (
        Syntax::Printable,
        "serialNumber destinationIndicator dnQualifier telephoneNumber homePhone/homeTelephoneNumber \
         mobile/mobileTelephoneNumber pager/pagerTelephoneNumber",
    ),
    (Syntax::Digits, "x121Address internationaliSDNNumber"),
    (Syntax::Country, "c/countryName"),
    (
        Syntax::Integer,
        "uidNumber gidNumber shadowLastChange shadowMin shadowMax shadowWarning shadowInactive \
         shadowExpire shadowFlag ipServicePort ipProtocolNumber oncRpcNumber",
    ),
    (Syntax::Octets, "userPassword olcRootPW"),
    (
        Syntax::Odd,
        "entryUUID entryCSN contextCSN matchingRules attributeTypes objectClasses matchingRuleUse \
         ldapSyntaxes pKCS8PrivateKey presentationAddress userCertificate cACertificate \
         x500UniqueIdentifier protocolInformation uniqueMember supportedAlgorithms",
    ),
    (
        Syntax::Incomparable,
        "altServer supportedControl supportedExtension supportedLDAPVersion entryTtl \
         mailPreferenceOption supportedSASLMechanisms configContext monitorContext dynamicSubtrees \
         searchGuide telexNumber teletexTerminalIdentifier facsimileTelephoneNumber/fax \
         preferredDeliveryMethod authorityRevocationList certificateRevocationList \
         deltaRevocationList crossCertificatePair enhancedSearchGuide photo personalSignature \
         otherMailbox dSAQuality singleLevelQuality subtreeMinimumQuality subtreeMaximumQuality \
         audio nisNetgroupTriple bootParameter jpegPhoto userSMIMECertificate userPKCS12",
    ),
];

/// Numbers of attributes that clients use instead of their names.
const NUMBERS: &[(&str, &str)] = &[
    ("2.5.4.0", "objectClass"),
    ("2.5.4.3", "cn"),
    ("2.5.4.4", "sn"),
    ("2.5.4.6", "c"),
    ("2.5.4.7", "l"),
    ("2.5.4.8", "st"),
    ("2.5.4.10", "o"),
    ("2.5.4.11", "ou"),
    ("0.9.2342.19200300.100.1.1", "uid"),
    ("0.9.2342.19200300.100.1.3", "mail"),
    ("0.9.2342.19200300.100.1.25", "dc"),
];

/// Object classes that a value may name; those of `inetorgperson` and `nis` among them.
const CLASSES: &str = "top alias referral OpenLDAProotDSE subentry subschema extensibleObject \
    country locality organization organizationalUnit person organizationalPerson \
    organizationalRole groupOfNames groupOfUniqueNames residentialPerson device \
    strongAuthenticationUser certificationAuthority uidObject dcObject simpleSecurityObject \
    labeledURIObject pilotPerson account document room documentSeries domain RFC822localPart \
    friendlyCountry pilotOrganization inetOrgPerson posixAccount shadowAccount posixGroup \
    ipService ipProtocol oncRpc ipHost ipNetwork nisNetgroup nisMap nisObject ieee802Device \
    bootableDevice 2.5.6.0 2.5.6.6 2.5.6.7";

impl Attribute {
    /// By one of its names or its number; options like `;lang-en` don't count.
    pub fn find(name: &[u8]) -> Option<Self> {
        let name = str::from_utf8(name).ok()?;
        let (name, options) = name.split_once(';').unwrap_or((name, "x"));
        if options.is_empty()
            || !options
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b == b'-')
        {
            return None;
        }
        let name = NUMBERS
            .iter()
            .find(|(number, _)| *number == name)
            .map_or(name, |(_, name)| name);
        SCHEMA.iter().find_map(|(syntax, list)| {
            list.split_ascii_whitespace().find_map(|names| {
                let mut all = names.split('/');
                let known = all.clone().any(|known| known.eq_ignore_ascii_case(name));
                known.then_some(Self {
                    name: all.next().unwrap_or(names),
                    syntax: *syntax,
                })
            })
        })
    }

    /// Whether values of it can be compared for equality.
    pub fn is_comparable(self) -> bool {
        self.syntax != Syntax::Incomparable
    }

    /// Whether `value` is one of this attribute.
    pub fn accepts(self, value: &[u8]) -> bool {
        self.takes(value, 0)
    }

    fn takes(self, value: &[u8], depth: usize) -> bool {
        let all = |test: fn(&u8) -> bool| !value.is_empty() && value.iter().all(test);
        match self.syntax {
            Syntax::Text => !value.is_empty() && str::from_utf8(value).is_ok(),
            Syntax::Ascii => all(u8::is_ascii),
            Syntax::Printable => all(|b| b.is_ascii_alphanumeric() || b" '()+,-./:?".contains(b)),
            Syntax::Digits => all(|b| b.is_ascii_digit() || *b == b' '),
            Syntax::Integer => {
                let digits = value.strip_prefix(b"-").unwrap_or(value);
                let leads = digits.len() > 1 && digits.starts_with(b"0");
                !digits.is_empty() && digits.iter().all(u8::is_ascii_digit) && !leads
            }
            Syntax::Name => Name::within(value, depth.saturating_add(1)).is_some(),
            Syntax::Country => value.len() == 2 && all(u8::is_ascii_alphabetic),
            Syntax::Class => CLASSES
                .split_ascii_whitespace()
                .any(|class| class.as_bytes().eq_ignore_ascii_case(value)),
            Syntax::Oid => all(|b| b.is_ascii_digit() || *b == b'.'),
            Syntax::Time => value.len() >= 11 && value.ends_with(b"Z"),
            Syntax::Truth => matches!(value, b"TRUE" | b"FALSE"),
            Syntax::Octets | Syntax::Incomparable => true,
            Syntax::Odd => false,
        }
    }

    /// A value for comparing.
    pub fn fold(self, value: &[u8], depth: usize) -> Vec<u8> {
        match self.syntax {
            Syntax::Octets => value.to_vec(),
            Syntax::Name => Name::within(value, depth.saturating_add(1))
                .map(|name| format!("{name:?}").into_bytes())
                .unwrap_or_default(),
            _ => {
                let mut folded = Vec::with_capacity(value.len());
                for word in value.split(|b| *b == b' ').filter(|word| !word.is_empty()) {
                    if !folded.is_empty() {
                        folded.push(b' ');
                    }
                    folded.extend(word.to_ascii_lowercase());
                }
                folded
            }
        }
    }
}
