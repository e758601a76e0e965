//! Tests of number formats on golden checkpoints with scaled weights. Each scaling is either undone
//! later in the model, so that the results of `transformers` remain valid, or compared with the
//! `f32` reference.

use core::error::Error;

use kinglet::Model;
use kinglet::format::layout::{BlockPart as P, HeadPart, Role, Stack, StackPart as S, roles};
use kinglet::format::spec::{ActivationWidth, KeyWidth, OutputProjection, Residual};
use kinglet_convert::balance::architecture;
use kinglet_convert::biases::simplify;
use kinglet_convert::centre::centre;
use kinglet_convert::convert::convert;
use kinglet_convert::fidelity::{Fidelity, compare, cosine};
use kinglet_convert::fixed::{multiplier, real};
use kinglet_convert::numbers::{Numbers, choose};
use kinglet_convert::opened::Source;
use kinglet_convert::quantize::round_trip;
use kinglet_convert::reference::Reference;
use kinglet_convert::texts::Input;
use kinglet_tests::{Expected, Golden, golden_cases};

/// The minimum cosine of the integers to the reference, as in `golden.rs`.
const LEAST_COSINE: f64 = 0.999;

fn inputs(case: &Golden) -> Vec<Input> {
    case.inputs.iter().map(input).collect()
}

fn input(expected: &Expected) -> Input {
    Input {
        ids: expected.ids.clone(),
        token_types: expected.token_types.iter().map(|&token_type| token_type as u8).collect(),
        decoder_ids: expected.decoder_ids.clone(),
    }
}

/// A source prepared for integers, its number formats, and their accuracy.
struct Converted {
    prepared: Source,
    numbers: Numbers,
    found: Fidelity,
}

/// Converts a source as the command line does, and compares the blob with the original source.
fn converted(source: &Source, inputs: &[Input], keys: Option<KeyWidth>) -> Result<Converted, Box<dyn Error>> {
    let mut prepared = source.clone();
    let (numbers, _) = choose(&mut prepared, inputs, keys, false, &|| ())?;
    let blob = convert(&prepared, &[], None, &|| ())?.blob;
    let model = Model::from_bytes(&blob)?;
    let mut wanted = *source.spec();
    wanted.numerics.keys = prepared.spec().numerics.keys;
    assert_eq!(architecture(model.spec()), architecture(&wanted));
    let found = compare(source, &model, inputs, 4, &|| ())?;
    Ok(Converted { prepared, numbers, found })
}

/// The cosine of the reference with 8-bit weights to the reference; no choice of a binary point can
/// improve on this.
fn with_rounded_weights(source: &Source, inputs: &[Input]) -> f64 {
    let rounded = round_trip(source.spec(), &source.weights).expect("they fit");
    let mut references = [&source.weights, &rounded].map(|weights| Reference::new(source.spec(), weights));
    let mut both = [Vec::new(), Vec::new()];
    for input in inputs {
        for (all, reference) in both.iter_mut().zip(&mut references) {
            all.extend(reference.answer(input).expect("it runs").values.iter().map(|&x| f64::from(x)));
        }
    }
    cosine(&both[0], &both[1])
}

/// Multiplies the weights and biases of each tensor by the power of two that `power` returns.
fn scale(source: &mut Source, power: impl Fn(Role) -> i32) {
    let spec = *source.spec();
    for (role, _) in roles(&spec) {
        let factor = 2f32.powi(power(role));
        let tensor = source.weights.get_mut(role).expect("every role is there");
        tensor.weight.iter_mut().chain(&mut tensor.bias).for_each(|x| *x *= factor);
    }
}

/// Enlarges everything that is added to the residual stream.
fn scale_stream(source: &mut Source, power: i32) {
    let spec = &mut source.mapping.spec;
    for stack in [&mut spec.encoder, &mut spec.decoder].into_iter().flatten() {
        let scale = stack.embedding.scale.factor().map_or(1.0, real) * f64::from(power).exp2();
        stack.embedding.scale = stack.embedding.scale.with_factor(multiplier(scale).expect("a factor"));
    }
    scale(source, |role| match role {
        Role::Stack(_, S::PositionEmbedding | S::TokenTypeEmbedding) => power,
        Role::Block(_, _, P::Output | P::CrossOutput | P::Down | P::Down1 | P::Down2 | P::Down3 | P::Widen) => power,
        _ => 0,
    });
}

/// Enlarges the values between the projections of a feed-forward network.
fn scale_inner(source: &mut Source, power: i32) {
    scale(source, |role| match role {
        Role::Block(_, _, P::Up | P::Up1 | P::Up2 | P::Up3) => power,
        Role::Block(_, _, P::Down | P::Down1 | P::Down2 | P::Down3) => -power,
        _ => 0,
    });
}

fn scale_values(source: &mut Source, power: i32) {
    scale(source, |role| match role {
        Role::Block(_, _, P::Value | P::CrossValue | P::SpanValue) => power,
        Role::Block(_, _, P::Output | P::CrossOutput) => -power,
        _ => 0,
    });
}

