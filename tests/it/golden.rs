//! Compares `transformers`, the `f32` reference and the integer runtime on the golden checkpoints.

use kinglet::format::layout::{Role, Shape, roles};
use kinglet::format::spec::{ActivationWidth, KeyWidth, ModelSpec, Pooling, WeightLayout};
use kinglet::sample::Sampler;
use kinglet::task::{BeamOptions, EarlyStopping, GenerateOptions, generate};
use kinglet::{AlignedVec, MemoryPlan, Model, Session};
use kinglet_convert::convert::convert;
use kinglet_convert::family::Options;
use kinglet_convert::fidelity::{compare, cosine, run};
use kinglet_convert::opened::Source;
use kinglet_convert::quantize::round_trip;
use kinglet_convert::reference::Reference;
use kinglet_convert::texts::Input;
use kinglet_convert::widths::{Width, Widths};
use kinglet_tests::{Expected, golden_cases};

/// The maximum error of the reference against `transformers`, relative to the spread of the
/// results.
const REFERENCE_TOLERANCE: f32 = 1e-3;
/// The minimum cosine of the integers to the reference. Random weights are the hardest case.
const LEAST_COSINE: f64 = 0.999;
/// The minimum cosine over all results together, with four-bit weights on both sides.
const LEAST_COSINE_PACKED: f64 = 0.998;

fn input(expected: &Expected) -> Input {
    Input {
        ids: expected.ids.clone(),
        token_types: expected.token_types.iter().map(|&token_type| token_type as u8).collect(),
        decoder_ids: expected.decoder_ids.clone(),
    }
}

#[test]
fn the_reference_agrees_with_transformers() {
    for case in golden_cases() {
        let source = case.open();
        let mut reference = Reference::new(source.spec(), &source.weights);
        let expected = || case.inputs.iter().flat_map(|input| input.rows.iter().flatten());
        let spread =
            expected().fold(f32::MIN, |most, &x| most.max(x)) - expected().fold(f32::MAX, |least, &x| least.min(x));
        for input in &case.inputs {
            let found =
                reference.forward(&input.ids, &input.token_types, &input.decoder_ids).expect("the reference runs");
            assert_eq!(found.rows().len(), input.rows.len(), "{}: rows", case.name);
            for (found, expected) in found.rows().zip(&input.rows) {
                assert_eq!(found.len(), expected.len(), "{}: width", case.name);
                let off = found.iter().zip(expected).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
                assert!(
                    off <= REFERENCE_TOLERANCE * spread,
                    "{}: off by {off} of {spread} at {} tokens",
                    case.name,
                    input.ids.len()
                );
            }
        }
    }
}

#[test]
fn the_reference_writes_what_transformers_writes() {
    let mut written = 0;
    for case in golden_cases() {
        let source = case.open();
        let mut reference = Reference::new(source.spec(), &source.weights);
        for input in case.inputs.iter().filter(|input| !input.generated.is_empty()) {
            let begin = if source.spec().encoder.is_some() {
                reference.encode(&input.ids, &[]).expect("the source is encoded");
                &input.decoder_ids
            } else {
                &input.ids
            };
            let text =
                reference.generate(begin, &GenerateOptions::new(input.generated.len()), 1.0).expect("it writes").ids;
            assert_eq!(text, input.generated, "{} after {:?}", case.name, input.ids);
            written += 1;
        }
    }
    assert!(written >= 20, "only {written} texts were written");
}

#[test]
fn beam_search_finds_what_transformers_finds() {
    let mut found = 0;
    for case in golden_cases() {
        let source = case.open();
        let mut reference = Reference::new(source.spec(), &source.weights);
        for input in case.inputs.iter().filter(|input| !input.beams.is_empty()) {
            reference.encode(&input.ids, &[]).expect("the source is encoded");
            let eos = &source.mapping.special.eos;
            let options = GenerateOptions { stop: eos, ..GenerateOptions::new(12) };
            let beams = BeamOptions::new(input.beams.len());
            let texts = reference.beam_search(&input.decoder_ids, &options, beams).expect("it searches");
            assert_eq!(texts.len(), input.beams.len(), "{}", case.name);
            for (text, (ids, score)) in texts.iter().zip(&input.beams) {
                assert_eq!(&text.ids, ids, "{} after {:?}", case.name, input.ids);
                let off = (text.score.expect("a score") - score).abs();
                assert!(off < 1e-3, "{}: the score is off by {off}", case.name);
                found += 1;
            }
        }
    }
    assert!(found >= 60, "only {found} texts were found");
}

