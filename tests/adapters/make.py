"""Writes adapters for golden checkpoints with `peft`, and the results of `merge_and_unload`.

    pip install -r tests/golden/requirements.txt peft==0.21.2
    python tests/adapters/make.py

A folder has an adapter saved by `peft`, the merged checkpoint in `merged`, and the name of the golden base checkpoint in `base.json`.
`cargo test -p kinglet-tests adapters` compares the converter's results for both.
"""

import json
import shutil
from pathlib import Path

import torch
import transformers
from peft import LoraConfig, get_peft_model
from safetensors.torch import load_file

HERE = Path(__file__).parent
GOLDEN = HERE.parent / "golden"

CASES = [
    dict(name="all_linear", base="llama", model="LlamaForCausalLM",
         lora=dict(r=3, lora_alpha=7, target_modules="all-linear", use_rslora=True, rank_pattern={"q_proj": 2, r"layers\.1\.mlp\.up_proj": 4},
                   alpha_pattern={"^model.layers.0.self_attn.v_proj": 11, "up_proj": 5}, task_type="CAUSAL_LM")),
    dict(name="conv1d", base="gpt2", model="GPT2LMHeadModel", pickled=True,
         lora=dict(r=4, lora_alpha=8, target_modules=["c_attn", "attn.c_proj"], fan_in_fan_out=True, bias="lora_only", task_type="CAUSAL_LM")),
    dict(name="new_head", base="bert", model="BertForSequenceClassification", load=dict(num_labels=3),
         lora=dict(r=2, lora_alpha=4, target_modules=r".*\.attention\.self\.(query|value)", bias="all", task_type="SEQ_CLS")),
    dict(name="embeddings", base="bert_tags", model="BertForTokenClassification",
         lora=dict(r=2, lora_alpha=3, target_modules=["word_embeddings", "dense"], task_type="TOKEN_CLS")),
    dict(name="saved_head", base="llama", model="LlamaForCausalLM",
         lora=dict(r=2, lora_alpha=2, target_modules=["q_proj"], modules_to_save=["lm_head"], task_type="CAUSAL_LM")),
]


def make(number, case):
    out = HERE / case["name"]
    shutil.rmtree(out, ignore_errors=True)
    torch.manual_seed(number)
    base = getattr(transformers, case["model"]).from_pretrained(GOLDEN / case["base"], dtype=torch.float32, **case.get("load", {}))
    model = get_peft_model(base, LoraConfig(**case["lora"]))
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            parameter.data += torch.randn(parameter.shape) * 0.1
    model.peft_config["default"].base_model_name_or_path = case["base"]
    model.save_pretrained(out)
    (out / "README.md").unlink(missing_ok=True)
    config = json.loads((out / "adapter_config.json").read_text())
    if isinstance(config["target_modules"], list):  # a set, whose order changes from run to run
        config["target_modules"].sort()
    (out / "adapter_config.json").write_text(json.dumps(config, indent=1, sort_keys=True) + "\n")
    if case.get("pickled"):
        path = out / "adapter_model.safetensors"
        torch.save(load_file(path), out / "adapter_model.bin")
        path.unlink()
    (out / "base.json").write_text(json.dumps(case["base"]) + "\n")
    model.merge_and_unload().save_pretrained(out / "merged")
    (out / "merged" / "generation_config.json").unlink(missing_ok=True)


if __name__ == "__main__":
    for number, case in enumerate(CASES):
        make(number, case)
        print(case["name"])
