//! Malformed blobs are refused with the right error. If a modified blob happens to be valid, it
//! runs. Nothing panics.

use kinglet::format::blob::{CHECKSUM_LEN, FORMAT_VERSION, PRELUDE_LEN, peek};
use kinglet::format::checksum::checksum;
use kinglet::format::layout::{Role, Stack, StackPart, roles};
use kinglet::format::spec::{
    AttentionPosition, Blocks, Convolution, PackedSpec, ShortConvolutionSpec, StackSpec, WeightLayout,
};
use kinglet::task::{BeamOptions, BeamSearch};
use kinglet::{
    AlignedVec, Buffer, Error, LoadError, MemoryPlan, Model, RunError, Session, arena_bytes, arena_bytes_beams,
    arena_bytes_seq2seq,
};
use kinglet_tests::tiny;

/// Corrects the checksum, as an attacker would.
fn seal(blob: &mut [u8]) {
    let (content, written) = blob.split_at_mut(blob.len() - CHECKSUM_LEN);
    written.copy_from_slice(&checksum(content).to_le_bytes());
}

/// Loads a blob and, if it is accepted, runs it on a few tokens.
fn read_and_run(blob: &[u8]) -> Result<(), Error> {
    let model = Model::from_bytes(blob)?;
    let spec = model.spec();
    let plan = MemoryPlan::new(spec, 3, 3, 2)?;
    // A forged specification may need a huge arena, which a plan reports correctly.
    if plan.bytes() > 1 << 24 {
        return Err(RunError::ArenaTooSmall { needed: plan.bytes() as usize, given: 1 << 24 }.into());
    }
    let mut arena = AlignedVec::zeroed(plan.bytes() as usize);
    let mut session = Session::with_plan(&model, &mut arena, plan)?;
    if spec.encoder.is_some() {
        session.encode(&[1, 2, 0], &[])?;
        session.logits_at(2).map(|_| ()).or_else(|error| if spec.decoder.is_some() { Ok(()) } else { Err(error) })?;
    }
    if spec.decoder.is_some() {
        session.prefill(&[1, 2, 0])?;
    }
    session.logits()?;
    Ok(())
}

#[test]
fn the_blobs_that_the_others_are_made_of_are_valid() {
    for (name, spec) in tiny::specs() {
        let blob = tiny::blob(&spec, 1);
        assert_eq!(read_and_run(&blob), Ok(()), "{name}");
        assert_eq!(Model::from_bytes(&blob).expect("a model").spec(), &spec, "{name}");
    }
}

#[test]
fn every_truncation_is_refused() {
    let blob = tiny::blob(&tiny::decoder(), 1);
    for len in 0..blob.len() {
        let cut = AlignedVec::from(&blob[..len]);
        assert!(
            matches!(
                read_and_run(&cut),
                Err(Error::Load(LoadError::BlobTooShort { .. } | LoadError::LengthMismatch { .. }))
            ),
            "{len} bytes"
        );
    }
    for more in [1, 16, 4096] {
        let longer = AlignedVec::from([&blob[..], &vec![0; more]].concat().as_slice());
        assert!(
            matches!(read_and_run(&longer), Err(Error::Load(LoadError::LengthMismatch { .. }))),
            "{more} bytes more"
        );
    }
}

#[test]
fn a_slot_longer_than_its_blob_is_read_and_its_beginning_tells_its_size() {
    for (name, spec) in tiny::specs() {
        let blob = tiny::blob(&spec, 1);
        for after in [0x00, 0xff] {
            let slot = AlignedVec::from([&blob[..], &[after; 333]].concat().as_slice());
            assert_eq!(Model::from_slot(&slot).expect("a model").spec(), &spec, "{name}");
        }
        assert_eq!(Model::from_slot(&blob).expect("a model").spec(), &spec, "{name}");
        let peeked = peek(&blob[..PRELUDE_LEN]).expect("it begins as a blob");
        assert_eq!(peeked.bytes, blob.len(), "{name}");
        assert_eq!(peeked.arena_bytes(3), arena_bytes(&blob, 3), "{name}");
        let short = AlignedVec::from(&blob[..blob.len() - 1]);
        let expected = LoadError::LengthMismatch { expected: blob.len(), given: blob.len() - 1 };
        assert_eq!(Model::from_slot(&short).err(), Some(expected), "{name}");
        assert!(matches!(peek(&blob[..PRELUDE_LEN - 1]), Err(LoadError::BlobTooShort { .. })), "{name}");
    }
    assert_eq!(Model::from_slot(&[0xff; 4096]).err(), Some(LoadError::BadMagic), "erased flash");
}