#[test]
fn what_may_be_written_is_what_transformers_allows() {
    let mut found = 0;
    for case in golden_cases() {
        let source = case.open();
        let mut reference = Reference::new(source.spec(), &source.weights);
        for input in &case.inputs {
            if source.spec().encoder.is_some() && !input.searches.is_empty() {
                reference.encode(&input.ids, &[]).expect("the source is encoded");
            }
            for search in &input.searches {
                let ids = |key: &str| -> Vec<u32> { serde_json::from_value(search[key].clone()).unwrap_or_default() };
                let number = |key: &str| search[key].as_u64().unwrap_or(0) as usize;
                let (stop, suppressed, first) =
                    (ids("eos_token_id"), ids("suppress_tokens"), ids("begin_suppress_tokens"));
                let options = GenerateOptions {
                    stop: &stop,
                    suppressed: &suppressed,
                    suppressed_first: &first,
                    min_new_tokens: number("min_new_tokens"),
                    no_repeat_ngram_size: number("no_repeat_ngram_size"),
                    ..GenerateOptions::new(number("max_new_tokens"))
                };
                let begin = if input.decoder_ids.is_empty() { &input.ids } else { &input.decoder_ids };
                let text = if number("num_beams") == 1 {
                    reference.generate(begin, &options, 1.0).expect("it writes").ids
                } else {
                    let beams = BeamOptions {
                        num_beams: number("num_beams"),
                        length_penalty: search["length_penalty"].as_f64().expect("a number") as f32,
                        early_stopping: match &search["early_stopping"] {
                            serde_json::Value::Bool(true) => EarlyStopping::Always,
                            serde_json::Value::Bool(false) => EarlyStopping::Heuristic,
                            _ => EarlyStopping::Never,
                        },
                        ..BeamOptions::new(1)
                    };
                    let texts = reference.beam_search(begin, &options, beams).expect("it searches");
                    texts.into_iter().next().expect("a text").ids
                };
                assert_eq!(text, ids("sequence"), "{} after {begin:?}: {search}", case.name);
                found += 1;
            }
        }
    }
    assert!(found >= 60, "only {found} texts were written");
}

#[test]
fn the_integers_are_near_the_reference() {
    let mut far = Vec::new();
    for case in golden_cases() {
        let (source, converted) = case.convert(&Options { keys: KeyWidth::K16, ..case.options() });
        let model = Model::from_bytes(&converted.blob).expect("the blob is valid");
        let inputs: Vec<Input> = case.inputs.iter().map(input).collect();
        let found = compare(&source, &model, &inputs, 4, &|| ()).expect("both run");
        // A cosine of one or two numbers says little, so such results are compared by value.
        if case.inputs[0].rows[0].len() > 2 {
            if found.cosine_mean < LEAST_COSINE {
                far.push(format!("{}: {found}", case.name));
            }
        } else {
            let mut reference = Reference::new(source.spec(), &source.weights);
            let (exact, integers) = rows_of_both(&model, &mut reference, &inputs);
            if cosine(&exact, &integers) < LEAST_COSINE {
                far.push(format!("{}: {exact:?} {integers:?}", case.name));
            }
        }
    }
    assert!(far.is_empty(), "{}", far.join("\n"));
}

#[test]
fn packed_weights_count_as_what_they_stand_for() {
    let (mut packed, mut divided) = (0, 0);
    for case in golden_cases() {
        let widths = Widths { weights: Width::Int4, tables: Width::Int4, ..Widths::default() };
        let mut source = case.open_with(&Options { keys: KeyWidth::K16, widths, ..case.options() });
        for every in [true, false] {
            if !every {
                divided += unpack_every_second_block(&mut source.mapping.spec);
            }
            let blob = convert(&source, &[], None, &|| ()).expect("it converts").blob;
            let model = Model::from_bytes(&blob).expect("the blob is valid");
            packed += roles(model.spec()).filter(|(_, shape)| shape.group_scales() > 0).count();
            // The reference uses the rounded weights, so only the error of the activations remains.
            let held = round_trip(source.spec(), &source.weights).expect("weights");
            let inputs: Vec<Input> = case.inputs.iter().map(input).collect();
            let mut reference = Reference::new(source.spec(), &held);
            let (exact, integers) = rows_of_both(&model, &mut reference, &inputs);
            let near = cosine(&exact, &integers);
            assert!(near >= LEAST_COSINE_PACKED, "{}: {near}", case.name);
        }
    }
    assert!(packed > 1500, "only {packed} matrices are packed");
    assert!(divided > 300, "only {divided} parts are packed in some blocks");
}

