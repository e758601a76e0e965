//! Tests a model on the target with golden vectors: inputs, and a fingerprint of every layer's
//! result on the host.
//!
//! [`Model::self_test`] runs them and reports the first layer that differs.

use heapless::Vec;

use crate::error::RunError;
use crate::format::memory::MemoryPlan;
use crate::format::spec::MAX_LAYERS;
use crate::model::Model;
use crate::session::Session;

/// The most fingerprints of a golden vector: both stacks with their embeddings, and the head.
pub const MAX_FINGERPRINTS: usize = 2 * (MAX_LAYERS as usize + 1) + 1;

/// A 32-bit fingerprint of a sequence of fixed-point values: FNV-1a over words, which is cheap on
/// the smallest core.
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

    /// Appends values.
    pub fn update(&mut self, values: &[i32]) {
        self.0 = values.iter().fold(self.0, |hash, &value| (hash ^ value as u32).wrapping_mul(0x0100_0193));
    }

    /// The fingerprint as a number.
    pub fn value(self) -> u32 {
        self.0
    }
}

/// A golden vector in the blob: little-endian 32-bit words, the lengths of the three lists before
/// the lists.
#[derive(Clone, Copy, Debug)]
pub struct Golden<'m> {
    /// The tokens of the first stack.
    pub ids: Words<'m>,
    /// The tokens of an encoder-decoder's decoder.
    pub decoder_ids: Words<'m>,
    /// The fingerprints: for each stack, of the embedding and each layer; then of the head's
    /// result.
    pub fingerprints: Words<'m>,
}

/// A list of little-endian words.
#[derive(Clone, Copy, Debug)]
pub struct Words<'m>(&'m [[u8; 4]]);

impl<'m> Words<'m> {
    /// The words, in order.
    pub fn iter(self) -> impl ExactSizeIterator<Item = u32> + 'm {
        self.0.iter().map(|word| u32::from_le_bytes(*word))
    }

    /// The words as a slice; empty if they are misaligned, which they are in no valid model.
    fn as_slice(self) -> &'m [u32] {
        bytemuck::try_cast_slice(self.0.as_flattened()).unwrap_or(&[])
    }
}

impl<'m> Golden<'m> {
    /// Iterates over the golden vectors of a section, up to the first that is malformed.
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

    /// The most tokens in a list of a golden vector.
    pub const MAX_TOKENS: usize = 32;
}

/// Encodes a golden vector.
#[cfg(feature = "alloc")]
pub fn record(ids: &[u32], decoder_ids: &[u32], fingerprints: &[u32]) -> alloc::vec::Vec<u8> {
    let lengths = [ids, decoder_ids, fingerprints].map(|list| list.len() as u32);
    let words = [lengths.as_slice(), ids, decoder_ids, fingerprints].concat();
    words.iter().flat_map(|word| word.to_le_bytes()).collect()
}

/// Runs a model, and returns its fingerprints in the order of [`Golden::fingerprints`].
///
/// # Errors
/// The errors of [`Session::encode`] and [`Session::prefill`].
#[inline(never)]
pub fn fingerprints(
    model: &Model<'_>,
    arena: &mut [u8],
    ids: &[u32],
    decoder_ids: &[u32],
    pause: &mut (dyn FnMut() + Send),
) -> Result<Vec<u32, MAX_FINGERPRINTS>, RunError> {
    let mut values = Vec::new();
    // Cannot fail: no stack has more than `MAX_LAYERS` layers.
    run(model, arena, (ids, decoder_ids), pause, &mut |value| _ = values.push(value))?;
    Ok(values)
}

/// Runs a model, and calls `each` with its fingerprints.
#[inline(never)]
fn run(
    model: &Model<'_>,
    arena: &mut [u8],
    (ids, decoder_ids): (&[u32], &[u32]),
    pause: &mut (dyn FnMut() + Send),
    each: &mut dyn FnMut(u32),
) -> Result<(), RunError> {
    let spec = model.spec();
    let (source, target) = match (&spec.encoder, &spec.decoder) {
        (Some(_), Some(_)) => (ids, decoder_ids),
        (Some(_), None) => (ids, &[][..]),
        _ => (&[][..], ids),
    };
    let plan = MemoryPlan::new(spec, target.len(), source.len(), spec.numerics.tile.into())?;
    // Borrow the session in place: moving it would put it on the stack twice.
    let mut session = Session::with_plan(model, arena, plan);
    let session = session.as_mut().map_err(|error| *error)?;
    session.set_pause(pause);
    if spec.encoder.is_some() {
        encoder_layers(session, source, each)?;
    }
    if spec.decoder.is_some() {
        decoder_layers(session, target, each)?;
    }
    each(Fingerprint::of(session.logits()?).value());
    Ok(())
}

/// Fingerprints an encoder's layers, which run one after the other on all tokens.
#[inline(never)]
fn encoder_layers(session: &mut Session<'_, '_>, ids: &[u32], each: &mut dyn FnMut(u32)) -> Result<(), RunError> {
    let (mut current, mut fingerprint) = (0, Fingerprint::default());
    session.encode_traced(ids, &[], &mut |layer, states| {
        if layer != current {
            each(fingerprint.value());
            (current, fingerprint) = (layer, Fingerprint::default());
        }
        fingerprint.update(states);
    })?;
    each(fingerprint.value());
    Ok(())
}

/// Fingerprints a decoder's layers, all of which run on each tile of tokens.
#[inline(never)]
fn decoder_layers(session: &mut Session<'_, '_>, ids: &[u32], each: &mut dyn FnMut(u32)) -> Result<(), RunError> {
    let mut layers = Vec::<Fingerprint, { MAX_LAYERS as usize + 1 }>::new();
    session.read(
        ids,
        &mut |layer, states| {
            while layers.len() <= layer && layers.push(Fingerprint::default()).is_ok() {}
            layers.get_mut(layer).into_iter().for_each(|fingerprint| fingerprint.update(states));
        },
        None,
    )?;
    layers.iter().for_each(|fingerprint| each(fingerprint.value()));
    Ok(())
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

    /// [`self_test`](Self::self_test) that calls `pause` between the steps of the model: see
    /// [`Session::set_pause`].
    ///
    /// # Errors
    /// The errors of [`self_test`](Self::self_test).
    #[inline(never)]
    pub fn self_test_with(&self, arena: &mut [u8], pause: &mut (dyn FnMut() + Send)) -> Result<(), RunError> {
        let mut vectors = 0;
        for golden in Golden::all(self.golden_section()) {
            for list in [golden.ids, golden.decoder_ids] {
                if list.0.len() > Golden::MAX_TOKENS {
                    return Err(RunError::TooManyTokens { limit: Golden::MAX_TOKENS, given: list.0.len() });
                }
            }
            let (mut expected, mut layer, mut differs) = (golden.fingerprints.iter(), 0, None);
            run(self, arena, (golden.ids.as_slice(), golden.decoder_ids.as_slice()), pause, &mut |found| {
                if expected.next() != Some(found) {
                    differs = differs.or(Some(layer));
                }
                layer += 1;
            })?;
            pause();
            if let Some(layer) = differs.or((expected.len() > 0).then_some(layer)) {
                return Err(RunError::SelfTestFailed { layer });
            }
            vectors += 1;
        }
        if vectors == 0 { Err(RunError::NoGoldenVectors) } else { Ok(()) }
    }
}