#[test]
fn the_checksum_is_the_one_of_ethernet() {
    assert_eq!(checksum(b"123456789"), 0xcbf4_3926);
    assert_eq!(checksum(b""), 0);
}

#[test]
fn every_flipped_bit_is_found_by_the_checksum() {
    let mut blob = tiny::blob(&tiny::encoder(), 1);
    for bit in 0..blob.len() * 8 {
        blob[bit / 8] ^= 1 << (bit % 8);
        assert!(read_and_run(&blob).is_err(), "bit {bit}");
        blob[bit / 8] ^= 1 << (bit % 8);
    }
}

#[test]
fn no_flipped_bit_panics_when_the_checksum_is_made_right_again() {
    for (name, spec) in tiny::specs() {
        let good = tiny::blob(&spec, 1);
        let mut blob = AlignedVec::from(&good[..]);
        let (mut refused, mut ran) = (0, 0);
        for bit in 0..(good.len() - CHECKSUM_LEN) * 8 {
            // Flips every bit of the prelude and the manifest, and every seventh bit of the
            // weights.
            if bit >= (PRELUDE_LEN + 256) * 8 && bit % 7 != 0 {
                continue;
            }
            blob[bit / 8] ^= 1 << (bit % 8);
            seal(&mut blob);
            match read_and_run(&blob) {
                Ok(()) => ran += 1,
                Err(_) => refused += 1,
            }
            blob[bit / 8] ^= 1 << (bit % 8);
        }
        assert!(refused > 400 && ran > 400, "{name}: {refused} refused, {ran} ran");
    }
}

#[test]
fn every_field_of_the_prelude_is_checked() {
    let good = tiny::blob(&tiny::decoder(), 1);
    let len = good.len() as u32;
    for field in (0..PRELUDE_LEN).step_by(4) {
        let old = u32::from_le_bytes(good[field..field + 4].try_into().expect("four bytes"));
        let values = [0, 1, u32::MAX, 1 << 31, i32::MAX as u32, len, len - 1, len + 1, old ^ 1, old.wrapping_add(16)];
        for value in values.into_iter().filter(|value| *value != old) {
            let mut blob = AlignedVec::from(&good[..]);
            blob[field..field + 4].copy_from_slice(&value.to_le_bytes());
            seal(&mut blob);
            assert!(read_and_run(&blob).is_err(), "field at {field} set to {value}");
        }
    }
}

#[test]
fn each_reason_is_named() {
    let good = tiny::blob(&tiny::decoder(), 1);
    let forged = |change: &dyn Fn(&mut AlignedVec)| {
        let mut blob = AlignedVec::from(&good[..]);
        change(&mut blob);
        seal(&mut blob);
        read_and_run(&blob)
    };
    assert_eq!(forged(&|blob| blob[0] = b'k'), Err(LoadError::BadMagic.into()));
    assert_eq!(
        forged(&|blob| blob[4] = 9),
        Err(LoadError::UnsupportedVersion { found: 9, supported: FORMAT_VERSION }.into())
    );
    assert_eq!(forged(&|blob| blob[6] = 1), Err(LoadError::ReservedBits.into()));
    assert_eq!(forged(&|blob| blob[PRELUDE_LEN - 1] = 1), Err(LoadError::BadLayout("memory plan").into()));
    assert_eq!(forged(&|blob| blob[28] ^= 1), Err(LoadError::BadLayout("memory plan").into()));
    let mut stale = AlignedVec::from(&good[..]);
    stale[PRELUDE_LEN] ^= 1;
    assert!(matches!(read_and_run(&stale), Err(Error::Load(LoadError::BadChecksum { .. }))));
    // The first byte of the manifest is the number of fraction bits.
    assert_eq!(forged(&|blob| blob[PRELUDE_LEN] = 99), Err(LoadError::InvalidSpec("fraction_bits").into()));
    // The first varint of two bytes: fraction_bits, three enums of one byte, then the tile.
    assert_eq!(forged(&|blob| blob[PRELUDE_LEN + 1] = 7), Err(LoadError::BadManifest.into()));
}

