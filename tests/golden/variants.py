"""Writes the results of `transformers` for golden configurations in which a key is missing, or has another value.

    pip install -r tests/golden/requirements.txt
    python tests/golden/variants.py [absent] [altered] [FOLDER...]

If folders are given, only their entries are updated.

`absent.json` has for each golden folder the object `whole`, its configuration with all keys including defaults. `without` has, for
each key of the file, the differences to `whole` when the key is missing.

`altered.json` has for each golden folder a list of changes. Each has the changed keys, `set`, and the `result`:

* eight numbers: sums over all results of the folder's last input, weighted by cosines, so that any change is visible;
* `"same"`: the numbers equal those of the unchanged folder, the first entry of the list;
* `"misfit"`: the checkpoint lacks a tensor, or a tensor has another shape;
* `"fails"`: the configuration is refused, or the model cannot run.
"""

import dataclasses
import functools
import json
import math
import re
import sys
import tempfile
from pathlib import Path

import torch
import transformers
from transformers.models.auto.configuration_auto import CONFIG_MAPPING

import hub
import make
import recent

HERE = Path(__file__).parent
CLASSES = json.loads((HERE.parents[1] / "converter/src/config/classes.json").read_text())
# Keys that describe the file or the run, not the model.
ASIDE = {"_commit_hash", "_name_or_path", "architectures", "attn_implementation", "_attn_implementation", "dtype", "experts_implementation",
         "model_type", "name_or_path", "output_attentions", "output_hidden_states", "quantization_config", "per_layer_config", "return_dict", "torch_dtype",
         "transformers_version", "number_of_conv_states", "kv_sharing_modes", "default_theta", "default_rope_type", "text_config",
         "vision_config", "image_size", "image_token_id", "mm_tokens_per_image", "patch_size"}
# Keys that heads read are changed in every folder. Other keys are changed in the first folder of a `model_type`, and in others if
# their value differs.
OF_HEADS = re.compile("act|afn|classifier|decoder_bias|eos|legacy|pad|pool|problem|summary|tie_word|scale_decoder")
ACTIVATIONS = ["relu", "gelu_new", "mish"]
# Values for keys that a class reads but does not declare, or declares as null.
VALUES = {
    "attention_chunk_size": [4], "attention_layers": [["local", "local", "global"]], "attention_types": [[[["local"], 3]]], "asm_cutoffs": [[5]],
    "attn_logit_softcapping": [5.0], "conv_act": ["gelu"], "conv_groups": [2], "conv_kernel_size": [3, 4],
    "dense_act_fn": ["silu", "relu"], "embedding_size": [12], "final_logit_softcapping": [5.0], "full_attn_idxs": [[0], [2, 9], []], "global_attn_every_n_layers": [2],
    "global_rope_theta": [40.0], "head_dim": [4, 8], "is_causal": [False], "is_gated_act": [True, False], "lang_id": [1],
    "layer_types": [["sliding_attention"] * 2, ["sliding_attention"] * 3, ["full_attention"] * 3], "local_rope_theta": [40.0], "n_inner": [50], "norm_rel_ebd": ["layer_norm", "none"], "num_decoder_layers": [1],
    "num_key_value_heads": [1, 2, 4], "original_max_position_embeddings": [16], "partial_rotary_factor": [0.5], "pos_att_type": ["c2p", ["p2c"], "c2p|p2c", "p2c|c2p|p2p"],
    "position_buckets": [4], "position_embedding_type": ["relative_key"], "pooler_hidden_size": [12],
    "problem_type": ["regression", "multi_label_classification"], "rope_local_base_freq": [40.0],
    "rope_parameters": [{"rope_type": "default", "rope_theta": 40.0}, {"rope_type": "linear", "factor": 2.0, "rope_theta": 40.0},
                        {"rope_type": "default", "rope_theta": 40.0, "partial_rotary_factor": 0.5},
                        {"full_attention": {"rope_type": "default", "rope_theta": 40.0}, "sliding_attention": {"rope_type": "default", "rope_theta": 60.0}},
                        {"full_attention": {"rope_type": "linear", "factor": 2.0, "rope_theta": 40.0}}],
    "rope_scaling": [{"type": "linear", "factor": 2.0}, {"rope_type": "default", "rope_theta": 40.0}, {"rope_type": "dynamic", "factor": 2.0}],
    "rope_theta": [40.0], "rotary_emb_base": [40.0], "rotary_pct": [0.5, 1.0], "scale_decoder_outputs": [True, False], "sliding_window": [3],
    "sliding_window_pattern": [2], "_sliding_window_pattern": [2], "summary_activation": ["tanh"], "talking_head": [True], "token_classification_bias": [False],
}
TEXTS = {"feed_forward_type": ["geglu", "reglu", "original"], "afn": ["gelu", "relu", "swish"], "classifier_pooling": ["cls", "mean"], "feed_forward_proj": ["relu", "gated-gelu", "gelu", "gated-silu"],
         "norm_rel_ebd": ["layer_norm", "none"], "normalization_type": ["no_norm", "layer_norm"], "pos_att_type": VALUES["pos_att_type"],
         "problem_type": VALUES["problem_type"], "summary_type": ["first", "last", "mean", "cls_index", "attn"]}


