//! Golden vectors: a few inputs with the exact bits that every layer made of them on the host.
//!
//! [`Model::self_test`] runs them where the model is to be used, and names the first layer that
//! differs.

use heapless::Vec;

use crate::error::RunError;
use crate::format::memory::MemoryPlan;
use crate::format::spec::MAX_LAYERS;
use crate::model::Model;
use crate::session::Session;

/// The most layers that have a fingerprint: both stacks with their embeddings, and the head.
pub const MAX_FINGERPRINTS: usize = 2 * (MAX_LAYERS as usize + 1) + 1;

/// A 32-bit fingerprint of fixed-point values in order (FNV-1a over whole words), cheap on the
/// smallest core.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fingerprint(u32);

impl Default for Fingerprint {
    fn default() -> Self {
        Self(0x811c_9dc5)
    }
}

impl Fingerprint {
    /// The fingerprint of `values`.
    ///
    /// ```
    /// use kinglet::golden::Fingerprint;
    /// assert_ne!(Fingerprint::of(&[1, 2]).value(), Fingerprint::of(&[2, 1]).value());
    /// ```
    pub fn of(values: &[i32]) -> Self {
        let mut fingerprint = Self::default();
        fingerprint.update(values);
        fingerprint
    }

    /// Adds more values.
    pub fn update(&mut self, values: &[i32]) {
        self.0 = values.iter().fold(self.0, |hash, &value| (hash ^ value as u32).wrapping_mul(0x0100_0193));
    }

    /// The fingerprint as a number.
    pub fn value(self) -> u32 {
        self.0
    }
}

/// One golden vector, as it lies in the blob: 32-bit little-endian words, the three lengths before
/// the three lists.
#[derive(Clone, Copy, Debug)]
pub struct Golden<'m> {
    /// The tokens of the first stack.
    pub ids: Words<'m>,
    /// The tokens of the decoder where there is an encoder, too.
    pub decoder_ids: Words<'m>,
    /// A fingerprint after each layer, the embedding first, stack after stack, then of the head's
    /// result.
    pub fingerprints: Words<'m>,
}

/// Little-endian words.
#[derive(Clone, Copy, Debug)]
pub struct Words<'m>(&'m [[u8; 4]]);

impl<'m> Words<'m> {
    /// The numbers.
    pub fn iter(self) -> impl ExactSizeIterator<Item = u32> + 'm {
        self.0.iter().map(|word| u32::from_le_bytes(*word))
    }
}

impl<'m> Golden<'m> {
    /// The golden vectors of a section; it ends early where the section is not well formed.
    pub fn all(section: &'m [u8]) -> impl Iterator<Item = Self> {
        let mut rest = section.as_chunks::<4>().0;
        core::iter::from_fn(move || {
            let (lengths, lists) = rest.split_first_chunk::<3>()?;
            let [ids, decoder_ids, fingerprints] = lengths.map(|length| u32::from_le_bytes(length) as usize);
            let (ids, lists) = lists.split_at_checked(ids)?;
            let (decoder_ids, lists) = lists.split_at_checked(decoder_ids)?;
            let (fingerprints, lists) = lists.split_at_checked(fingerprints)?;
            rest = lists;
            Some(Self { ids: Words(ids), decoder_ids: Words(decoder_ids), fingerprints: Words(fingerprints) })
        })
    }

    /// The longest list of tokens that a golden vector may have.
    pub const MAX_TOKENS: usize = 32;
}

/// Makes the bytes of one golden vector.
#[cfg(feature = "alloc")]
pub fn record(ids: &[u32], decoder_ids: &[u32], fingerprints: &[u32]) -> alloc::vec::Vec<u8> {
    let lengths = [ids, decoder_ids, fingerprints].map(|list| list.len() as u32);
    let words = [lengths.as_slice(), ids, decoder_ids, fingerprints].concat();
    words.iter().flat_map(|word| word.to_le_bytes()).collect()
}