#[test]
fn a_relative_index_names_vectors_that_there_are() {
    const DISTANCE: u32 = 3;
    let mut spec = tiny::encoder();
    spec.encoder.as_mut().expect("an encoder").block.attention.position = AttentionPosition::Disentangled {
        distance: DISTANCE,
        positions: 7,
        content_to_position: true,
        position_to_content: true,
    };
    let role = Role::Stack(Stack::Encoder, StackPart::RelativeIndex);
    let before = roles(&spec).take_while(|(other, _)| *other != role);
    let offset = before.map(|(_, shape)| shape.bytes()).sum::<u64>() as usize;
    let good = tiny::blob(&spec, 1);
    let manifest_len = u32::from_le_bytes(good[12..16].try_into().expect("four bytes")) as usize;
    let index = (PRELUDE_LEN + manifest_len).next_multiple_of(16) + offset;
    for (vector, refused) in [(0, false), (6, false), (7, true), (i16::MAX, true), (-1, true), (i16::MIN, true)] {
        let mut blob = AlignedVec::from(&good[..]);
        blob[index..index + 2 * (2 * DISTANCE as usize + 1)].fill(0);
        blob[index + 4..index + 6].copy_from_slice(&vector.to_le_bytes());
        seal(&mut blob);
        let expected = if refused { Err(LoadError::InvalidTensor { offset }.into()) } else { Ok(()) };
        assert_eq!(read_and_run(&blob), expected, "vector {vector}");
    }
}

#[test]
fn a_manifest_has_one_way_to_be_written() {
    let good = tiny::blob(&tiny::decoder(), 1);
    let word = |at: usize| u32::from_le_bytes(good[at..at + 4].try_into().expect("four bytes"));
    let manifest_len = word(12) as usize;
    let (manifest, rest) = good[PRELUDE_LEN..].split_at(manifest_len);
    let body =
        &rest[(PRELUDE_LEN + manifest_len).wrapping_neg() % 16..good.len() - PRELUDE_LEN - manifest_len - CHECKSUM_LEN];
    let rebuilt = |manifest: &[u8]| {
        let mut blob = [&good[..PRELUDE_LEN], manifest].concat();
        blob.resize(blob.len().next_multiple_of(16), 0);
        blob.extend_from_slice(body);
        let total = (blob.len() + CHECKSUM_LEN) as u32;
        blob[8..12].copy_from_slice(&total.to_le_bytes());
        blob[12..16].copy_from_slice(&(manifest.len() as u32).to_le_bytes());
        blob.extend_from_slice(&[0; CHECKSUM_LEN]);
        seal(&mut blob);
        read_and_run(&AlignedVec::from(blob.as_slice()))
    };
    assert_eq!(rebuilt(manifest), Ok(()));
    // A trailing byte, and a tile of one encoded in two bytes: postcard alone would accept both.
    assert_eq!(rebuilt(&[manifest, &[0]].concat()), Err(LoadError::NonCanonicalManifest.into()));
    // The tile follows the widths of all parts.
    let widths = postcard::to_allocvec(&tiny::decoder().numerics.packed).expect("it is encoded");
    let at = 4 + widths.len();
    assert_eq!(manifest[at], 1);
    assert_eq!(
        rebuilt(&[&manifest[..at], &[0x81, 0x00], &manifest[at + 1..]].concat()),
        Err(LoadError::NonCanonicalManifest.into())
    );
    assert_eq!(rebuilt(&manifest[..manifest.len() - 1]), Err(LoadError::BadManifest.into()));
}

