//! The C interface of Kinglet. `include/kinglet.h` is generated from this crate, and documents it
//! for C.
//!
//! An engine is at the beginning of the memory that its caller lends, and its session's arena
//! follows it. Between two calls the session is [suspended](kinglet::Suspended), so the engine does
//! not contain references to itself.
#![cfg_attr(not(feature = "std"), no_std)]
#![allow(non_camel_case_types)]

mod engine;
mod generate;
mod pointers;
mod reading;
mod sample;
mod status;
mod tasks;
mod text;

pub use engine::{
    KINGLET_ENGINE_BYTES, kinglet_close, kinglet_engine, kinglet_error_text, kinglet_memory_bytes, kinglet_open,
    kinglet_self_test, kinglet_set_pause,
};
pub use generate::{
    kinglet_generate, kinglet_generate_options, kinglet_generate_options_default, kinglet_stop, kinglet_write_token,
};
pub use reading::{
    kinglet_encode, kinglet_logits, kinglet_logits_at, kinglet_position, kinglet_prefill, kinglet_remaining,
    kinglet_reset, kinglet_restore, kinglet_rewind, kinglet_snapshot, kinglet_snapshot_bytes, kinglet_step,
};
pub use sample::{KINGLET_ONE, kinglet_argmax, kinglet_sample, kinglet_sampling, kinglet_sampling_greedy};
pub use status::{
    KINGLET_MISALIGNED_POINTER, KINGLET_NO_ENGINE, KINGLET_NOT_UTF8, KINGLET_NULL_POINTER, KINGLET_OK, kinglet_status,
};
pub use tasks::{
    kinglet_answer, kinglet_classify, kinglet_embed, kinglet_fill_mask, kinglet_label, kinglet_score, kinglet_span,
    kinglet_tag, kinglet_take_logits, kinglet_take_score, kinglet_take_scores,
};
pub use text::{
    KINGLET_TOKEN_WORDS, kinglet_decode, kinglet_scratch_words, kinglet_tokenize, kinglet_tokens, kinglet_write_text,
};

/// Nothing here panics. The feature `panics-do-not-link` proves it, with a linker that drops unused
/// functions.
#[cfg(not(any(test, feature = "std")))]
#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    #[cfg(feature = "panics-do-not-link")]
    {
        unsafe extern "C" {
            fn kinglet_can_panic() -> !;
        }
        // SAFETY: a program with this call does not link.
        unsafe { kinglet_can_panic() }
    }
    #[cfg(not(feature = "panics-do-not-link"))]
    loop {}
}
