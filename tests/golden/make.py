"""Writes the golden checkpoints: tiny random models of each family, with the results of `transformers`.

    pip install -r tests/golden/requirements.txt
    python tests/golden/make.py

Every case is a folder with a checkpoint in the format of the Hub, and `expected.json`. No norm and no bias has its default value,
so that a forgotten one is noticed. See README.md in this folder for the schema.
"""

import functools
import json
import shutil
import sys
import types
from pathlib import Path

import torch
import transformers
from safetensors.torch import load_file, save_file

import families
import joined
import later
import padding
import recent
from families import case

HERE = Path(__file__).parent
torch.set_grad_enabled(False)
torch.set_num_threads(1)

TINY_LLAMA = dict(vocab_size=61, hidden_size=24, intermediate_size=44, num_hidden_layers=2, num_attention_heads=4,
                  num_key_value_heads=2, max_position_embeddings=48, bos_token_id=1, eos_token_id=None, pad_token_id=None)
TINY_GPT2 = dict(vocab_size=53, n_embd=24, n_layer=2, n_head=4, n_positions=40, bos_token_id=1, eos_token_id=None,
                 pad_token_id=None)
TINY_BERT = dict(vocab_size=67, hidden_size=24, intermediate_size=40, num_hidden_layers=2, num_attention_heads=4,
                 max_position_embeddings=40, type_vocab_size=2, pad_token_id=0)
LENGTHS = [1, 2, 5, 21]


def perturb(model, seed, gain=1.6, quiet=(), one=1.0):
    """Draws weights large enough that attention is not uniform, and norms and biases away from one and zero. `quiet` weights are
    smaller, for families whose scores are not scaled; `one` is the neutral value of a norm's weight."""
    generator = torch.Generator().manual_seed(seed)
    normal = lambda like, std: torch.randn(like.shape, generator=generator) * std
    for name, parameter in model.named_parameters():
        if not parameter.requires_grad and "embed_positions" in name:
            continue  # buffers that are computed and not saved
        if parameter.dim() == 1:
            base = one if name.endswith("weight") else 0.0
            parameter.copy_(base + normal(parameter, 0.2))
        elif any(part in name for part in ("embed", "wte", "wpe", "shared", "relative_attention_bias")):
            parameter.copy_(normal(parameter, 0.6))
        elif any(part in name for part in quiet):
            parameter.copy_(normal(parameter, gain / 2 / parameter.shape[-1] ** 0.5))
        else:
            reads = parameter[0].numel() if parameter.dim() > 2 else parameter.shape[-1]
            parameter.copy_(normal(parameter, gain / reads ** 0.5))
    for name, buffer in model.named_buffers():
        if "final_logits_bias" in name:
            buffer.copy_(normal(buffer, 0.2))
    return model.eval()


