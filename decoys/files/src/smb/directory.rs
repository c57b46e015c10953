//! Listings of folders (MS-FSCC 2.4, MS-FSA 2.1.4.4).

use super::info::{Facts, times};
use super::message::{Writer, count, wide};

/// Longest pattern, in characters.
pub(super) const MAX_PATTERN: usize = 255;

/// How an entry is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Class {
    Directory,
    Full,
    Both,
    Names,
    IdBoth,
    IdFull,
}

impl Class {
    pub(super) fn of(id: u8) -> Option<Self> {
        Some(match id {
            1 => Self::Directory,
            2 => Self::Full,
            3 => Self::Both,
            12 => Self::Names,
            37 => Self::IdBoth,
            38 => Self::IdFull,
            _ => return None,
        })
    }

    /// Length of an entry without its name.
    pub(super) fn fixed(self) -> usize {
        match self {
            Self::Directory => 64,
            Self::Full => 68,
            Self::Both => 94,
            Self::Names => 12,
            Self::IdBoth => 104,
            Self::IdFull => 80,
        }
    }
}

/// Writes one entry at the end of `out`, whose list began at `start`; whether it fitted into `room`
/// bytes. `last` is where the entry before it stands.
pub(super) fn entry(
    out: &mut Writer,
    start: usize,
    last: Option<usize>,
    room: usize,
    class: Class,
    (name, facts): (&str, &Facts),
) -> Option<usize> {
    let before = out.len();
    if last.is_some() {
        out.align(start);
    }
    let at = out.len();
    let needs = class
        .fixed()
        .saturating_add(usize::try_from(wide(name)).unwrap_or(usize::MAX));
    if at.saturating_sub(start).saturating_add(needs) > room {
        out.0.truncate(before);
        return None;
    }
    out.u32(0).u32(0);
    if class != Class::Names {
        times(out, facts);
        out.u64(facts.size)
            .u64(facts.allocated)
            .u32(facts.attributes);
    }
    out.u32(wide(name));
    match class {
        Class::Directory | Class::Names => {}
        Class::Full => {
            out.u32(0);
        }
        Class::Both => {
            out.u32(0).zeros(26);
        }
        Class::IdBoth => {
            out.u32(0).zeros(28).u64(facts.id);
        }
        Class::IdFull => {
            out.u32(0).u32(0).u64(facts.id);
        }
    }
    out.text(name);
    if let Some(last) = last {
        out.patch(last, count(at.saturating_sub(last)));
    }
    Some(at)
}

/// Whether `name` is one of those that `pattern` names; both in the same case. `<`, `>` and `"` are
/// what clients make of `*`, `?` and `.` for programs of old.
pub(super) fn matches(pattern: &[char], name: &[char]) -> bool {
    // Where to go on when what follows the last star doesn't fit: one more character for the star.
    let (mut p, mut n) = (0_usize, 0_usize);
    let mut star: Option<(usize, usize)> = None;
    while n < name.len() {
        let here = name.get(n).copied().unwrap_or_default();
        let fits = match pattern.get(p) {
            Some('*') => {
                star = Some((p, n));
                p = p.saturating_add(1);
                continue;
            }
            // The star that stops at the last dot.
            Some('<') => {
                let dots = name.get(n..).unwrap_or_default().contains(&'.');
                if dots || here != '.' {
                    star = Some((p, n));
                }
                p = p.saturating_add(1);
                continue;
            }
            Some('?') => true,
            Some('>') => here != '.',
            Some('"') => here == '.',
            Some(wanted) => *wanted == here,
            None => false,
        };
        if fits {
            p = p.saturating_add(1);
            n = n.saturating_add(1);
        } else if pattern.get(p) == Some(&'>') {
            // At a dot it stands for nothing.
            p = p.saturating_add(1);
        } else if let Some((at, from)) = star {
            n = from.saturating_add(1);
            star = Some((at, n));
            p = at.saturating_add(1);
        } else {
            return false;
        }
    }
    let rest = pattern.get(p..).unwrap_or_default();
    rest.iter().all(|c| matches!(c, '*' | '<' | '>' | '"'))
}

/// `text` as names are compared.
pub(super) fn folded(text: &str) -> Vec<char> {
    text.chars().flat_map(char::to_uppercase).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_as_windows_and_samba_match_them() {
        for (pattern, name, wanted) in [
            ("*", "readme.txt", true),
            ("*", "Finance", true),
            ("*.*", "Finance", false),
            ("<.\"*", "Finance", false),
            ("re*", "readme.txt", true),
            ("RE*.TXT", "readme.txt", true),
            ("readme.txt", "README.TXT", true),
            ("readme.tx", "readme.txt", false),
            ("readme.txt?", "readme.txt", false),
            ("?eadme.txt", "readme.txt", true),
            ("????????.???", "readme.txt", false),
            (">>>>>>>>.>>>", "readme.txt", true),
            ("<.txt", "readme.txt", true),
            ("<.txt", "a.b.txt", true),
            ("<\"doc", "x.doc", true),
            ("*a*b*c", "xxaxxbxxc", true),
            ("*a*b*c", "xxaxxcxxb", false),
            ("", "x", false),
        ] {
            let got = matches(&folded(pattern), &folded(name));
            assert_eq!(got, wanted, "{pattern} {name}");
        }
    }

    #[test]
    fn a_pattern_made_to_backtrack_takes_no_time() {
        let pattern = folded(&"*a".repeat(127));
        let name = folded(&"a".repeat(254));
        assert!(matches(&pattern, &name));
        let name = folded(&format!("{}b", "a".repeat(254)));
        assert!(!matches(&pattern, &name));
    }
}
