use kinglet::format::layout::{BlockPart, HeadPart};

use super::*;
use crate::family::{self, Options};
use crate::testing::{Stored, checkpoint, tiny_llama};

/// The names and shapes of the tiny Llama's tensors.
fn llama_tensors() -> Vec<(String, Vec<usize>)> {
    let mut all =
        vec![("model.embed_tokens.weight".to_owned(), vec![11, 8]), ("model.norm.weight".to_owned(), vec![8])];
    for layer in 0..2 {
        let parts: [(&str, &[usize]); 9] = [
            ("input_layernorm", &[8]),
            ("post_attention_layernorm", &[8]),
            ("self_attn.q_proj", &[8, 8]),
            ("self_attn.k_proj", &[4, 8]),
            ("self_attn.v_proj", &[4, 8]),
            ("self_attn.o_proj", &[8, 8]),
            ("mlp.gate_proj", &[12, 8]),
            ("mlp.up_proj", &[12, 8]),
            ("mlp.down_proj", &[8, 12]),
        ];
        all.extend(parts.map(|(name, shape)| (format!("model.layers.{layer}.{name}.weight"), shape.to_vec())));
    }
    all
}

fn filled(shapes: &[(String, Vec<usize>)]) -> Vec<Stored<'_>> {
    let values = |shape: &[usize]| (0..shape.iter().product()).map(|i| i as f32).collect();
    shapes.iter().map(|(name, shape)| (name.as_str(), shape.clone(), values(shape))).collect()
}

fn read(shapes: &[(String, Vec<usize>)]) -> Result<(ModelSpec, Weights)> {
    let dir = checkpoint(&tiny_llama(), &filled(shapes));
    let opened = Checkpoint::open(dir.path())?;
    let mapping = family::map(&opened, &Options::default())?;
    Ok((mapping.spec, Weights::read(&opened, &mapping)?))
}

#[test]
fn every_role_is_filled_with_or_without_the_prefix() {
    let shapes = llama_tensors();
    let (spec, weights) = read(&shapes).unwrap();
    assert_eq!(weights.iter().count(), roles(&spec).count());
    let key = weights.get(Role::Block(Stack::Decoder, 1, BlockPart::Key)).unwrap();
    assert_eq!(key.weight, (0..32).map(|i| i as f32).collect::<Vec<_>>());
    assert!(key.bias.is_empty());
    let bare: Vec<_> = shapes.iter().map(|(name, shape)| (name.replace("model.", ""), shape.clone())).collect();
    assert_eq!(read(&bare).unwrap().1, weights);
    assert_eq!(weights.parameters(&spec), 11 * 8 + 8 + 2 * (16 + 2 * 64 + 2 * 32 + 3 * 96));
}

#[test]
fn a_missing_extra_or_misshapen_tensor_is_named() {
    let shapes = llama_tensors();
    let without: Vec<_> = shapes.iter().filter(|(name, _)| name != "model.norm.weight").cloned().collect();
    let error = read(&without).unwrap_err().to_string();
    assert!(error.contains("`model.norm.weight`") && error.contains("decoder.FinalNorm"), "{error}");

    let mut more = shapes.clone();
    more.push(("model.layers.2.mlp.up_proj.weight".to_owned(), vec![12, 8]));
    assert!(read(&more).unwrap_err().to_string().contains("`model.layers.2.mlp.up_proj.weight`"));

    let mut other = shapes;
    other[0].1 = vec![12, 8];
    let error = read(&other).unwrap_err().to_string();
    assert!(error.contains("[12, 8]") && error.contains("[11, 8]") && error.contains("embed_tokens"), "{error}");

    // Transposed, empty, and with three dimensions.
    for shape in [vec![8, 12], vec![0, 8], vec![12, 0], vec![2, 6, 4]] {
        let mut other = llama_tensors();
        let up = other.iter_mut().find(|(name, _)| name == "model.layers.0.mlp.up_proj.weight").unwrap();
        up.1.clone_from(&shape);
        let error = read(&other).unwrap_err().to_string();
        assert!(error.contains(&format!("{shape:?}")) && error.contains("[12, 8]"), "{error}");
    }
}