/// Runs a model, and returns the fingerprints of its layers in the order of
/// [`Golden::fingerprints`].
///
/// # Errors
/// As [`Session::encode`] and [`Session::prefill`].
#[inline(never)]
pub fn fingerprints(
    model: &Model<'_>,
    arena: &mut [u8],
    ids: &[u32],
    decoder_ids: &[u32],
    pause: &mut (dyn FnMut() + Send),
) -> Result<Vec<u32, MAX_FINGERPRINTS>, RunError> {
    let spec = model.spec();
    let (source, target) = match (&spec.encoder, &spec.decoder) {
        (Some(_), Some(_)) => (ids, decoder_ids),
        (Some(_), None) => (ids, &[][..]),
        _ => (&[][..], ids),
    };
    let plan = MemoryPlan::new(spec, target.len(), source.len(), spec.numerics.tile.into())?;
    let mut session = Session::with_plan(model, arena, plan)?;
    session.set_pause(pause);
    let mut layers = Vec::<Fingerprint, MAX_FINGERPRINTS>::new();
    let mut first = 0;
    let mut trace = |first: usize, layer: usize, states: &[i32]| {
        while layers.len() <= first + layer && layers.push(Fingerprint::default()).is_ok() {}
        if let Some(fingerprint) = layers.get_mut(first + layer) {
            fingerprint.update(states);
        }
    };
    if let Some(encoder) = &spec.encoder {
        session.encode_traced(source, &[], &mut |layer, states| trace(0, layer, states))?;
        first = encoder.num_hidden_layers as usize + 1;
    }
    if spec.decoder.is_some() {
        session.read(target, &mut |layer, states| trace(first, layer, states), None)?;
    }
    let head = Fingerprint::of(session.logits()?);
    let mut values = Vec::new();
    for fingerprint in layers.iter().chain([&head]) {
        // There is room: no stack has more than `MAX_LAYERS` layers.
        let _ = values.push(fingerprint.value());
    }
    Ok(values)
}

impl Model<'_> {
    /// Runs the blob's golden vectors in the arena.
    ///
    /// # Errors
    /// [`RunError::SelfTestFailed`] with the first layer that differs from the host's bits;
    /// [`RunError::NoGoldenVectors`] when the blob has no golden vectors;
    /// [`RunError::ArenaTooSmall`].
    #[inline(never)]
    pub fn self_test(&self, arena: &mut [u8]) -> Result<(), RunError> {
        self.self_test_with(arena, &mut || ())
    }

    /// As [`self_test`](Self::self_test), and calls `pause` between any two steps of the model, as
    /// [`Session::set_pause`] says.
    ///
    /// # Errors
    /// As [`self_test`](Self::self_test).
    #[inline(never)]
    pub fn self_test_with(&self, arena: &mut [u8], pause: &mut (dyn FnMut() + Send)) -> Result<(), RunError> {
        let mut vectors = 0;
        for golden in Golden::all(self.golden_section()) {
            let list = |words: Words<'_>| -> Result<Vec<u32, { Golden::MAX_TOKENS }>, RunError> {
                let mut list = Vec::new();
                for word in words.iter() {
                    let too_long = RunError::TooManyTokens { limit: Golden::MAX_TOKENS, given: words.0.len() };
                    list.push(word).map_err(|_| too_long)?;
                }
                Ok(list)
            };
            let found = fingerprints(self, arena, &list(golden.ids)?, &list(golden.decoder_ids)?, pause)?;
            let differs =
                found.iter().copied().zip(golden.fingerprints.iter()).position(|(found, expected)| found != expected);
            let shorter = (found.len() != golden.fingerprints.0.len()).then_some(0);
            if let Some(layer) = differs.or(shorter) {
                return Err(RunError::SelfTestFailed { layer: layer as u16 });
            }
            vectors += 1;
        }
        if vectors == 0 { Err(RunError::NoGoldenVectors) } else { Ok(()) }
    }
}
