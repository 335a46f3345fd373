//! Patterns of names: `*`, `?`, `[a-z]`, `[!a-z]`. Knows no service.

/// Whether it is more than a name.
pub(super) fn is_pattern(text: &str) -> bool {
    text.contains(['*', '?', '['])
}

/// Whether the pattern is that of the name. The time is at most the product of their lengths.
pub(super) fn matches(pattern: &str, name: &str) -> bool {
    let (pattern, name) = (parts(pattern), name.chars().collect::<Vec<_>>());
    let (mut at, mut next) = (0, 0);
    // The last `*`, and where what it stands for ends so far. An earlier one need not be asked again.
    let mut star = None;
    while next < name.len() {
        match pattern.get(at) {
            Some(Part::Any) => {
                star = Some((at, next));
                at += 1;
            }
            Some(Part::One(of)) if of.has(name[next]) => {
                at += 1;
                next += 1;
            }
            Some(Part::One(_)) | None => match &mut star {
                Some((place, end)) => {
                    *end += 1;
                    (at, next) = (*place + 1, *end);
                }
                None => return false,
            },
        }
    }
    pattern[at..].iter().all(|part| matches!(part, Part::Any))
}

enum Part {
    /// Any characters, none too.
    Any,
    One(Of),
}

/// Which character.
struct Of {
    ranges: Vec<(char, char)>,
    except: bool,
}

impl Of {
    fn has(&self, c: char) -> bool {
        self.ranges.iter().any(|&(first, last)| (first..=last).contains(&c)) != self.except
    }
}

fn parts(pattern: &str) -> Vec<Part> {
    let (mut parts, mut rest) = (Vec::new(), pattern);
    while let Some(c) = rest.chars().next() {
        let after = &rest[c.len_utf8()..];
        let (part, left) = match (c, set(after)) {
            ('*', _) => (Part::Any, after),
            ('?', _) => (Part::One(Of { ranges: Vec::new(), except: true }), after),
            ('[', Some((of, left))) => (Part::One(of), left),
            // A `[` without an end stands for itself (glob(7)).
            (c, _) => (Part::One(Of { ranges: vec![(c, c)], except: false }), after),
        };
        parts.push(part);
        rest = left;
    }
    parts
}

/// What stands between brackets, and what comes after them. A `]` that comes first is one of the characters.
fn set(text: &str) -> Option<(Of, &str)> {
    let (except, inner) = match text.strip_prefix(['!', '^']) {
        Some(inner) => (true, inner),
        None => (false, text),
    };
    let first = inner.chars().next()?.len_utf8();
    let end = first + inner[first..].find(']')?;
    let chars: Vec<char> = inner[..end].chars().collect();
    let (mut ranges, mut rest) = (Vec::new(), chars.as_slice());
    while let [first, others @ ..] = rest {
        (ranges, rest) = match others {
            ['-', last, others @ ..] => ([ranges, vec![(*first, *last)]].concat(), others),
            others => ([ranges, vec![(*first, *first)]].concat(), others),
        };
    }
    Some((Of { ranges, except }, &inner[end + 1..]))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_pattern_has_names() {
        for (pattern, yes, no) in [
            ("*", &["", "web", "größe"][..], &[][..]),
            ("web*", &["web", "web-1"], &["we", "aweb"]),
            ("*b*1", &["b1", "web-1", "bb11"], &["1b", "web-12"]),
            ("w?b", &["web", "wöb"], &["wb", "weeb"]),
            ("web-[0-3]", &["web-0", "web-3"], &["web-4", "web-", "web-03"]),
            ("[!a-cx]*", &["d", "web"], &["a", "xweb", ""]),
            ("[]-]", &["]", "-"], &["a"]),
            ("[a-]", &["a", "-"], &["b"]),
            ("web[", &["web["], &["web"]),
            ("a.b", &["a.b"], &["axb"]),
        ] {
            for name in yes {
                assert!(matches(pattern, name), "{pattern} {name}");
            }
            for name in no {
                assert!(!matches(pattern, name), "{pattern} {name}");
            }
        }
    }

    #[test]
    fn many_stars_take_no_time() {
        assert!(!matches(&"*a".repeat(2000), &"a".repeat(1999)));
    }

    proptest! {
        #[test]
        fn stars_stand_for_what_they_replace(name in "[a-z0-9]{0,12}", from in 0usize..12, to in 0usize..12) {
            let (from, to) = (from.min(to).min(name.len()), from.max(to).min(name.len()));
            let pattern = format!("{}*{}", &name[..from], &name[to..]);
            prop_assert!(matches(&pattern, &name));
            let longer = format!("x{name}");
            prop_assert!(!matches(&name, &longer));
        }

        #[test]
        fn any_pattern_is_read(pattern in ".{0,20}", name in ".{0,10}") {
            matches(&pattern, &name);
        }
    }
}
