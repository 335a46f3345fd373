//! What must hold of commands and layers for any input, with the shell itself as the witness.

use std::{collections::BTreeMap, process::Command};

use proptest::{collection::vec, prelude::*};
use toml::de::DeTable;

use super::{
    origin::Origin,
    tree::{Tree, Value},
    words::{Kind, Syntax, quote, split},
};

/// A piece of a word that means the same in every shell: nothing to be expanded.
fn piece() -> impl Strategy<Value = String> {
    prop_oneof![
        "[a-zA-Z0-9_./:,+@%^é-]{1,6}",
        "'[^'\0]{0,6}'".prop_map(|text| text),
        vec(prop_oneof!["[^\"\\\\$`\0!]", r#"\\[$`"\\]"#, r"\\[a-z ]", "\\\\\n"], 0..5)
            .prop_map(|parts| format!("\"{}\"", parts.concat())),
        r#"\\[ '"\\$;&|<>()*?~#`a-z]"#,
        Just("\\\n".to_owned()),
    ]
}

/// Words with blanks between them; none begins a comment.
fn line() -> impl Strategy<Value = String> {
    let blank = prop_oneof![Just(" "), Just("\t"), Just("  "), Just(" \\\n "), Just(" \\\n")];
    vec((vec(piece(), 1..4), blank), 0..5)
        .prop_map(|words| words.into_iter().map(|(pieces, blank)| pieces.concat() + blank).collect())
}

fn words(text: &str) -> Option<Vec<String>> {
    let tokens = split(text, Syntax::Shell).ok()?;
    let plain = tokens.iter().all(|token| token.kind == Kind::Word);
    plain.then(|| tokens.into_iter().map(|token| token.text).collect())
}

/// The words as a shell splits them.
fn by_shell(text: &str) -> Vec<String> {
    // A word that is always there: without one, printf would write an empty one.
    let script = format!("printf '%s\\000' first {text}");
    let output = Command::new("/bin/sh").args(["-c", &script]).env_clear().output().unwrap();
    assert!(output.status.success(), "{script:?}: {}", String::from_utf8_lossy(&output.stderr));
    let words = String::from_utf8(output.stdout).unwrap();
    words.split_terminator('\0').skip(1).map(str::to_owned).collect()
}

/// The keys of a layer, dotted, with their values.
fn layer() -> impl Strategy<Value = BTreeMap<String, i64>> {
    let key = prop_oneof!["services\\.[ab]\\.[xyz]", "services\\.[ab]\\.t\\.[uv]", "manager\\.[xy]"];
    prop::collection::btree_map(key, any::<i64>(), 0..6)
}

fn tree(layer: &BTreeMap<String, i64>) -> Tree {
    let text: String = layer.iter().map(|(key, value)| format!("{key} = {value}\n")).collect();
    let mut tree = Tree::default();
    tree.insert_table(&mut Vec::new(), DeTable::parse(&text).unwrap().get_ref(), &|_| Origin::Whole);
    tree
}

fn cases(cases: u32) -> ProptestConfig {
    ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() }
}

proptest! {
    #![proptest_config(cases(200))]

    #[test]
    fn a_command_is_split_as_a_shell_splits_it(text in line()) {
        prop_assert_eq!(words(&text), Some(by_shell(&text)), "{:?}", text);
    }

    #[test]
    fn a_quoted_word_is_one_word_for_a_shell(word in "[^\0]{0,12}") {
        let quoted = quote(&word);
        prop_assert_eq!(by_shell(&quoted), vec![word.clone()], "{}", quoted);
        prop_assert_eq!(words(&quoted), Some(vec![word]), "{}", quoted);
    }

    #[test]
    fn of_two_layers_the_later_wins_key_by_key(layers in vec(layer(), 0..5)) {
        let (mut merged, mut expected) = (Tree::default(), BTreeMap::new());
        for layer in &layers {
            merged.overlay(&tree(layer));
            expected.extend(layer.clone());
        }
        let told: BTreeMap<String, i64> = merged
            .iter()
            .filter_map(|(path, entry)| match entry.value {
                Value::Integer(number) => Some((path.join("."), i64::try_from(number).unwrap())),
                _ => None,
            })
            .collect();
        prop_assert_eq!(told, expected);
    }
}