#[test]
fn a_blob_off_its_boundary_is_refused() {
    let blob = tiny::blob(&tiny::decoder(), 1);
    for off in 1..16 {
        let mut shifted = AlignedVec::zeroed(blob.len() + off);
        shifted[off..].copy_from_slice(&blob);
        let error = read_and_run(&shifted[off..]).expect_err("it cannot be read there");
        assert_eq!(error, LoadError::Misaligned { alignment: 16, beyond: off }.into());
        let said = error.to_string();
        assert!(said.contains(&format!("{off} bytes beyond a 16-byte boundary")), "{said}");
        assert!(said.contains("include_model!") && said.contains("slot in flash"), "{said}");
    }
}

#[test]
fn what_is_no_blob_needs_more_memory_than_there_is() {
    let good = tiny::blob(&tiny::decoder(), 1);
    let changed = |at: usize| {
        let mut bytes = good.to_vec();
        bytes[at] ^= 1;
        bytes
    };
    for bytes in [&[][..], &[0; 128], &[0xff; 128], &good[..PRELUDE_LEN - 1], &changed(0), &changed(4), b"KNGL"] {
        for tokens in [0, 1, 128, usize::MAX] {
            assert_eq!(arena_bytes(bytes, tokens), usize::MAX);
            assert_eq!(arena_bytes_seq2seq(bytes, tokens, 1), usize::MAX);
            assert_eq!(arena_bytes_beams(bytes, 1, tokens, tokens), usize::MAX);
        }
    }
}

#[test]
fn memory_that_overflows_stays_too_much() {
    // The largest coefficients, the longest texts, the most beams, alone and together.
    let mut largest = tiny::blob(&tiny::decoder(), 1);
    largest[28..64].fill(0xff);
    let lengths = [0, 1, 15, 16, 1 << 20, u32::MAX as usize, usize::MAX - 15, usize::MAX];
    for (name, spec) in tiny::specs().into_iter().chain([("largest", tiny::decoder())]) {
        let blob = if name == "largest" { AlignedVec::from(&largest[..]) } else { tiny::blob(&spec, 1) };
        let mut before = [0; 3];
        for length in lengths {
            let now = [
                arena_bytes(&blob, length),
                arena_bytes_seq2seq(&blob, length, length),
                arena_bytes_beams(&blob, length, length, length),
            ];
            assert!(now.iter().zip(before).all(|(now, before)| *now >= before), "{name}: {now:?} after {before:?}");
            before = now;
        }
        assert_eq!(before, [usize::MAX; 3], "{name}");
        for (tokens, source, tile) in [(usize::MAX, 0, 1), (0, usize::MAX, usize::MAX), (usize::MAX, usize::MAX, 0)] {
            match MemoryPlan::new(&spec, tokens, source, tile) {
                // A stack that the model lacks needs no memory for any number of tokens.
                Ok(plan) => {
                    let [most, more] = [plan, plan.with_beams(usize::MAX)].map(|plan| plan.bytes());
                    assert!(most <= more && plan.cache_bytes(&spec) <= more, "{name}: {most} and {more}");
                    let model = Model::from_bytes(&blob);
                    let mut arena = AlignedVec::zeroed(1 << 16);
                    _ = model.map(|model| Session::with_plan(&model, &mut arena, plan).map(|_| ()));
                }
                Err(error) => assert!(matches!(error, RunError::TooManyTokens { given: usize::MAX, .. }), "{name}"),
            }
        }
    }
}

