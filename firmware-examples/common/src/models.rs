//! The models, as modules that `kinglet export` and `kinglet prefix` wrote. They are constants, so
//! they use no RAM and are not checked at run time. `cargo xtask blobs --write` regenerates them.

#[cfg(feature = "command")]
#[path = "../models/home_command.rs"]
#[rustfmt::skip]
pub mod home_command;
#[path = "../models/home_intent.rs"]
#[rustfmt::skip]
pub mod home_intent;
#[path = "../models/home_slots.rs"]
#[rustfmt::skip]
pub mod home_slots;
#[path = "../models/home_words.rs"]
#[rustfmt::skip]
pub mod home_words;
#[path = "../models/search.rs"]
#[rustfmt::skip]
pub mod search;
#[path = "../models/stories.rs"]
#[rustfmt::skip]
pub mod stories;
#[path = "../models/stories_backward.rs"]
#[rustfmt::skip]
pub mod stories_backward;
#[path = "../models/stories_once.rs"]
#[rustfmt::skip]
pub mod stories_once;
