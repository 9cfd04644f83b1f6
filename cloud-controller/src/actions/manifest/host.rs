//! Hosts that nobody named: from the app's name, with random words where it is to be unlike any
//! other.

use cfx_process::entropy::IdSource;

use crate::actions::Refused;
use crate::actions::route::HOST_MAX_CHARS;

const QUALITIES: [&str; 32] = [
    "able", "brave", "bright", "calm", "clever", "cool", "crisp", "daring", "eager", "early",
    "fair", "fast", "fine", "fresh", "gentle", "glad", "grand", "happy", "keen", "kind", "light",
    "lively", "lucky", "merry", "neat", "nimble", "noble", "proud", "quiet", "quick", "sunny",
    "warm",
];
const ANIMALS: [&str; 32] = [
    "badger", "bear", "beaver", "bison", "crane", "deer", "dolphin", "eagle", "falcon", "finch",
    "fox", "gecko", "hare", "heron", "ibex", "jackal", "koala", "lark", "lemur", "lynx", "marten",
    "mole", "otter", "owl", "panda", "puffin", "quail", "raven", "seal", "swan", "tiger", "wren",
];
/// Letters that make two equal pairs of words differ.
const TAIL_BYTES: usize = 1;

/// The app's name as a host name.
pub(super) fn of_name(name: &str) -> Result<String, Refused> {
    let mut host = String::new();
    for character in name.to_lowercase().chars() {
        match character {
            c if c.is_ascii_alphanumeric() => host.push(c),
            '-' | '_' | ' ' | '.' | '/' if !host.ends_with('-') => host.push('-'),
            _ => {}
        }
    }
    let host: String = host.chars().take(HOST_MAX_CHARS).collect();
    let host = host.trim_matches('-');
    if host.is_empty() {
        return Err(Refused::Unprocessable(format!(
            "The name '{name}' has no letters that a host name may have: give the app a route, or \
             `no-route: true`"
        )));
    }
    Ok(host.to_owned())
}

/// The app's name and some words that nobody else has.
pub(super) fn random(name: &str, ids: &IdSource) -> Result<String, Refused> {
    let word = |words: &[&'static str; 32]| {
        let at = usize::try_from(ids.below(words.len() as u64)).unwrap_or(0);
        words[at % words.len()]
    };
    let tail = format!(
        "-{}-{}-{}",
        word(&QUALITIES),
        word(&ANIMALS),
        ids.secret(TAIL_BYTES)
    );
    let own = of_name(name)?;
    let room = HOST_MAX_CHARS.saturating_sub(tail.len());
    let own: String = own.chars().take(room).collect();
    Ok(format!("{}{tail}", own.trim_end_matches('-')))
}
