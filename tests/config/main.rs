//! The configuration from outside: the real binary's reports and `check`, and `config::load` over all layers.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod keys;
mod layers;
mod life;
mod log;
mod main_command;
mod ordinary;
mod privileges;
mod refusals;
mod rules;
mod schema;
mod texts;
mod warnings;