def inputs(config, seed, lengths=LENGTHS, types=False, target=False):
    """Token ids from the whole vocabulary, at several lengths; token types if the model has them."""
    generator = torch.Generator().manual_seed(seed)
    for length in lengths:
        one = {"ids": torch.randint(3, config.vocab_size, (length,), generator=generator).tolist()}
        if types:
            one["token_type_ids"] = [int(at >= length // 2) for at in range(length)]
        if target == "shifted":
            one["ids"][-1] = config.eos_token_id
            one["decoder_ids"] = [config.decoder_start_token_id, *one["ids"][:-1]]
        elif target:
            size = getattr(config, "decoder_vocab_size", config.vocab_size)
            rest = torch.randint(3, size, (length // 2,), generator=generator).tolist()
            one["decoder_ids"] = [config.decoder_start_token_id, *rest]
        yield one


def rounded(tensor):
    return [rounded(row) for row in tensor] if tensor.dim() > 1 else [float(f"{value:.6g}") for value in tensor.tolist()]


def run(model, one):
    """The outputs of the model's head for an input."""
    arguments = {"input_ids": torch.tensor([one["ids"]])}
    if "token_type_ids" in one:
        arguments["token_type_ids"] = torch.tensor([one["token_type_ids"]])
    if "decoder_ids" in one:
        arguments["decoder_input_ids"] = torch.tensor([one["decoder_ids"]])
    if "MultipleChoice" in type(model).__name__:  # a single choice
        arguments = {name: tensor.unsqueeze(1) for name, tensor in arguments.items()}
    out = model(**arguments)
    if "start_logits" in out:
        return {"start_logits": rounded(out.start_logits[0]), "end_logits": rounded(out.end_logits[0])}
    if "logits" in out and "PreTraining" in type(model).__name__:
        return {"logits": rounded(out.logits[0].unsqueeze(1))}  # one number per token
    for name in ("logits", "prediction_logits"):
        if name in out:
            return {"logits": rounded(out[name][0].reshape(-1, out[name].shape[-1]))}
    return {"hidden": rounded(out.last_hidden_state[0])}


def spoken(forward, language, input_ids, **arguments):
    """A forward pass with one of the model's language embeddings."""
    return forward(input_ids=input_ids, langs=torch.full_like(input_ids, language), **arguments)


def greedy(model, one, count=12):
    """The greedy continuation of an input."""
    last = "decoder_ids" if "decoder_ids" in one else "ids"
    text = list(one[last])
    while len(text) < len(one[last]) + count:
        text.append(int(torch.tensor(run(model, {**one, last: text})["logits"][-1]).argmax()))
    return text[len(one[last]):]


def beams(model, one, count=12, width=3):
    """The results of beam search after an input, and the mean log probability of their tokens."""
    ids = torch.tensor([one["ids"]])
    start = torch.tensor([one["decoder_ids"]])
    found = model.generate(
        ids, attention_mask=torch.ones_like(ids), decoder_input_ids=start, num_beams=width, num_return_sequences=width,
        do_sample=False, max_new_tokens=count, min_length=0, length_penalty=1.0, early_stopping=False, use_cache=False,
        return_dict_in_generate=True, output_scores=True)
    end = model.config.eos_token_id
    texts = [text[start.shape[1]:] for text in found.sequences.tolist()]
    texts = [text[:text.index(end) + 1] if end in text else text for text in texts]
    return {"num_beams": width, "sequences": texts, "scores": rounded(found.sequences_scores)}


# Tokens that these models often choose, so that texts end.
STOPS = [29, 46, 14]
SEARCHES = [
    dict(num_beams=4, eos_token_id=STOPS, length_penalty=2.0, early_stopping=True, max_new_tokens=9),
    dict(num_beams=2, eos_token_id=STOPS, length_penalty=-0.5, early_stopping=False, max_new_tokens=10),
    dict(num_beams=5, eos_token_id=STOPS, length_penalty=0.7, early_stopping="never", max_new_tokens=8),
    dict(num_beams=3, eos_token_id=STOPS, length_penalty=1.0, early_stopping=False, max_new_tokens=12, no_repeat_ngram_size=2,
         min_new_tokens=4),
    dict(num_beams=1, no_repeat_ngram_size=3, max_new_tokens=12, suppress_tokens=[3, 5, 8], begin_suppress_tokens=[4, 9, 11]),
]


def search(model, one, options):
    """The result of `generate` with options."""
    ids = torch.tensor([one["ids"]])
    begin = {"decoder_input_ids": torch.tensor([one["decoder_ids"]])} if "decoder_ids" in one else {}
    ends = options.get("eos_token_id", [])
    found = model.generate(ids, pad_token_id=0, attention_mask=torch.ones_like(ids), do_sample=False, use_cache=False, **begin, **options)
    text = found[0].tolist()[len(one.get("decoder_ids", one["ids"])):]
    length = next((at + 1 for at, token in enumerate(text) if token in ends), len(text))
    return {**options, "sequence": text[:length]}


def rename(folder, names):
    """Renames the tensors of a checkpoint like those of older files."""
    path = folder / "model.safetensors"
    tensors = {names(name): tensor for name, tensor in load_file(path).items()}
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, path, metadata={"format": "pt"})


def edit_config(folder, change):
    path = folder / "config.json"
    config = json.loads(path.read_text())
    change(config)
    path.write_text(json.dumps(config, indent=1, sort_keys=True) + "\n")


def v4_rope(config):
    """Writes the configuration like versions before 5, with flat keys."""
    rope = config.pop("rope_parameters")
    config["rope_theta"], config["rope_scaling"] = rope["rope_theta"], None
    config["torch_dtype"] = config.pop("dtype")


def cast(folder, dtype):
    """Stores each tensor with `dtype(name)`; the expected results must be computed from the stored values."""
    path = folder / "model.safetensors"
    save_file({name: tensor.to(dtype(name)) for name, tensor in load_file(path).items()}, path, metadata={"format": "pt"})


def shard(folder):
    """Splits a checkpoint in two, with an index."""
    path = folder / "model.safetensors"
    tensors = load_file(path)
    index = {"metadata": {"total_size": sum(t.numel() * t.element_size() for t in tensors.values())}, "weight_map": {}}
    for part in (0, 1):
        name = f"model-{part + 1:05}-of-00002.safetensors"
        chosen = {key: tensors[key] for at, key in enumerate(sorted(tensors)) if at % 2 == part}
        save_file(chosen, folder / name, metadata={"format": "pt"})
        index["weight_map"].update({key: name for key in chosen})
    (folder / "model.safetensors.index.json").write_text(json.dumps(index, indent=1, sort_keys=True) + "\n")
    path.unlink()


def add_head(folder, seed):
    """Gives a checkpoint an output head that is not tied to its token table."""
    path = folder / "model.safetensors"
    tensors = load_file(path)
    generator = torch.Generator().manual_seed(seed)
    tensors["lm_head.weight"] = torch.randn(tensors["shared.weight"].shape, generator=generator) * 0.6
    save_file(tensors, path, metadata={"format": "pt"})


def half_and_brain(name):
    return torch.bfloat16 if "mlp" in name else torch.float16 if "norm" not in name else torch.float32


def old_names(name):
    if "LayerNorm" in name:
        return name.replace("LayerNorm.weight", "LayerNorm.gamma").replace("LayerNorm.bias", "LayerNorm.beta")
    return name


def sentence_transformer(folder, normed=False):
    """Wraps a base model as a sentence-transformers folder with mean pooling, a dense layer, optionally a norm, and normalization."""
    modules = ["Transformer", "Pooling", "Dense", *["LayerNorm"] * normed, "Normalize"]
    paths = ["", *[f"{at}_{kind}" for at, kind in enumerate(modules) if at > 0]]
    listing = [{"idx": at, "name": str(at), "path": path, "type": f"sentence_transformers.models.{kind}"}
               for at, (kind, path) in enumerate(zip(modules, paths))]
    (folder / "modules.json").write_text(json.dumps(listing, indent=1) + "\n")
    (folder / "1_Pooling").mkdir()
    pooling = {"word_embedding_dimension": 24, "pooling_mode_cls_token": False, "pooling_mode_mean_tokens": True,
               "pooling_mode_max_tokens": False, "pooling_mode_mean_sqrt_len_tokens": False}
    (folder / "1_Pooling" / "config.json").write_text(json.dumps(pooling, indent=1) + "\n")
    (folder / "2_Dense").mkdir()
    dense = {"in_features": 24, "out_features": 20, "bias": True, "activation_function": "torch.nn.modules.activation.Tanh"}
    (folder / "2_Dense" / "config.json").write_text(json.dumps(dense, indent=1) + "\n")
    generator = torch.Generator().manual_seed(99)
    linear = {"linear.weight": torch.randn(20, 24, generator=generator) * 0.3, "linear.bias": torch.randn(20, generator=generator) * 0.2}
    save_file(linear, folder / "2_Dense" / "model.safetensors")
    norm = {"norm.weight": 1 + torch.randn(20, generator=generator) * 0.2, "norm.bias": torch.randn(20, generator=generator) * 0.2}
    if normed:
        (folder / "3_LayerNorm").mkdir()
        (folder / "3_LayerNorm" / "config.json").write_text(json.dumps({"dimension": 20}) + "\n")
        torch.save(norm, folder / "3_LayerNorm" / "pytorch_model.bin")
    (folder / "sentence_bert_config.json").write_text(json.dumps({"max_seq_length": 36, "do_lower_case": False}) + "\n")

    def embedding(hidden):
        pooled = torch.tensor(hidden).mean(0)
        vector = torch.tanh(linear["linear.weight"] @ pooled + linear["linear.bias"])
        if normed:
            vector = torch.nn.functional.layer_norm(vector, [20], norm["norm.weight"], norm["norm.bias"])
        return rounded(vector / vector.norm())

    return embedding


CASES = [
    case("llama", "LlamaForCausalLM", dict(TINY_LLAMA, tie_word_embeddings=True), config_edit=v4_rope),
    case("llama_mqa", "LlamaForCausalLM",
         dict(TINY_LLAMA, hidden_size=36, num_attention_heads=3, num_key_value_heads=1, head_dim=10, num_hidden_layers=1,
              attention_bias=True, mlp_bias=True, tie_word_embeddings=False)),
    case("llama_sharded", "LlamaForCausalLM",
         dict(TINY_LLAMA, rope_parameters={"rope_type": "default", "rope_theta": 100000.0}), after=[shard], dtype=half_and_brain),
    case("llama_classifier", "LlamaForSequenceClassification", dict(TINY_LLAMA, num_labels=3, pad_token_id=0)),
    case("gpt2", "GPT2LMHeadModel", TINY_GPT2, searches=True),
    case("gpt2_bare", "GPT2LMHeadModel", TINY_GPT2, names=lambda name: name.removeprefix("transformer."),
         dtype=lambda name: torch.float16),
    case("gpt2_scaled", "GPT2LMHeadModel",
         dict(TINY_GPT2, scale_attn_by_inverse_layer_idx=True, n_inner=50, tie_word_embeddings=False, n_head=2,
              activation_function="gelu", layer_norm_epsilon=1e-3)),
    case("gpt2_classifier", "GPT2ForSequenceClassification", dict(TINY_GPT2, num_labels=2, pad_token_id=0)),
    case("bert", "BertModel", TINY_BERT, types=True),
    case("bert_masked", "BertForMaskedLM", TINY_BERT, types=True),
    case("bert_old_names", "BertForPreTraining", dict(TINY_BERT, layer_norm_eps=1e-5), names=old_names, types=True),
    case("bert_classifier", "BertForSequenceClassification",
         dict(TINY_BERT, id2label={0: "no", 1: "perhaps", 2: "yes"}, label2id={"no": 0, "perhaps": 1, "yes": 2}), types=True),
    case("bert_regression", "BertForSequenceClassification", dict(TINY_BERT, num_labels=1, problem_type="regression")),
    case("bert_multi_label", "BertForSequenceClassification",
         dict(TINY_BERT, num_labels=4, problem_type="multi_label_classification", hidden_act="relu")),
    case("bert_tags", "BertForTokenClassification", dict(TINY_BERT, num_labels=5, hidden_act="gelu_new"), types=True),
    case("bert_answers", "BertForQuestionAnswering", dict(TINY_BERT, num_attention_heads=2, num_hidden_layers=1), types=True),
    case("bert_sentences", "BertModel", TINY_BERT, sentences=True),
]


# More heads, with explicit seeds; the seeds of the other cases are their indices in the lists.
HEADS = [
    case("bert_sentences_normed", "BertModel", TINY_BERT, sentences="normed", seed=1000),
    case("bert_next_sentence", "BertForNextSentencePrediction", TINY_BERT, types=True, seed=1001),
    case("distilbert_choices", "DistilBertForMultipleChoice", families.DISTIL, seed=1004),
]


def static_embedding(name, seed, weights, normalize):
    """Writes static embeddings in the format of sentence-transformers, or, with a `config.json`, of Model2Vec."""
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import Normalize, StaticEmbedding
    from tokenizers import Tokenizer, models, pre_tokenizers, processors

    folder = HERE / name
    shutil.rmtree(folder, ignore_errors=True)
    words = {word: at for at, word in enumerate(["[PAD]", "[UNK]", "[CLS]", "[SEP]", *(f"w{at}" for at in range(4, 61))])}
    tokenizer = Tokenizer(models.WordPiece(words, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    # Static embeddings must ignore these special tokens.
    tokenizer.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    table = torch.randn(61, 24, generator=torch.Generator().manual_seed(seed)) * 0.6
    model = SentenceTransformer(modules=[StaticEmbedding(tokenizer, embedding_weights=table), *[Normalize()] * normalize], device="cpu")
    model.save_pretrained(str(folder), create_model_card=False)
    (folder / "config_sentence_transformers.json").unlink()
    if weights != "embedding.weight":
        (folder / "modules.json").unlink()
        shutil.rmtree(folder / "1_Normalize", ignore_errors=True)
        rename(folder, lambda _: weights)
        config = {"model_type": "model2vec", "architectures": ["StaticModel"], "tokenizer_name": name, "apply_pca": 24, "apply_zipf": None,
                  "sif_coefficient": 1e-4, "hidden_dim": 24, "seq_length": 1000000, "normalize": normalize, "embedding_dtype": "float32"}
        (folder / "config.json").write_text(json.dumps(config, indent=1) + "\n")
    expected = []
    for one in inputs(types.SimpleNamespace(vocab_size=61), seed):
        text = " ".join(list(words)[at] for at in one["ids"])
        expected.append({**one, "text": text, "embedding": rounded(torch.tensor(model.encode(text)))})
    (folder / "expected.json").write_text(json.dumps({"inputs": expected}) + "\n")


STATIC = [
    ("static_embedding", 1010, "embedding.weight", True),
    ("static_embedding_model2vec", 1011, "embeddings", False),
]


def make(number, case):
    folder = HERE / case.get("folder", "") / case["name"]
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    kind = getattr(transformers, case["model"]) if isinstance(case["model"], str) else case["model"]
    torch.manual_seed(number)
    model = perturb(kind(kind.config_class(**case["config"])), number, **{key: case[key] for key in ("gain", "quiet", "one") if key in case})
    model.save_pretrained(folder)
    if case.get("own_head"):
        add_head(folder, number)
    if "dtype" in case:
        cast(folder, case["dtype"])
    if case.get("brain"):
        cast(folder, lambda name: torch.bfloat16)
    # Runs the stored weights, read back at full precision.
    model = kind.from_pretrained(folder, dtype=torch.float32).eval()
    (folder / "generation_config.json").unlink(missing_ok=True)
    if "names" in case:
        rename(folder, case["names"])
    edit_config(folder, case.get("config_edit", lambda config: None))
    embedding = sentence_transformer(folder, case["sentences"] == "normed") if case.get("sentences") else None
    for step in case.get("after", []):
        step(folder)
    expected = []
    lengths = case.get("lengths", LENGTHS)
    if "language" in case:
        model.forward = functools.partial(spoken, model.forward, case["language"])
    given = case["reads"](model, number) if "reads" in case else inputs(
        model.config, number, lengths, case.get("types", False), case.get("target", False))
    for one in given:
        one.update(run(model, one))
        if embedding:
            one["embedding"] = embedding(one.pop("hidden"))
        if kind.__name__.endswith(("CausalLM", "LMHeadModel", "ConditionalGeneration", "MTModel", "EncoderDecoderModel")) and case.get("greedy", True):
            one["generated"] = greedy(model, one)
            if "decoder_ids" in one:
                one["beams"] = beams(model, one)
            if case.get("searches"):
                one["searches"] = [search(model, one, options) for options in SEARCHES]
        expected.append(one)
    chosen = {"language": case["language"]} if "language" in case else {}
    (folder / "expected.json").write_text(json.dumps({**chosen, "inputs": expected}) + "\n")


if __name__ == "__main__":
    wanted = set(sys.argv[1:])
    for number, one in enumerate(CASES + families.CASES + padding.CASES + later.CASES + recent.CASES + HEADS + joined.CASES):
        if not wanted or one["name"] in wanted:
            make(one.get("seed", number), one)
            print(one["name"])
    for one in STATIC:
        if not wanted or one[0] in wanted:
            static_embedding(*one)
            print(one[0])