#[test]
fn a_wrapped_checkpoint_is_the_same_model() {
    let shapes = llama_tensors();
    let (_, plain) = read(&shapes).unwrap();
    for wrapper in ["module.", "_orig_mod.", "base_model.model.", "model.", "module._orig_mod."] {
        let wrapped: Vec<_> = shapes.iter().map(|(name, shape)| (format!("{wrapper}{name}"), shape.clone())).collect();
        assert_eq!(read(&wrapped).unwrap().1, plain, "{wrapper}");
    }
    // A prefix on some names is not removed, but the error shows it.
    let mut some = shapes;
    some[1].0 = "_orig_mod.model.norm.weight".to_owned();
    let error = read(&some).unwrap_err().to_string();
    assert!(
        error.contains("no tensor `model.norm.weight`") && error.contains("`_orig_mod.model.norm.weight`"),
        "{error}"
    );
}

#[test]
fn an_output_matrix_in_the_file_is_used_unless_it_is_the_token_table() {
    let mut shapes = llama_tensors();
    shapes.push(("lm_head.weight".to_owned(), vec![11, 8]));
    // The output matrix has the numbers of the token table.
    let (_, weights) = read(&shapes).unwrap();
    assert!(weights.get(Role::Head(HeadPart::Output)).is_none());

    let mut tensors = filled(&shapes);
    tensors.last_mut().unwrap().2[0] = 7.0;
    let dir = checkpoint(&tiny_llama(), &tensors);
    let opened = Checkpoint::open(dir.path()).unwrap();
    let mapping = family::map(&opened, &Options::default()).unwrap();
    let weights = Weights::read(&opened, &mapping).unwrap();
    assert_eq!(weights.get(Role::Head(HeadPart::Output)).unwrap().weight[0], 7.0);
}

/// Applies a pick to a 3 x 2 matrix, a row and a vector of a checkpoint.
fn take(pick: &Pick, rows: usize, cols: Option<usize>) -> Result<Vec<f32>> {
    let tensors: [Stored<'_>; 3] = [
        ("m", vec![3, 2], vec![1.0, 2.0, 3.0, 4.0, 5.0, 6.0]),
        ("row", vec![1, 2], vec![10.0, 20.0]),
        ("v", vec![1, 4], vec![1.0, 2.0, 3.0, 4.0]),
    ];
    let dir = checkpoint(&tiny_llama(), &[&tensors[..], &filled(&llama_tensors())].concat());
    let opened = Checkpoint::open(dir.path())?;
    let spec = family::map(&opened, &Options::default())?.spec;
    let role = Role::Block(Stack::Decoder, 0, BlockPart::Query);
    Build { checkpoint: &opened, spec: &spec, role }.pick(pick, rows, cols)
}

#[test]
fn a_pick_is_carried_out() {
    let named = |name: &str| Pick::new(vec!["absent".to_owned(), name.to_owned()]);
    assert_eq!(take(&named("m"), 3, Some(2)).unwrap(), [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
    let turned = Pick { transposed: true, ..named("m") };
    assert_eq!(take(&turned, 2, Some(3)).unwrap(), [1.0, 3.0, 5.0, 2.0, 4.0, 6.0]);
    assert_eq!(take(&turned.rows([1]), 1, Some(3)).unwrap(), [2.0, 4.0, 6.0]);
    assert_eq!(take(&named("m").rows([2, 0]), 2, Some(2)).unwrap(), [5.0, 6.0, 1.0, 2.0]);
    let shifted = Pick { factor: 2.0, offset: 1.0, ..named("v") };
    assert_eq!(take(&shifted, 4, None).unwrap(), [3.0, 5.0, 7.0, 9.0]);
    let added = Pick { added: Some(Box::new(named("row"))), ..named("m") };
    assert_eq!(take(&added, 3, Some(2)).unwrap(), [11.0, 22.0, 13.0, 24.0, 15.0, 26.0]);
    for wrong in [take(&named("m"), 2, Some(2)), take(&named("m").rows([3]), 1, Some(2)), take(&named("m"), 6, None)] {
        assert!(wrong.unwrap_err().to_string().contains("`m` is [3, 2]"));
    }
}