/// Gives eight bits to four-bit parts: in odd blocks to parts with an odd number, in even blocks to
/// the others. Returns the number of matrices that now have eight bits.
fn unpack_every_second_block(spec: &mut ModelSpec) -> usize {
    let packed: Vec<Role> = roles(spec).filter(|(_, shape)| shape.group_scales() > 0).map(|(role, _)| role).collect();
    let mut unpacked = 0;
    for role in packed {
        let Role::Block(_, block, part) = role else { continue };
        if (usize::from(block) + part as usize).is_multiple_of(2) {
            spec.numerics.packed.set(role, false);
            unpacked += 1;
        }
    }
    unpacked
}

#[test]
fn bytes_give_the_same_bits_however_they_lie() {
    let (mut paired, mut wide) = (0, 0);
    for case in golden_cases() {
        for activations in [ActivationWidth::A8, ActivationWidth::A16] {
            let layouts = [WeightLayout::RowMajor, WeightLayout::Tiled, WeightLayout::Paired, WeightLayout::WideTiled];
            let blobs = layouts.map(|weights| case.convert(&Options { activations, weights, ..case.options() }).1.blob);
            let [by_rows, tiles, pairs, wide_tiles] =
                [0, 1, 2, 3].map(|at| Model::from_bytes(&blobs[at]).expect("the blob is valid"));
            let count = |model: &Model<'_>, wanted: WeightLayout| {
                let is = |(_, shape): &(_, Shape)| matches!(shape, Shape::Matrix { layout, .. } if *layout == wanted);
                roles(model.spec()).filter(is).count()
            };
            paired += count(&pairs, WeightLayout::Paired);
            wide += count(&wide_tiles, WeightLayout::WideTiled);
            for input in case.inputs.iter().map(input) {
                let wanted = bits(&tiles, &input, 3);
                assert_eq!(bits(&by_rows, &input, 3), wanted, "{} in rows", case.name);
                assert_eq!(bits(&pairs, &input, 3), wanted, "{} in pairs", case.name);
                assert_eq!(bits(&wide_tiles, &input, 3), wanted, "{} in wide tiles", case.name);
            }
        }
    }
    assert!(paired > 1000, "only {paired} matrices are in pairs");
    assert!(wide > 200, "only {wide} matrices are in wide tiles");
}

/// The concatenated results of all inputs, of the runtime and of the reference.
fn rows_of_both(model: &Model<'_>, reference: &mut Reference<'_>, inputs: &[Input]) -> (Vec<f64>, Vec<f64>) {
    let (mut exact, mut integers) = (Vec::new(), Vec::new());
    for input in inputs {
        let types: Vec<u32> = input.token_types.iter().map(|&token_type| token_type.into()).collect();
        let rows = reference.forward(&input.ids, &types, &input.decoder_ids).expect("the reference runs");
        exact.extend(rows.values.iter().map(|&x| f64::from(x)));
        for row in bits(model, input, 1) {
            let row: Vec<f64> = row.iter().map(|&x| f64::from(x)).collect();
            // The reference normalizes vectors; in the runtime the task does it afterwards.
            let length = row.iter().map(|x| x * x).sum::<f64>().sqrt();
            let divisor = if model.spec().head.normalize { length } else { 1.0 };
            integers.extend(row.iter().map(|x| x / divisor));
        }
    }
    (exact, integers)
}

/// The runtime's results for an input with a tile size.
fn bits(model: &Model<'_>, input: &Input, tile: usize) -> Vec<Vec<i32>> {
    let plan = MemoryPlan::new(model.spec(), input.ids.len().max(input.decoder_ids.len()), input.ids.len(), tile)
        .expect("a plan");
    // The initial contents of the arena must not matter.
    let mut arena = AlignedVec::zeroed(plan.bytes() as usize);
    arena.fill(0xaa);
    let mut session = Session::with_plan(model, &mut arena, plan).expect("a session");
    run(&mut session, &input.ids, &input.token_types, &input.decoder_ids).expect("the runtime runs")
}

