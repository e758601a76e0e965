"""Writes `converter/src/config/classes.json`: the keys that each configuration class of `transformers` reads.

    pip install -r tests/golden/requirements.txt
    python tests/golden/keys.py

The converter refuses a key that the class of a `model_type` reads and Kinglet does not implement. It only notes a key that the
class does not read, because such a key cannot change the result. For each `model_type` the file has

* `reads`: the names that the class, its models and their shared code look up on a configuration;
* `defaults`: the default value of each declared key;
* `aliases`: other names of keys, which take precedence over the names they stand for.

The lists come from the sources, parsed and not run: `config.name`, `self.config.name`, `getattr(config, "name", ...)`,
and in the classes of configurations `self.name` and `kwargs.pop("name")`.
"""

import ast
import dataclasses
import importlib
import inspect
import json
import sys
from pathlib import Path

import transformers
from transformers import configuration_utils, modeling_rope_utils
from transformers.models.auto.configuration_auto import CONFIG_MAPPING

OUTPUT = Path(__file__).parents[2] / "converter/src/config/classes.json"
MODEL_TYPES = """albert arcee bart bert bert-generation big_bird biogpt blenderbot blenderbot-small bloom camembert codegen cohere convbert ctrl data2vec-text deberta deberta-v2 distilbert electra
ernie esm eurobert falcon gemma gemma2 gemma3_text glm gpt2 gpt_bigcode gpt_neo gpt_neox gptj granite gte helium led lfm2 llama m2m_100 marian
mbart megatron-bert ministral mistral mobilebert modernbert modernbert-decoder mpnet mpt mt5 mvp nomic_bert olmo olmo2 openai-gpt
opt pegasus phi phi3 plbart qwen2 qwen3 rembert roberta roberta-prelayernorm roformer smollm3 squeezebert stablelm starcoder2 t5
umt5 xglm xlm xlm-roberta xlnet xmod""".split()
# Shared modules of `transformers` that models import, and that read configurations.
SHARED = ["masking_utils", "cache_utils", "modeling_layers", "modeling_rope_utils", "activations"]

# Attributes of a class that are not keys of a file.
OWN = ("model_type", "attribute_map", "sub_configs_defaults", "ignore_keys_at_rope_validation")


def is_config(node):
    name = node.id if isinstance(node, ast.Name) else node.attr if isinstance(node, ast.Attribute) else ""
    return name == "config" or name.endswith("_config")


def text(node):
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else None


def looked_up(tree, own):
    """The names that code looks up on a configuration; with `own`, the code is the configuration class itself, which uses `self` and `kwargs`."""
    found = set()
    on = lambda node: is_config(node) or own and isinstance(node, ast.Name) and node.id == "self"
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Load) and on(node.value):
            found.add(node.attr)
        if isinstance(node, ast.Call) and node.args:
            function = node.func
            if isinstance(function, ast.Name) and function.id in ("getattr", "hasattr") and on(node.args[0]):
                found.add(text(node.args[1]))
            if own and isinstance(function, ast.Attribute) and function.attr in ("pop", "get", "setdefault"):
                if isinstance(function.value, ast.Name) and function.value.id == "kwargs":
                    found.add(text(node.args[0]))
    return found - {None}


def parse(module):
    return ast.parse(inspect.getsource(module))


def imported(tree):
    """The names that a module imports from the shared modules."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[-1] in SHARED:
            yield node.module.split(".")[-1], [alias.name for alias in node.names]


def shared_reads(tree):
    """The names that a module's imported functions and classes look up, directly or through others of their module."""
    found = set()
    for module, names in imported(tree):
        parsed = parse(importlib.import_module(f"transformers.{module}"))
        defined = {node.name: node for node in parsed.body if isinstance(node, (ast.FunctionDef, ast.ClassDef))}
        wanted, seen = list(names), set()
        while wanted:
            name = wanted.pop()
            if name in seen or name not in defined:
                continue
            seen.add(name)
            found |= looked_up(defined[name], False)
            wanted += [node.id for node in ast.walk(defined[name]) if isinstance(node, ast.Name)]
    return found


def renamed(tree):
    """The names that `self.key = kwargs.pop("name", self.key)` puts before a key."""
    found = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Call) and len(node.value.args) == 2:
            (key,), (name, default) = node.targets, node.value.args
            if ast.unparse(node.value.func) == "kwargs.pop" and ast.unparse(key) == ast.unparse(default) and ast.unparse(key).startswith("self."):
                found[text(name)] = key.attr
    return found


def row(model_type):
    kind = CONFIG_MAPPING[model_type]
    module = importlib.import_module(kind.__module__)
    models = parse(importlib.import_module(kind.__module__.replace("configuration_", "modeling_")))
    reads = looked_up(models, False) | shared_reads(models)
    fields = {field.name: field for field in dataclasses.fields(kind)}
    for base in kind.__mro__:
        if base.__module__ == kind.__module__ or base is configuration_utils.PreTrainedConfig:
            tree = ast.parse(inspect.getsource(base))
            if base is configuration_utils.PreTrainedConfig:
                tree = next(node for node in tree.body[0].body if getattr(node, "name", "") == "__post_init__")
            reads |= looked_up(tree, True)
        if base is modeling_rope_utils.RotaryEmbeddingConfigMixin and "rope_parameters" in fields:
            for node in ast.parse(inspect.getsource(base)).body[0].body:
                if getattr(node, "name", "") in ("convert_rope_params_to_dict", "standardize_rope_params"):
                    reads |= looked_up(node, True)
    # Methods and attributes of the class; properties are keys that can be set.
    belongs = lambda name: callable(getattr(kind, name, None)) or name in OWN or name.startswith("__")
    reads = {name for name in reads if name in fields or not belongs(name)} | {"tie_word_embeddings", "quantization_config"}
    if "rope_parameters" not in fields:
        reads -= {"rope_parameters", "rope_scaling", "rope_theta"}
    aliases = {name: of for name, of in kind.attribute_map.items() if name != of} | renamed(ast.parse(inspect.getsource(kind)))
    # Replaces aliases by their keys.
    reads = {aliases.get(name, name) for name in reads}
    # Generation reads these keys of any class.
    reads |= {name for name in fields if name.endswith(("_token_id", "_index")) or name == "encoder_no_repeat_ngram_size"}
    defaults = {name: field.default for name, field in fields.items() if name in reads}
    if "rope_theta" in reads and isinstance(kind.default_theta, (int, float)):
        defaults["rope_theta"] = kind.default_theta
    # Some token ids are declared as null, and set by the constructor.
    made = kind()
    defaults |= {name: getattr(made, name) for name in defaults if name.endswith("_token_id")}
    return {"reads": sorted(reads), "defaults": dict(sorted(defaults.items())), "aliases": dict(sorted(aliases.items()))}


if __name__ == "__main__":
    table = {model_type: row(model_type) for model_type in MODEL_TYPES}
    lines = [f"  {json.dumps(name)}: {{\n" + ",\n".join(f"    {json.dumps(key)}: {json.dumps(value)}" for key, value in one.items()) + "\n  }"
             for name, one in table.items()]
    note = f"@generated by tests/golden/keys.py from transformers {transformers.__version__}"
    OUTPUT.write_text("{\n  \"note\": " + json.dumps(note) + ",\n" + ",\n".join(lines) + "\n}\n")
    sys.stdout.write(f"{OUTPUT}: {sum(len(one['reads']) for one in table.values())} names\n")