#[test]
fn an_arena_too_small_says_by_how_much() {
    for (name, spec) in tiny::specs() {
        let blob = tiny::blob(&spec, 1);
        let model = Model::from_bytes(&blob).expect("a model");
        let needed = arena_bytes(&blob, 20);
        assert_eq!(needed as u64, MemoryPlan::standard(&spec, 20).expect("a plan").bytes(), "{name}");
        let mut arena = AlignedVec::zeroed(needed);
        assert!(Session::new(&model, &mut arena, 20).is_ok(), "{name}");
        let error = Session::new(&model, &mut arena[..needed - 1], 20).err();
        assert_eq!(error, Some(RunError::ArenaTooSmall { needed, given: needed - 1 }), "{name}");
        assert!(error.is_some_and(|error| error.to_string().contains("1 bytes too small")), "{name}");
        let mut shifted = AlignedVec::zeroed(needed + 1);
        assert_eq!(Session::new(&model, &mut shifted[1..], 20).err(), Some(RunError::ArenaMisaligned), "{name}");
        assert_eq!(
            Session::new(&model, &mut arena, 41).err(),
            Some(RunError::TooManyTokens { limit: 40, given: 41 }),
            "{name}"
        );
    }
}

#[test]
fn wrong_calls_are_errors_that_name_what_is_wrong() {
    let blob = tiny::blob(&tiny::encoder(), 1);
    let model = Model::from_bytes(&blob).expect("a model");
    let mut arena = AlignedVec::zeroed(arena_bytes(&blob, 8));
    let mut session = Session::new(&model, &mut arena, 8).expect("a session");
    assert_eq!(session.logits().err(), Some(RunError::NoTokens));
    assert_eq!(session.encode(&[], &[]), Err(RunError::NoTokens));
    assert_eq!(session.encode(&[1; 9], &[]), Err(RunError::TooManyTokens { limit: 8, given: 9 }));
    assert_eq!(session.encode(&[u32::MAX], &[]), Err(RunError::TokenOutOfRange { token: u32::MAX, vocab_size: 23 }));
    assert_eq!(session.encode(&[1], &[2]), Err(RunError::TokenTypeOutOfRange { token_type: 2, token_types: 2 }));
    assert_eq!(session.prefill(&[1]), Err(RunError::NoDecoder));
    assert_eq!(session.encode(&[1, 2], &[0, 1]), Ok(()));
    assert_eq!(session.logits_at(2).err(), Some(RunError::TooManyTokens { limit: 2, given: 3 }));
    assert_eq!(session.logits_at(usize::MAX).err(), Some(RunError::TooManyTokens { limit: 2, given: usize::MAX }));
}

#[test]
fn a_search_that_no_memory_holds_is_an_error() {
    for (num_beams, max_new_tokens) in [(2, usize::MAX), (8, usize::MAX / 8 + 1), (3, usize::MAX / 2)] {
        let given = BeamSearch::new(BeamOptions::new(num_beams), max_new_tokens, 0, &mut []).err();
        let needed = usize::MAX;
        assert_eq!(given, Some(RunError::BufferTooSmall { buffer: Buffer::Beams, needed, given: 0 }), "{num_beams}");
    }
    let error = BeamSearch::new(BeamOptions::new(8), 1, usize::MAX, &mut [0; 8]).err();
    assert!(matches!(error, Some(RunError::InvalidOption { option: "stop", .. })), "{error:?}");
}