/// Enlarges queries, and shrinks keys.
fn scale_queries(source: &mut Source, power: i32) {
    scale(source, |role| match role {
        Role::Block(_, _, P::Query | P::CrossQuery | P::PositionQuery | P::QueryNorm) => power,
        Role::Block(_, _, P::Key | P::CrossKey | P::PositionKey | P::KeyNorm | P::SpanKey) => -power,
        _ => 0,
    });
}

/// Enlarges the outputs of the norms before attention in pre-norm models; the first norm may be
/// skipped.
fn scale_normed(source: &mut Source, power: i32) {
    let spec = *source.spec();
    let pre = |id| spec.stack(id).is_some_and(|stack| stack.block.residual != Residual::PostNorm);
    scale(source, |role| match role {
        Role::Block(id, block, _) if !pre(id) || block == 0 => 0,
        Role::Block(_, _, P::AttentionNorm) => power,
        Role::Block(_, _, P::Query | P::Key | P::Value) => -power,
        _ => 0,
    });
}

/// Enlarges the results, if the last matrix belongs to the head.
fn scale_results(source: &mut Source, power: i32) {
    if source.spec().head.output == OutputProjection::Own {
        scale(source, |role| if role == Role::Head(HeadPart::Output) { power } else { 0 });
    } else {
        let last = if source.spec().decoder.is_some() { Stack::Decoder } else { Stack::Encoder };
        scale(source, |role| if role == Role::Stack(last, S::FinalNorm) { power } else { 0 });
    }
}

/// A function that multiplies a part of a model by a power of two.
type Scaling = fn(&mut Source, i32);

/// The parts that are scaled.
const SCALINGS: [(&str, Scaling); 6] = [
    ("stream", scale_stream),
    ("inner", scale_inner),
    ("values", scale_values),
    ("queries", scale_queries),
    ("normed", scale_normed),
    ("results", scale_results),
];

/// If int8 weights alone change a model much, that is the measure. Numbers that no binary point can
/// represent are reported by name.
#[test]
fn numbers_of_any_size_are_near_the_reference_or_what_is_lost_has_a_name() {
    let (mut far, mut near, mut named) = (Vec::new(), 0, 0);
    for case in golden_cases() {
        let source = case.open();
        let inputs = inputs(&case);
        for (name, scaling) in SCALINGS {
            for power in [-12, 6, 13, 21] {
                let mut scaled = source.clone();
                scaling(&mut scaled, power);
                let Converted { prepared, numbers, found } = match converted(&scaled, &inputs, Some(KeyWidth::K16)) {
                    Ok(converted) => converted,
                    Err(error) => {
                        let said = error.to_string();
                        let known = ["fit no binary point", "beyond all bounds"];
                        assert!(known.iter().any(|known| said.contains(known)), "{said}");
                        assert_eq!(said.lines().count(), 2, "{said}");
                        named += 1;
                        continue;
                    }
                };
                if found.cosine() >= LEAST_COSINE
                    || found.cosine_all >= with_rounded_weights(&prepared, &inputs) - 0.0025
                {
                    near += 1;
                } else if !numbers.balance.limits.is_empty() {
                    named += 1;
                } else {
                    far.push(format!("{} with {name} times 2^{power}: {found}\n{}", case.name, numbers.balance));
                }
            }
        }
    }
    assert!(far.is_empty(), "{} beside {near}: {}", far.len(), far.join("\n"));
    assert!(near > 20 * named, "{near} are near, and {named} are beyond what can be held");
}

#[test]
fn checkpoints_of_usual_sizes_keep_the_usual_binary_point() {
    let mut far = Vec::new();
    for case in golden_cases() {
        let source = case.open();
        let Converted { numbers, .. } = converted(&source, &inputs(&case), None).expect("it converts");
        assert_eq!(numbers.keys.map(|keys| keys.bits), Some(8), "{}", case.name);
        if numbers.balance.fraction_bits != 16 || !numbers.balance.scaled.is_empty() {
            far.push(format!("{}: {}", case.name, numbers.balance));
        }
    }
    assert!(far.is_empty(), "{}", far.join("\n"));
}

/// Replaces the biases of some parts of a model's blocks.
fn set_biases(source: &mut Source, parts: &[P], bias: impl Fn(usize) -> f32) {
    let spec = *source.spec();
    for (role, _) in roles(&spec) {
        if matches!(role, Role::Block(_, _, part) if parts.contains(&part)) {
            let biases = &mut source.weights.get_mut(role).expect("every role is there").bias;
            biases.iter_mut().enumerate().for_each(|(at, x)| *x = bias(at));
        }
    }
}

/// The largest magnitude of the biases of some parts of a model's blocks.
fn largest_bias(source: &Source, parts: &[P]) -> f32 {
    let of = |role: Role| matches!(role, Role::Block(_, _, part) if parts.contains(&part));
    let biases = source.weights.iter().filter(|(role, _)| of(*role)).flat_map(|(_, tensor)| &tensor.bias);
    biases.fold(0.0, |most, x| most.max(x.abs()))
}