#[test]
fn every_tiling_gives_the_same_bits() {
    for case in golden_cases() {
        for (activations, keys) in [(ActivationWidth::A8, KeyWidth::K8), (ActivationWidth::A16, KeyWidth::K16)] {
            let (_, converted) = case.convert(&Options { activations, keys, ..case.options() });
            let model = Model::from_bytes(&converted.blob).expect("the blob is valid");
            for input in case.inputs.iter().map(input) {
                let stepping = bits(&model, &input, 1);
                for tile in [2, 3, 7, 64] {
                    assert_eq!(bits(&model, &input, tile), stepping, "{} in tiles of {tile}", case.name);
                }
            }
        }
    }
}

#[test]
fn the_scalar_kernels_give_the_bits_of_the_fastest() {
    for case in golden_cases() {
        let (_, converted) = case.convert(&case.options());
        let model = Model::from_bytes(&converted.blob).expect("the blob is valid");
        let input = input(case.inputs.last().expect("an input"));
        let longest = input.ids.len().max(input.decoder_ids.len());
        let plan = MemoryPlan::new(model.spec(), longest, input.ids.len(), 5).expect("a plan");
        let mut arena = AlignedVec::zeroed(plan.bytes() as usize);
        let mut session = Session::with_plan(&model, &mut arena, plan).expect("a session");
        assert!(session.set_kernels("none such").is_err());
        session.set_kernels("scalar").expect("they are always there");
        let scalar = run(&mut session, &input.ids, &input.token_types, &input.decoder_ids).expect("the runtime runs");
        assert_eq!(scalar, bits(&model, &input, 5), "{}", case.name);
    }
}

#[test]
fn a_decoder_writes_the_same_text_from_any_prefix_of_it() {
    for case in golden_cases() {
        let (_, converted) = case.convert(&case.options());
        let model = Model::from_bytes(&converted.blob).expect("the blob is valid");
        let spec = model.spec();
        if spec.encoder.is_some() || spec.head.pooling != Pooling::None {
            continue;
        }
        let plan = MemoryPlan::new(spec, 24, 0, 5).expect("a plan");
        let mut arena = AlignedVec::zeroed(plan.bytes() as usize);
        let mut session = Session::with_plan(&model, &mut arena, plan).expect("a session");
        let mut write = |begin: &[u32]| {
            let mut text = heapless::Vec::<u32, 24>::from_slice(begin).expect("room");
            let options = GenerateOptions::new(20 - begin.len());
            generate(&mut session, &mut text, &options, &mut Sampler::greedy(), |_| true).expect("it writes");
            text
        };
        let text = write(&case.inputs[1].ids);
        assert_eq!(text.len(), 20, "{}", case.name);
        for cut in [3, 9, 17] {
            assert_eq!(write(&text[..cut]), text, "{} from {cut} tokens", case.name);
        }
    }
}

#[test]
fn every_blob_passes_its_own_golden_vectors() {
    for case in golden_cases() {
        let (_, converted) = case.convert(&case.options());
        let model = Model::from_bytes(&converted.blob).expect("the blob is valid");
        let plan = MemoryPlan::standard(model.spec(), 12).expect("a plan");
        let mut arena = AlignedVec::zeroed(plan.bytes() as usize);
        assert_eq!(model.self_test(&mut arena), Ok(()), "{}", case.name);
    }
}

/// Checkpoints of families that are not mapped yet are refused by name, and not mistaken for
/// another family.
#[test]
fn a_family_that_is_not_mapped_is_refused_by_name() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("golden/unmapped");
    let mut refused = 0;
    for entry in std::fs::read_dir(folder).expect("the folder") {
        let case = entry.expect("an entry").path();
        let config = std::fs::read_to_string(case.join("config.json")).expect("config.json");
        let config: serde_json::Value = serde_json::from_str(&config).expect("JSON");
        let model_type = config["model_type"].as_str().expect("a model_type");
        let error = Source::open(&case, &Options::default())
            .err()
            .unwrap_or_else(|| panic!("{model_type} is mapped: move its cases up"));
        assert!(error.to_string().contains(&format!("\"{model_type}\"")), "{error}");
        refused += 1;
    }
    assert!(refused >= 2, "only {refused} cases");
}