#[test]
fn a_set_of_packed_blocks_names_what_is_there_and_can_be_packed() {
    let good = tiny::packed_decoder();
    assert_eq!(good.check(), Ok(()));
    type Fault = fn(&mut PackedSpec);
    let faults: [(&str, Fault); 10] = [
        ("packed weights of a part", |packed| packed.decoder.down = Blocks(0b100)),
        ("packed weights of a part", |packed| packed.decoder.cross_key = Blocks(1)),
        ("packed weights of a part", |packed| packed.decoder.narrow = Blocks(1)),
        ("packed weights of a missing stack", |packed| packed.encoder.query = Blocks(1)),
        ("packed weights outside the blocks", |packed| packed.head_output = true),
        ("packed weights outside the blocks", |packed| packed.decoder.convolution = true),
        ("packed weights outside the blocks", |packed| packed.decoder.token_types = true),
        ("columns of a group", |packed| packed.group = 48),
        ("packed weights without groups", |packed| packed.group = 0),
        ("groups without packed weights", |packed| *packed = PackedSpec { group: 32, ..PackedSpec::NONE }),
    ];
    for (wanted, forge) in faults {
        let mut spec = good;
        forge(&mut spec.numerics.packed);
        assert_eq!(spec.check(), Err(LoadError::InvalidSpec(wanted)));
    }
    let mut ragged = good;
    ragged.decoder.as_mut().expect("a decoder").block.feed_forward.intermediate_size = 20;
    assert_eq!(ragged.check(), Err(LoadError::InvalidSpec("packed weights of a part")), "20 columns of `down`");
    let mut forged = good;
    forged.numerics.weights = WeightLayout::Packed { group: 32 };
    assert_eq!(forged.check(), Err(LoadError::InvalidSpec("the layout of 8-bit weights")));
}

#[test]
fn tensors_follow_each_other_whatever_is_packed() {
    for (name, spec) in tiny::specs() {
        let blob = tiny::blob(&spec, 1);
        let model = Model::from_bytes(&blob).expect("a model");
        let mut end = 0;
        for (role, shape) in roles(&spec) {
            assert_eq!(model.tensor_offset(role), end, "{name}: {role:?}");
            end += shape.bytes() as usize;
        }
        assert_eq!(end, model.payload().len(), "{name}");
    }
}

#[test]
fn short_convolutions_replace_attention_in_layers_of_their_own() {
    let good = tiny::convolving_decoder();
    assert_eq!(good.check(), Ok(()));
    type Fault = fn(&mut StackSpec, &mut ShortConvolutionSpec);
    let faults: [(&str, Fault); 6] = [
        ("kernel_size", |_, short| short.kernel_size = 0),
        ("kernel_size", |_, short| short.kernel_size = 16),
        ("layers of a short convolution", |_, short| short.layers = 0),
        ("layers of a short convolution", |_, short| short.layers = 0b1101),
        ("layers of a short convolution", |stack, _| {
            (stack.block.attention.window, stack.block.attention.sliding_layers) = (5, 0b110);
        }),
        ("a short convolution in blocks that layers share", |stack, _| stack.num_hidden_groups = 1),
    ];
    for (wanted, forge) in faults {
        let mut spec = good;
        let stack = spec.decoder.as_mut().expect("a decoder");
        let Convolution::Short(mut short) = stack.convolution else { panic!("{:?}", stack.convolution) };
        forge(stack, &mut short);
        stack.convolution = Convolution::Short(short);
        assert_eq!(spec.check(), Err(LoadError::InvalidSpec(wanted)));
    }
    let mut encoder = tiny::encoder();
    encoder.encoder.as_mut().expect("an encoder").convolution = good.decoder.expect("a decoder").convolution;
    assert_eq!(encoder.check(), Err(LoadError::InvalidSpec("kernel_size")));
}

#[test]
fn short_convolutions_rewind_to_the_beginning_only() {
    let blob = tiny::blob(&tiny::convolving_decoder(), 1);
    let model = Model::from_bytes(&blob).expect("a model");
    let mut arena = AlignedVec::zeroed(arena_bytes(&blob, 8));
    let mut session = Session::new(&model, &mut arena, 8).expect("a session");
    session.prefill(&[1, 2, 3]).expect("it reads");
    let first = session.logits().expect("logits").to_vec();
    assert_eq!(session.rewind(3), Ok(()), "nothing is forgotten");
    for position in [1, 2] {
        assert_eq!(session.rewind(position), Err(RunError::CannotRewind));
    }
    session.rewind(0).expect("it forgets all");
    session.prefill(&[1, 2, 3]).expect("it reads");
    assert_eq!(session.logits().expect("logits"), first);
}
