//! The WebAssembly module for web pages and Node. An instance of it holds one model.
//!
//! The caller writes bytes to the memory that `input` returns. `open` reads them as a blob, `call`
//! as a request in JSON ([`Request`]). Both store an answer in JSON; if they return false, it is an
//! object with the field `error`. Some requests also store numbers. Only `npm/kinglet.js` calls
//! these functions.

#[allow(unused_imports)]
#[path = "../../../converter/src/fit/mod.rs"]
#[allow(dead_code)]
mod fit;
mod opened;
mod request;
mod tasks;
mod text;
mod writing;

use std::cell::RefCell;

use anyhow::{Result, anyhow};
use kinglet::{AlignedVec, LoadError, RunError};
use serde_json::{Value, json};

use opened::Opened;
use request::Request;
use writing::Writing;

/// The state of the instance between calls.
#[derive(Default)]
struct State {
    input: Option<AlignedVec>,
    opened: Option<Opened>,
    writing: Option<Writing>,
    answer: String,
    numbers: Vec<i32>,
}

thread_local! {
    static STATE: RefCell<State> = RefCell::default();
}

/// Allocates an input buffer of `len` bytes at a 16-byte boundary.
#[unsafe(no_mangle)]
pub extern "C" fn input(len: usize) -> *mut u8 {
    STATE.with_borrow_mut(|state| state.input.insert(AlignedVec::zeroed(len)).as_mut_ptr())
}

/// Opens the input as a blob. An instance can do this once.
#[unsafe(no_mangle)]
pub extern "C" fn open() -> bool {
    STATE.with_borrow_mut(|state| {
        let opened = match (state.input.take(), &state.opened) {
            (Some(blob), None) => Opened::read(blob),
            _ => Err(anyhow!("this instance has a model already")),
        };
        let about = opened.map(|opened| state.opened.insert(opened).about());
        state.tell(about)
    })
}

/// Carries out the input as a request.
#[unsafe(no_mangle)]
pub extern "C" fn call() -> bool {
    STATE.with_borrow_mut(|state| {
        state.numbers.clear();
        let answer = state.carry_out();
        state.tell(answer)
    })
}

/// The address of the answer, in UTF-8.
#[unsafe(no_mangle)]
pub extern "C" fn answer() -> *const u8 {
    STATE.with_borrow(|state| state.answer.as_ptr())
}

/// The length of the answer in bytes.
#[unsafe(no_mangle)]
pub extern "C" fn answer_len() -> usize {
    STATE.with_borrow(|state| state.answer.len())
}

/// The address of the answer's numbers.
#[unsafe(no_mangle)]
pub extern "C" fn numbers() -> *const i32 {
    STATE.with_borrow(|state| state.numbers.as_ptr())
}

/// The number of the answer's numbers.
#[unsafe(no_mangle)]
pub extern "C" fn numbers_len() -> usize {
    STATE.with_borrow(|state| state.numbers.len())
}

impl State {
    fn carry_out(&mut self) -> Result<Value> {
        let bytes = self.input.take().unwrap_or_else(|| AlignedVec::zeroed(0));
        let request = serde_json::from_slice::<Request>(&bytes).map_err(|error| anyhow!("the request: {error}"))?;
        let opened = self.opened.as_ref().ok_or_else(|| anyhow!("this instance has no model"))?;
        request.carry_out(opened, &mut self.writing, &mut self.numbers)
    }

    /// Stores an answer or an error. Returns false for an error.
    fn tell(&mut self, answer: Result<Value>) -> bool {
        let good = answer.is_ok();
        self.answer = answer.unwrap_or_else(|error| json!({ "error": told(&error) })).to_string();
        good
    }
}

/// An error as JSON, with the runtime's code if the runtime is the cause.
fn told(error: &anyhow::Error) -> Value {
    let code = error.chain().find_map(|cause| {
        let run = cause.downcast_ref::<RunError>().map(RunError::code);
        run.or_else(|| cause.downcast_ref::<LoadError>().map(LoadError::code))
    });
    json!({ "message": format!("{error:#}"), "code": code })
}