#[test]
fn biases_that_a_softmax_does_not_see_are_gone_and_nothing_else_changes() {
    let (mut dropped, mut folded, mut kept) = (Vec::new(), 0, Vec::new());
    for case in golden_cases() {
        let mut source = case.open();
        if largest_bias(&source, &[P::Key]) == 0.0 {
            continue;
        }
        let parts = [P::Key, P::Value, P::CrossKey, P::CrossValue];
        set_biases(&mut source, &parts, |at| 5.0 * (1.7 * at as f32).sin());
        let mut simple = source.clone();
        simplify(&mut simple);
        let mut references = [&source, &simple].map(|source| Reference::new(source.spec(), &source.weights));
        for input in inputs(&case) {
            let [exact, found] = references.each_mut().map(|reference| reference.answer(&input).expect("it runs"));
            let most = exact.values.iter().fold(0.0, |most: f32, x| most.max(x.abs()));
            let off = exact.values.iter().zip(&found.values).fold(0.0, |most: f32, (x, y)| most.max((x - y).abs()));
            assert!(off <= 1e-3 * most, "{}: off by {off} of {most}", case.name);
        }
        let keys = largest_bias(&simple, &[P::Key, P::CrossKey]);
        if keys == 0.0 { &mut dropped } else { &mut kept }.push(case.name.clone());
        if largest_bias(&simple, &[P::Value, P::CrossValue]) == 0.0 {
            folded += 1;
        }
    }
    for name in ["bert", "roberta_masked", "gpt2", "bart", "mpnet", "xlm_causal", "opt"] {
        assert!(dropped.iter().any(|dropped| dropped == name), "the key biases of {name} are still there");
    }
    for name in ["qwen2", "deberta_v2", "qwen3_biases"] {
        assert!(kept.iter().any(|kept| kept == name), "the key biases of {name} matter");
    }
    assert!(folded > 30, "only {folded} have no biases on their values");
}

#[test]
fn keys_are_as_wide_as_their_biases_need() {
    for (name, bits) in [("bert", 8), ("gpt2", 8), ("bart", 8), ("qwen2", 16), ("qwen2_windows", 16)] {
        let case = golden_cases().into_iter().find(|case| case.name == name).expect("the case is there");
        let mut source = case.open();
        let stack = *source.spec().last_stack().expect("a stack");
        let head_dim = usize::from(stack.block.attention.head_dim);
        // The last rotary pair of a head rotates slowest; trained models have their largest biases
        // there.
        set_biases(&mut source, &[P::Key, P::CrossKey], |at| {
            if at % (head_dim / 2) + 1 == head_dim / 2 { 70.0 } else { 0.0 }
        });
        let Converted { numbers, found, .. } = converted(&source, &inputs(&case), None).expect("it converts");
        let keys = numbers.keys.expect("a choice");
        assert_eq!(keys.bits, bits, "{name}: {:?}", keys.at_eight_bits);
        assert!(found.cosine() >= 0.99, "{name}: {found}");
        // A second conversion makes the same choice.
        let again = converted(&source, &inputs(&case), None).expect("it converts");
        assert_eq!(again.numbers.keys, Some(keys), "{name}");
    }
}

#[test]
fn norms_are_moved_to_the_middle_for_eight_bits_and_nothing_else_changes() {
    let mut moved = Vec::new();
    for case in golden_cases() {
        let mut source = case.open();
        source.mapping.spec.numerics.activations = ActivationWidth::A8;
        let (mut centred, inputs) = (source.clone(), inputs(&case));
        centre(&mut centred, &inputs).expect("the reference reads its own texts");
        assert_eq!(centred.spec(), source.spec(), "{}", case.name);
        if centred.weights == source.weights {
            continue;
        }
        moved.push(source.mapping.model_type.clone());
        for input in &inputs {
            let [wanted, found] = [&source, &centred]
                .map(|source| Reference::new(source.spec(), &source.weights).answer(input).expect("it runs").values);
            let largest = wanted.iter().fold(0.0, |most: f32, x| most.max(x.abs()));
            for (wanted, found) in wanted.iter().zip(&found) {
                assert!((wanted - found).abs() < 1e-4 * largest.max(1.0), "{}: {found} for {wanted}", case.name);
            }
        }
        // What was moved is in the middle, and stays there.
        let mut again = centred.clone();
        centre(&mut again, &inputs).expect("the reference reads its own texts");
        let norm = Role::Block(Stack::Encoder, 0, P::AttentionNorm);
        if let Some((once, twice)) = centred.weights.get(norm).zip(again.weights.get(norm)) {
            let off = once.bias.iter().zip(&twice.bias).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
            assert!(off < 1e-4, "{} moved by {off} again", case.name);
        }
    }
    assert!(
        ["bert", "roberta", "distilbert", "mpnet"].iter().all(|family| moved.iter().any(|one| one == family)),
        "{moved:?}"
    );
}