def others(key, value):
    """Alternative values of a key."""
    if isinstance(value, bool):
        return [not value]
    if key in ("rope_parameters", "rope_scaling", "layer_types", "attention_types", "attention_layers", "pos_att_type", "head_dim", "sliding_window"):
        return VALUES[key]
    if isinstance(value, dict):
        return [{name: value[name] for name in sorted(value)[:-1]}] if len(value) > 1 else []
    if isinstance(value, str):
        return TEXTS.get(key, ACTIVATIONS if "act" in key else [])
    if isinstance(value, float) and not key.endswith("_id"):
        return [0.05 if "eps" in key else value / 3 + 0.1]
    if isinstance(value, (int, float)):
        value = int(value)
        if key.endswith(("_id", "_index")):
            return [value + 1]
        if "head" in key:
            return sorted({max(1, value // 2), 2 * value})
        if "layers" in key or "group" in key or "types" in key or "vocab" in key or "positions" in key:
            return sorted({max(0, value - 1), value + 1})
        return [max(1, value // 2)]
    if value is None and key.endswith(("_id", "_index")):
        return [4]
    return VALUES.get(key, [] if value is None and "dropout" in key else [True, 3])


def changes(config, first):
    """What is changed in a configuration, one key at a time; `first` is that of the first folder of this `model_type`."""
    # Code of the Hub has a spelling of its own for the configuration of this class.
    family = {"new": "gte"}.get(config["model_type"], config["model_type"])
    row = CLASSES[family]
    kind = CONFIG_MAPPING[family]
    types = {field.name: str(field.type) for field in dataclasses.fields(kind)}
    for key in sorted((set(row["reads"]) | set(config) | set(row["aliases"])) - ASIDE):
        if re.search("dropout|pdrop|layerdrop|init|^id2label|^label2id|^num_labels", key):
            continue
        if config != first and not OF_HEADS.search(key) and config.get(key) == first.get(key):
            continue
        name = row["aliases"].get(key, key)
        now = config.get(key, config.get(name, row["defaults"].get(name)))
        for value in others(key, now):
            if value != now or type(value) != type(now):
                yield {key: value}
        if now is not None and "None" in types.get(name, "None"):
            yield {key: None}


def model_of(folder, config):
    if config["model_type"] == "new":
        config = recent.public_gte(config)
    name = config["architectures"][0]
    kind = getattr(hub, name) if hasattr(hub, name) else getattr(transformers, name)
    with tempfile.TemporaryDirectory() as changed:
        # Loading the configuration from a file applies all processing of its keys.
        Path(changed, "config.json").write_text(json.dumps(config))
        read = kind.config_class.from_pretrained(changed)
    model, info = kind.from_pretrained(folder, config=read, dtype=torch.float32, output_loading_info=True)
    return model.eval(), info


def fingerprint(rows):
    values = torch.tensor(rows, dtype=torch.float64).flatten()
    at = torch.arange(1, len(values) + 1, dtype=torch.float64)
    return [float(f"{torch.dot(values, torch.cos(at * k)).item() / math.sqrt(len(values)):.6g}") for k in range(1, 9)]


def rows_of(result):
    if "start_logits" in result:
        return list(zip(result["start_logits"], result["end_logits"]))
    return result.get("logits", result.get("hidden"))


def result_of(folder, config, one, language, base):
    try:
        model, info = model_of(folder, config)
        if info["missing_keys"] - base or info["mismatched_keys"]:
            return "misfit"
        if language is not None:
            model.forward = functools.partial(make.spoken, model.forward, language)
        found = fingerprint(rows_of(make.run(model, one)))
        return found if all(map(math.isfinite, found)) else "fails"
    except RuntimeError as error:
        return "misfit" if "size mismatch" in str(error) or "ismatch" in str(error) else "fails"
    except Exception:
        return "fails"


def altered(folder, firsts):
    config = json.loads((folder / "config.json").read_text())
    first = firsts[config["model_type"]]
    expected = json.loads((folder / "expected.json").read_text())
    one, language = expected["inputs"][-1], expected.get("language")
    _, info = model_of(folder, config)
    whole = result_of(folder, config, one, language, info["missing_keys"])
    listed = [{"set": {}, "result": whole}]
    for change in changes(config, first):
        result = result_of(folder, {**config, **change}, one, language, info["missing_keys"])
        listed.append({"set": change, "result": "same" if result == whole else result})
    return listed


def whole(config):
    """A configuration with all keys, including defaults."""
    with tempfile.TemporaryDirectory() as changed:
        Path(changed, "config.json").write_text(json.dumps(config))
        read = CONFIG_MAPPING[config["model_type"]].from_pretrained(changed).to_dict()
    told = json.loads(json.dumps(read, default=str))
    return {key: value for key, value in told.items() if key not in ASIDE - {"architectures", "model_type"}}


def absent(folder):
    config = json.loads((folder / "config.json").read_text())
    base = whole(config)
    without = {}
    for key in sorted(set(config) - ASIDE):
        try:
            found = whole({name: value for name, value in config.items() if name != key})
            without[key] = {name: found.get(name) for name in sorted(base.keys() | found.keys()) if found.get(name) != base.get(name)}
        except Exception:
            without[key] = "fails"
    return {"whole": base, "without": without}


def write(name, folders, find, wanted):
    path = HERE / name
    # Each entry is one line.
    lines = dict(re.findall(r'^ "(\w+)": (.*?),?$', path.read_text(), re.MULTILINE)) if wanted else {}
    for folder in folders:
        if not wanted or folder.name in wanted:
            lines[folder.name] = json.dumps(find(folder), sort_keys=True, separators=(",", ":"))
    entries = ",\n".join(f" {json.dumps(case)}: {lines[case]}" for case in sorted(lines))
    path.write_text(f"{{\n{entries}\n}}\n")


if __name__ == "__main__":
    transformers.logging.set_verbosity(50)
    transformers.logging.disable_progress_bar()
    folders = sorted(path.parent for path in HERE.glob("*/expected.json"))
    # Nor is there a class of `transformers` for static embeddings; encoder-decoders of two families have two.
    folders = [folder for folder in folders if not (folder / "modules.json").exists() and not folder.name.startswith(("static_", "encoder_decoder"))]
    # What code of the Hub does where a key is left out is not known.
    known = [folder for folder in folders if not folder.name.startswith(("jina_", "gte_new", "hub_"))]
    files, firsts = {"absent", "altered"} & set(sys.argv[1:]) or {"absent", "altered"}, {}
    wanted = set(sys.argv[1:]) - {"absent", "altered"}
    for folder in folders:
        config = json.loads((folder / "config.json").read_text())
        firsts.setdefault(config["model_type"], config)
    if "absent" in files:
        write("absent.json", known, absent, wanted)
    if "altered" in files:
        write("altered.json", folders, lambda folder: altered(folder, firsts), wanted)
