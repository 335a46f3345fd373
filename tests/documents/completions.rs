//! completions/: for bash, zsh and fish. Each walks through the words before the cursor to the place that they lead to,
//! and proposes what can be written there; for names of services it asks the manager.

use clap::builder::StyledStr;

use crate::{
    check, source,
    tree::{Kind, Place, places, spellings},
};

const MADE: &str = "Made from the command line itself by `cargo test --test documents`.";

/// What differs between the shells, besides their templates.
struct Shell {
    template: &'static str,
    file: &'static str,
    quote: fn(&str) -> String,
    /// Between patterns of one case.
    or: &'static str,
    /// A case: its patterns, and what is done.
    case: fn(&str, &str) -> String,
    /// Sets a variable to a text.
    set: fn(&str, &str) -> String,
    /// Proposes these, with what they mean: `verbs`, `options`.
    propose: fn(&str, &[(String, String)]) -> String,
}

const SHELLS: [Shell; 3] = [
    Shell {
        template: "bash",
        file: "completions/musterd.bash",
        quote: posix_quote,
        or: " | ",
        case: |patterns, what| format!("            {patterns}) {what} ;;"),
        set: |name, text| format!("{name}={text}"),
        propose: |name, all| {
            let names: Vec<&str> = all.iter().map(|(name, _)| name.as_str()).collect();
            format!("{name}={}", posix_quote(&names.join(" ")))
        },
    },
    Shell {
        template: "zsh",
        file: "completions/_musterd",
        quote: posix_quote,
        or: " | ",
        case: |patterns, what| format!("            ({patterns}) {what} ;;"),
        set: |name, text| format!("{name}={text}"),
        propose: |name, all| {
            let all: Vec<_> = all.iter().map(|(name, help)| posix_quote(&format!("{name}:{help}"))).collect();
            format!("{name}=({})", all.join(" "))
        },
    },
    Shell {
        template: "fish",
        file: "completions/musterd.fish",
        quote: fish_quote,
        or: " ",
        case: |patterns, what| {
            format!(
                "            case {patterns}\n                {}",
                what.replace("; ", "\n                ")
            )
        },
        set: |name, text| format!("set {name} {text}"),
        propose: |name, all| {
            let all: Vec<_> =
                all.iter().flat_map(|(name, help)| [fish_quote(name), fish_quote(help)]).collect();
            // fish would propose options for an empty word, too.
            let when = if name == "options" { "string match -q -- '-*' $current; and " } else { "" };
            format!("{when}printf '%s\\t%s\\n' {}", all.join(" "))
        },
    },
];

fn posix_quote(text: &str) -> String {
    format!("'{}'", text.replace('\'', "'\\''"))
}

fn fish_quote(text: &str) -> String {
    format!("'{}'", text.replace('\\', "\\\\").replace('\'', "\\'"))
}

/// The first line without `;`, which stands between commands here.
fn help(text: Option<&StyledStr>) -> String {
    let text = text.map(ToString::to_string).unwrap_or_default();
    text.lines().next().unwrap_or_default().replace(';', ",")
}

impl Shell {
    fn patterns(&self, words: &[String]) -> String {
        words.iter().map(|words| (self.quote)(words)).collect::<Vec<_>>().join(self.or)
    }

    /// Sets what kind of word is proposed; nothing for what nobody can guess.
    fn kind(&self, kind: Kind) -> Option<String> {
        let set = |kind| (self.set)("kind", kind);
        match kind {
            Kind::Free => None,
            Kind::File => Some(set("files")),
            Kind::Service => Some(set("services")),
            Kind::Word(words) => {
                let name = if self.template == "bash" { "words" } else { "choice" };
                Some(format!("{}; {}", set("words"), (self.set)(name, &(self.quote)(words))))
            }
        }
    }

    fn proposals(&self, place: &Place) -> String {
        let options: Vec<_> = place
            .options()
            .flat_map(|option| spellings(option).into_iter().map(|name| (name, help(option.get_help()))))
            .collect();
        let verbs: Vec<_> =
            place.verbs().map(|verb| (verb.get_name().to_owned(), help(verb.get_about()))).collect();
        let mut what = vec![(self.propose)("options", &options)];
        if !verbs.is_empty() {
            what.push((self.propose)("verbs", &verbs));
        }
        what.extend(self.kind(place.positional()));
        (self.case)(&self.patterns(std::slice::from_ref(&place.path)), &what.join("; "))
    }

    /// Steps over the first word of verbs whose second one is something else.
    fn steps(&self, places: &[Place]) -> String {
        let step = |next: Place| {
            let words = next.path.trim_end_matches('_');
            let pattern = |more: &str| match self.template {
                "fish" => fish_quote(&format!("{words}{more}*")),
                _ => format!("{}*", posix_quote(&format!("{words}{more}"))),
            };
            let set = (self.set)("place", &(self.quote)(&next.path));
            [(self.case)(&pattern("-"), ""), (self.case)(&pattern(""), &set)]
        };
        places.iter().filter_map(Place::behind_word).flat_map(step).collect::<Vec<_>>().join("\n")
    }

    fn script(&self) -> String {
        let verbs = places();
        let places: Vec<Place> =
            verbs.iter().cloned().chain(verbs.iter().filter_map(Place::behind_word)).collect();
        let values: Vec<(Vec<String>, Kind)> = places
            .iter()
            .flat_map(|place| {
                let behind = |(names, kind): (Vec<String>, _)| {
                    (names.iter().map(|name| format!("{} {name}", place.path)).collect(), kind)
                };
                place.with_value().into_iter().map(behind)
            })
            .collect();
        let all: Vec<String> = values.iter().flat_map(|(names, _)| names.clone()).collect();
        let deeper: Vec<String> = verbs[1..].iter().map(|place| place.path.clone()).collect();
        let kinds = values
            .iter()
            .filter_map(|(names, kind)| Some((self.case)(&self.patterns(names), &self.kind(*kind)?)));
        let proposals = places.iter().map(|place| self.proposals(place));
        source(&format!("tests/documents/completions/{}", self.template))
            .replace("@MADE@", MADE)
            .replace("@VALUES@", &self.patterns(&all))
            .replace("@STEPS@", &self.steps(&verbs))
            .replace("@PLACES@", &self.patterns(&deeper))
            .replace("@KINDS@", &kinds.collect::<Vec<_>>().join("\n"))
            .replace("@PROPOSALS@", &proposals.collect::<Vec<_>>().join("\n"))
    }
}

#[test]
fn completions_are_up_to_date() {
    for shell in SHELLS {
        check(shell.file, &shell.script());
    }
}
