//! A decoder in a web page: `bytes` lends memory for a blob and a text, `load` checks the blob,
//! `write` continues the text.
//!
//! The page gives one function, `print`. `story.mjs` is all that it takes on that side.

use std::sync::Mutex;

use kinglet::golden::Fingerprint;
use kinglet::sample::argmax;
use kinglet::tokenizer::{EncodeOptions, Token, Tokenizer};
use kinglet::{AlignedVec, Error, Model, Session, arena_bytes};

unsafe extern "C" {
    /// UTF-8 for the page.
    safe fn print(text: *const u8, len: usize);
}

/// What the page wrote last.
static BYTES: Mutex<Option<AlignedVec>> = Mutex::new(None);
static BLOB: Mutex<Option<AlignedVec>> = Mutex::new(None);

/// Memory for the page to write to: a blob, or a text.
#[unsafe(no_mangle)]
pub extern "C" fn bytes(len: usize) -> *mut u8 {
    let mut bytes = AlignedVec::zeroed(len);
    let place = bytes.as_mut_ptr();
    store(&BYTES, bytes);
    place
}

/// Takes what was written as a blob; says whether it is one.
#[unsafe(no_mangle)]
pub extern "C" fn load() -> bool {
    let Some(blob) = take(&BYTES) else { return false };
    let checked = Model::from_bytes(&blob).map(|_| ()).map_err(Error::from);
    let good = said(checked);
    store(&BLOB, blob);
    good
}

/// Continues the text from the page by up to `new_tokens` tokens, greedily, and prints it with the
/// fingerprint of all logits.
#[unsafe(no_mangle)]
pub extern "C" fn write(new_tokens: usize) -> bool {
    let text = take(&BYTES);
    let blob = take(&BLOB);
    let (Some(text), Some(blob)) = (text, blob) else { return false };
    let written = story(&blob, &String::from_utf8_lossy(&text), new_tokens);
    store(&BLOB, blob);
    said(written)
}

fn story(blob: &[u8], text: &str, new_tokens: usize) -> Result<(), Error> {
    let model = Model::from_bytes(blob)?;
    let tokenizer = Tokenizer::from_bytes(model.tokenizer_section())?;
    let mut scratch = vec![0; tokenizer.scratch_words(text.len())];
    let mut tokens = vec![Token::default(); text.len() + 16];
    let count = tokenizer.encode(text, None, &EncodeOptions::default(), &mut scratch, &mut tokens)?;
    let ids: Vec<u32> = tokens.iter().take(count).map(|token| token.id).collect();

    let most = ids.len() + new_tokens;
    let mut arena = AlignedVec::zeroed(arena_bytes(blob, most));
    let mut session = Session::new(&model, &mut arena, most)?;
    let mut decoder = tokenizer.decoder(true);
    let mut say = |piece: &str| print(piece.as_ptr(), piece.len());
    ids.iter().for_each(|&id| decoder.push(id, &mut say));
    session.prefill(&ids)?;
    let mut fingerprint = Fingerprint::default();
    for _ in 0..new_tokens {
        let logits = session.logits()?;
        let token = argmax(logits);
        fingerprint.update(logits);
        if model.manifest().tokens.eos.contains(&token) {
            break;
        }
        decoder.push(token, &mut say);
        session.prefill(&[token])?;
    }
    decoder.finish(&mut say);
    say(&format!("\nlogits {:08x}\n", fingerprint.value()));
    Ok(())
}

/// Tells the page what went wrong.
fn said(result: Result<(), Error>) -> bool {
    if let Err(error) = &result {
        let text = format!("error: {error}\n");
        print(text.as_ptr(), text.len());
    }
    result.is_ok()
}

fn store(to: &Mutex<Option<AlignedVec>>, bytes: AlignedVec) {
    if let Ok(mut to) = to.lock() {
        *to = Some(bytes);
    }
}

fn take(from: &Mutex<Option<AlignedVec>>) -> Option<AlignedVec> {
    from.lock().ok()?.take()
}
