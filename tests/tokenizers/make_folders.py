"""Writes small folders of each tokenizer class, and the tokens of `transformers` for texts with them.

`folders/`, next to this file, gets `material/` with vocabularies, and `expected.json`, a list of folders. A folder is described by the
names of its files and of their material, its JSON files, and the token ids of every text.

    pip install -r requirements.txt
    python make_folders.py [NAME ...]     # with names: prints those folders' backends, and writes nothing
"""

import json
import shutil
import sys
import tempfile
import warnings
from collections import Counter
from pathlib import Path

import sentencepiece
from sentencepiece import sentencepiece_model_pb2
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, trainers
from transformers import AutoTokenizer
from transformers.utils import logging

from make import RULES, TEXTS

HERE = Path(__file__).parent / "folders"
MATERIAL = HERE / "material"
logging.set_verbosity_error()
warnings.simplefilter("ignore")

WORDS = TEXTS[:8]
ENGLISH = [text for text in TEXTS[:20] if text.isascii()] * 2


# Vocabularies.


def lines(path, rows):
    path.write_text("".join(row + "\n" for row in rows), encoding="utf-8")


def compact(path, value):
    path.write_text(json.dumps(value, ensure_ascii=False, separators=(",", ":")) + "\n", encoding="utf-8")


def word_pieces(names, size=260):
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=False, strip_accents=False)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    texts = ENGLISH + [text.lower() for text in ENGLISH] + ["HELLO Hello hello World world é É ü über 猫 中 文"] * 4
    tokenizer.train_from_iterator(texts, trainers.WordPieceTrainer(vocab_size=size, special_tokens=names, show_progress=False))
    # Training counts in a random order; sorting makes the vocabulary reproducible.
    return names + sorted(set(tokenizer.get_vocab()) - set(names))


def byte_pairs():
    """The vocabulary and merges of byte-level BPE, without special tokens."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    trainer = trainers.BpeTrainer(vocab_size=330, show_progress=False, initial_alphabet=pre_tokenizers.ByteLevel.alphabet())
    tokenizer.train_from_iterator(ENGLISH + ["hello world Hello World"] * 6, trainer)
    model = json.loads(tokenizer.to_str())["model"]
    tokens = sorted(model["vocab"], key=model["vocab"].get)
    return tokens, [" ".join(merge) for merge in model["merges"]]


def word_suffixes():
    """BPE with word suffixes. It is trained here, because the crate's choice among equally frequent pairs is random."""
    split = pre_tokenizers.BertPreTokenizer().pre_tokenize_str
    words = Counter(word for text in ENGLISH + ["hello world"] * 6 for word, _ in split(text.lower()))
    parts = {word: [*word[:-1], word[-1] + "</w>"] for word in words}
    characters = {character for word in words for character in word}
    vocabulary = ["<unk>", *sorted(characters), *sorted(character + "</w>" for character in characters)]
    merges = []
    while len(merges) < 90:
        pairs = Counter()
        for word, count in words.items():
            for pair in zip(parts[word], parts[word][1:]):
                pairs[pair] += count
        left, right = max(pairs, key=lambda pair: (pairs[pair], pair))
        for word, symbols in parts.items():
            at = 0
            while at + 1 < len(symbols):
                if (symbols[at], symbols[at + 1]) == (left, right):
                    symbols[at : at + 2] = [left + right]
                at += 1
        merges.append(f"{left} {right}")
        vocabulary.append(left + right)
    return {token: index for index, token in enumerate(dict.fromkeys(vocabulary))}, merges


def pieces(name, kind="unigram", size=240, **options):
    """A SentencePiece file with a few custom normalization rules."""
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        code = lambda text: " ".join(f"{ord(c):X}" for c in text)
        (folder / "rules.tsv").write_text("".join(f"{code(a)}\t{code(b)}\n" for a, b in RULES.items()))
        texts = ENGLISH + ["hello world Hello World 1,000 2,000 3,"] * 6
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=iter(texts), model_prefix=str(folder / "m"), vocab_size=size, hard_vocab_limit=False, model_type=kind,
            normalization_rule_tsv=str(folder / "rules.tsv"), minloglevel=2, **options)
        model = sentencepiece_model_pb2.ModelProto()
        model.ParseFromString((folder / "m.model").read_bytes())
    # Removes paths of the machine that trained the model.
    for field in ("input", "model_prefix"):
        model.trainer_spec.ClearField(field)
    model.normalizer_spec.ClearField("normalization_rule_tsv")
    for piece in model.pieces:
        piece.score = round(piece.score, 3)
    (MATERIAL / f"{name}.model").write_bytes(model.SerializeToString())


LANGUAGES = ["ar_AR", "cs_CZ", "de_DE", "en_XX"]


def material():
    shutil.rmtree(MATERIAL, ignore_errors=True)
    MATERIAL.mkdir(parents=True)
    lines(MATERIAL / "bert.txt", word_pieces(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "[unused0]"]))
    lines(MATERIAL / "mpnet.txt", word_pieces(["<s>", "<pad>", "</s>", "[UNK]", "<mask>"]))
    tokens, merges = byte_pairs()
    lines(MATERIAL / "merges.txt", ["#version: 0.2"] + merges)
    byte_level = lambda name, *head, tail=(): compact(
        MATERIAL / f"{name}.json", {token: index for index, token in enumerate([*head, *tokens, *tail])})
    byte_level("gpt2", tail=["<|endoftext|>"])
    byte_level("roberta", "<s>", "<pad>", "</s>", "<unk>", tail=["<mask>"])
    byte_level("deberta", "[PAD]", "[CLS]", "[SEP]", "[UNK]", tail=["[MASK]"])
    byte_level("neox", "<|endoftext|>", "<|padding|>")
    byte_level("qwen2", tail=["<|endoftext|>", "<|im_start|>", "<|im_end|>"])
    vocabulary, merges = word_suffixes()
    compact(MATERIAL / "gpt1.json", vocabulary)
    lines(MATERIAL / "gpt1-merges.txt", ["#version: 0.2"] + merges)
    pieces("t5", pad_id=0, eos_id=1, unk_id=2, bos_id=-1)
    pieces("albert", pad_id=0, unk_id=1, bos_id=-1, eos_id=-1, control_symbols=["[CLS]", "[SEP]", "[MASK]"])
    pieces("deberta_v2", pad_id=0, bos_id=1, eos_id=2, unk_id=3, pad_piece="[PAD]", bos_piece="[CLS]", eos_piece="[SEP]", unk_piece="[UNK]")
    pieces("fairseq", unk_id=0, bos_id=1, eos_id=2)
    pieces("pegasus", pad_id=0, eos_id=1, unk_id=2, bos_id=-1, user_defined_symbols=["<mask_1>", "<mask_2>"])
    pieces("xlnet", unk_id=0, bos_id=1, eos_id=2, control_symbols=["<cls>", "<sep>", "<pad>", "<mask>", "<eod>"], user_defined_symbols=["<eop>"])
    pieces("big_bird", pad_id=0, eos_id=1, bos_id=2, unk_id=3, control_symbols=["[CLS]", "[SEP]", "[MASK]"])
    pieces("llama", kind="bpe", size=520, byte_fallback=True, unk_id=0, bos_id=1, eos_id=2, remove_extra_whitespaces=False)
    pieces("mistral", kind="bpe", size=520, byte_fallback=True, unk_id=0, bos_id=1, eos_id=2, user_defined_symbols=["[INST]"])
    pieces("gemma", kind="bpe", size=520, byte_fallback=True, pad_id=0, eos_id=1, bos_id=2, unk_id=3, bos_piece="<bos>", eos_piece="<eos>",
           user_defined_symbols=["<mask>", "<start_of_turn>", "<end_of_turn>"], add_dummy_prefix=False, remove_extra_whitespaces=False)


# Folders: model type, files of the material, and keys of the JSON files.

TRY = [
    "hello world", "Hello World", "HELLO", " hello world", "hello  world ", "héllo É über", "hello\nworld\t!", "猫中文 hello", "x y, 1,000 3,",
    "", " ", "``hello'' ﬁ ½", "a <mask> b [MASK] c", "<s>hello</s> world", "hello <new> world <New>", "hello[CLS]world [SEP]", "<pad><unk> hello",
    "<|endoftext|>hello<|im_end|>", "<extra_id_0> hello <extra_id_1>", "I'll isn't we'RE 12345", "the quick foxes were jumping ☃",
]
PAIRS = [("hello world", "Hello"), ("", "hello")]
FOLDERS = []


def folder(name, model_type, files, tokenizer_config=None, cls=None, **beside):
    config = {"model_type": model_type} if model_type else {}
    written = {"config.json": config} if model_type else {}
    if tokenizer_config is not None or cls:
        written["tokenizer_config.json"] = dict(tokenizer_config or {}, **({"tokenizer_class": cls} if cls else {}))
    written.update({f"{key}.json": value for key, value in beside.items()})
    FOLDERS.append({"name": name, "material": files, "json": written})


BYTE_LEVEL = lambda vocabulary: {"vocab.json": f"{vocabulary}.json", "merges.txt": "merges.txt"}
WORD_PIECE = {"vocab.txt": "bert.txt"}
MPNET = {"vocab.txt": "mpnet.txt"}
GPT1 = {"vocab.json": "gpt1.json", "merges.txt": "gpt1-merges.txt"}
PLAIN = lambda content, **flags: {"content": content, "lstrip": False, "normalized": False, "rstrip": False, "single_word": False, "special": True, **flags}
NEW = {"extra_special_tokens": ["<new>"]}


def folders():
    # WordPiece.
    for model_type in ["bert", "distilbert", "electra", "mobilebert"]:
        folder(model_type, model_type, WORD_PIECE)
    for key, value in [("do_lower_case", False), ("do_lower_case", True), ("strip_accents", False), ("strip_accents", True), ("tokenize_chinese_chars", False)]:
        folder(f"bert {key} {value}".lower(), "bert", WORD_PIECE, {key: value})
    folder("bert cased, accents stripped", "bert", WORD_PIECE, {"do_lower_case": False, "strip_accents": True})
    folder("distilbert class says cased", "distilbert", WORD_PIECE, {"do_lower_case": False}, cls="DistilBertTokenizer")
    folder("bert without a model type", None, WORD_PIECE, {"do_lower_case": False}, cls="BertTokenizerFast")
    folder("bert electra class", "bert", WORD_PIECE, {}, cls="ElectraTokenizer")
    folder("bert added_tokens", "bert", WORD_PIECE, added_tokens={"<new>": 260})
    folder("bert special_tokens_map", "bert", WORD_PIECE, special_tokens_map={"cls_token": "[CLS]", "mask_token": PLAIN("[MASK]", lstrip=True), "additional_special_tokens": ["<new>"]})
    folder("bert added_tokens_decoder", "bert", WORD_PIECE, {"added_tokens_decoder": {"0": PLAIN("[PAD]"), "260": PLAIN("<new>", special=False, normalized=True)}})
    folder("bert additional_special_tokens", "bert", WORD_PIECE, {"additional_special_tokens": ["<new>", "<New>"]})
    folder("bert other frame", "bert", WORD_PIECE, {"cls_token": "[unused0]", "sep_token": "[PAD]"})
    folder("mpnet", "mpnet", MPNET)
    folder("mpnet cased", "mpnet", MPNET, {"do_lower_case": False}, cls="MPNetTokenizer")
    folder("mpnet strip_accents false", "mpnet", MPNET, {"strip_accents": False, "tokenize_chinese_chars": False})
    folder("mpnet added_tokens", "mpnet", MPNET, added_tokens={"<new>": 260})

    # Byte-level BPE.
    for model_type in ["gpt2", "gpt_neo", "gptj", "phi"]:
        folder(model_type, model_type, BYTE_LEVEL("gpt2"))
    for name, keys in [
        ("add_bos_token", {"add_bos_token": True}), ("add_eos_token", {"add_eos_token": True}), ("both", {"add_bos_token": True, "add_eos_token": True}),
        ("add_bos_token false", {"add_bos_token": False}), ("add_prefix_space", {"add_prefix_space": True}), ("new token", NEW), ("pad token", {"pad_token": "<pad>"}),
        ("unknown named", {"unk_token": "<unk>", "bos_token": "<bos>", "add_bos_token": True}),
        ("eos as object", {"eos_token": {"__type": "AddedToken", **PLAIN("<|endoftext|>", lstrip=True)}}),
        ("no unknown", {"unk_token": None}),
    ]:
        folder(f"gpt2 {name}", "gpt2", BYTE_LEVEL("gpt2"), keys)
    folder("gptj class gpt2", "gptj", BYTE_LEVEL("gpt2"), {"add_prefix_space": True}, cls="GPT2Tokenizer")
    folder("phi class codegen", "phi", BYTE_LEVEL("gpt2"), {"add_prefix_space": False}, cls="CodeGenTokenizer")
    folder("opt", "opt", BYTE_LEVEL("roberta"))
    opt = {"add_bos_token": True, "bos_token": "</s>", "eos_token": "</s>", "unk_token": "</s>", "pad_token": "<pad>", "errors": "replace"}
    folder("opt as published", "opt", BYTE_LEVEL("roberta"), opt, cls="GPT2Tokenizer")
    folder("opt without bos", "opt", BYTE_LEVEL("roberta"), {**opt, "add_bos_token": False}, cls="GPT2Tokenizer")
    folder("gpt_neox", "gpt_neox", BYTE_LEVEL("neox"))
    folder("gpt_neox add_bos_token", "gpt_neox", BYTE_LEVEL("neox"), {"add_bos_token": True, "add_prefix_space": True}, cls="GPTNeoXTokenizer")
    for model_type in ["roberta", "bart"]:
        folder(model_type, model_type, BYTE_LEVEL("roberta"))
    folder("roberta add_prefix_space", "roberta", BYTE_LEVEL("roberta"), {"add_prefix_space": True}, cls="RobertaTokenizer")
    folder("roberta mask as published", "roberta", BYTE_LEVEL("roberta"), {"trim_offsets": True}, special_tokens_map={"mask_token": {"content": "<mask>", "lstrip": True, "rstrip": False, "normalized": False, "single_word": False}})
    folder("roberta other frame", "roberta", BYTE_LEVEL("roberta"), {"cls_token": "<pad>", "sep_token": "<unk>"})
    folder("bart class", "bart", BYTE_LEVEL("roberta"), {}, cls="BartTokenizer")
    folder("roberta add_eos_token", "roberta", BYTE_LEVEL("roberta"), {"add_eos_token": True, "add_bos_token": False})
    folder("deberta", "deberta", BYTE_LEVEL("deberta"))
    folder("deberta class", "deberta", BYTE_LEVEL("deberta"), {"do_lower_case": False, "vocab_type": "gpt2"}, cls="DebertaTokenizer")
    folder("deberta add_prefix_space", "deberta", BYTE_LEVEL("deberta"), {"add_prefix_space": True, **NEW})
    for model_type in ["qwen2", "qwen3"]:
        folder(model_type, model_type, BYTE_LEVEL("qwen2"))
        folder(f"{model_type} as published", model_type, BYTE_LEVEL("qwen2"), {
            "add_prefix_space": False, "bos_token": None, "eos_token": "<|im_end|>", "pad_token": "<|endoftext|>", "unk_token": None,
            "additional_special_tokens": ["<|im_start|>", "<|im_end|>"], "errors": "replace", "split_special_tokens": False}, cls="Qwen2Tokenizer")
    folder("qwen2 add_prefix_space", "qwen2", BYTE_LEVEL("qwen2"), {"add_prefix_space": True, "add_eos_token": True})

    # BPE with word suffixes.
    folder("openai-gpt", "openai-gpt", GPT1)
    folder("openai-gpt class", "openai-gpt", GPT1, {"do_lower_case": False, "additional_special_tokens": ["<new>"]}, cls="OpenAIGPTTokenizer")
    folder("openai-gpt add_bos_token", "openai-gpt", GPT1, {"add_bos_token": True, "bos_token": "<s>"})

    # SentencePiece, Unigram.
    albert = {"spiece.model": "albert.model"}
    folder("albert", "albert", albert)
    for key, value in [("do_lower_case", False), ("keep_accents", True), ("remove_space", False), ("add_prefix_space", False)]:
        folder(f"albert {key} {value}".lower(), "albert", albert, {key: value})
    folder("albert class", "albert", albert, {"mask_token": {"__type": "AddedToken", **PLAIN("[MASK]", lstrip=True)}}, cls="AlbertTokenizer")
    folder("albert in tokenizer.model", "albert", {"tokenizer.model": "albert.model"})
    for model_type in ["t5", "mt5"]:
        folder(model_type, model_type, {"spiece.model": "t5.model"})
    folder("t5 extra_ids", "t5", {"spiece.model": "t5.model"}, {"extra_ids": 3}, cls="T5Tokenizer")
    folder("t5 no extra_ids", "t5", {"spiece.model": "t5.model"}, {"extra_ids": 0})
    folder("t5 as published", "t5", {"spiece.model": "t5.model"}, {"extra_ids": 2, "additional_special_tokens": ["<extra_id_0>", "<extra_id_1>"]}, cls="T5Tokenizer")
    v2 = {"spm.model": "deberta_v2.model"}
    folder("deberta-v2", "deberta-v2", v2)
    folder("deberta-v2 as published", "deberta-v2", v2, {"do_lower_case": False, "vocab_type": "spm"})
    folder("deberta-v2 do_lower_case", "deberta-v2", v2, {"do_lower_case": True}, cls="DebertaV2Tokenizer")
    folder("deberta-v2 split_by_punct", "deberta-v2", v2, {"split_by_punct": True})
    folder("deberta-v2 add_prefix_space false", "deberta-v2", v2, {"add_prefix_space": False})
    folder("deberta-v2 mask added", "deberta-v2", v2, added_tokens={"[MASK]": 240})
    fairseq = {"sentencepiece.bpe.model": "fairseq.model"}
    for model_type in ["xlm-roberta", "camembert", "mbart"]:
        folder(model_type, model_type, fairseq)
        folder(f"{model_type} new token", model_type, fairseq, {"additional_special_tokens": ["<new>"]})
    folder("xlm-roberta class", "xlm-roberta", fairseq, {"mask_token": {"__type": "AddedToken", **PLAIN("<mask>", lstrip=True)}}, cls="XLMRobertaTokenizer")
    folder("xlm-roberta add_prefix_space false", "xlm-roberta", fairseq, {"add_prefix_space": False})
    folder("camembert add_prefix_space false", "camembert", fairseq, {"add_prefix_space": False}, cls="CamembertTokenizer")
    folder("mbart src_lang", "mbart", fairseq, {"src_lang": "de_DE", "tgt_lang": "en_XX"}, cls="MBartTokenizer")
    folder("mbart50", "mbart", fairseq, {"src_lang": "de_DE"}, cls="MBart50Tokenizer")
    folder("mbart50 default", "mbart", fairseq, {}, cls="MBart50Tokenizer")
    folder("pegasus", "pegasus", {"spiece.model": "pegasus.model"})
    folder("pegasus offset", "pegasus", {"spiece.model": "pegasus.model"}, {"offset": 5}, cls="PegasusTokenizer")
    folder("xlnet", "xlnet", {"spiece.model": "xlnet.model"})
    folder("xlnet lower", "xlnet", {"spiece.model": "xlnet.model"}, {"do_lower_case": True, "keep_accents": True})
    folder("big_bird", "big_bird", {"spiece.model": "big_bird.model"})

    # SentencePiece, BPE.
    llama = {"tokenizer.model": "llama.model"}
    folder("llama", "llama", llama)
    for name, keys in [
        ("as published", {"add_bos_token": True, "add_eos_token": False, "legacy": False}), ("legacy", {"add_bos_token": True, "legacy": True}), ("add_eos_token", {"add_eos_token": True}),
        ("no bos", {"add_bos_token": False}), ("add_prefix_space false", {"add_prefix_space": False}), ("pad token", {"pad_token": "<pad>", "add_bos_token": True}),
    ]:
        folder(f"llama {name}", "llama", llama, keys, cls="LlamaTokenizer")
        folder(f"mistral {name}", "mistral", llama, keys, cls="LlamaTokenizer")
    folder("llama without a class", "llama", llama, {"add_bos_token": True})
    folder("llama fast class", "llama", llama, {"add_bos_token": True}, cls="LlamaTokenizerFast")
    folder("mistral", "mistral", llama)
    folder("mistral strips", "mistral", {"tokenizer.model": "mistral.model"}, {"add_bos_token": True, "legacy": True})
    folder("mistral strips, not legacy", "mistral", {"tokenizer.model": "mistral.model"}, {"legacy": False})
    folder("mistral unigram", "mistral", {"tokenizer.model": "t5.model"}, {"add_eos_token": True})
    for model_type in ["gemma", "gemma3_text"]:
        folder(model_type, model_type, {"tokenizer.model": "gemma.model"})
        folder(f"{model_type} as published", model_type, {"tokenizer.model": "gemma.model"}, {"add_bos_token": True, "add_eos_token": False}, cls="GemmaTokenizer")

    for model_type in ["gemma", "llama"]:
        folder(f"{model_type} as bytes", model_type, BYTE_LEVEL("gpt2"))

    # Classes that do not use the `tokenizers` crate.
    folder("ctrl", "ctrl", GPT1)
    folder("xlm", "xlm", GPT1)
    folder("modernbert", "modernbert", BYTE_LEVEL("gpt2"))


# Folders with `tokenizer.json` and other files.


def whole(name):
    return {"tokenizer.json": f"{name.replace(' ', '_')}-tokenizer.json"}


def described(name, edit=lambda backend: None):
    """Stores a folder's `tokenizer.json` as material, under the folder's name."""
    entry = next(entry for entry in FOLDERS if entry["name"] == name)
    with tempfile.TemporaryDirectory() as directory:
        backend = json.loads(AutoTokenizer.from_pretrained(fill(Path(directory), entry)).backend_tokenizer.to_str())
    edit(backend)
    compact(MATERIAL / whole(name)["tokenizer.json"], backend)


def beside():
    with_rules = lambda backend: backend.update(pre_tokenizer=None, normalizer={"type": "Sequence", "normalizers": [
        {"type": "Prepend", "prepend": "▁"}, {"type": "Replace", "pattern": {"String": " "}, "content": "▁"}]})
    for name in ["bert", "mpnet", "gpt2", "roberta", "deberta", "gpt_neox", "qwen2", "albert", "deberta-v2", "xlm-roberta", "camembert", "t5", "mbart", "xlnet", "openai-gpt"]:
        described(name)
        folder(f"{name} beside nothing", name, whole(name))
        folder(f"{name} beside new tokens", name, whole(name), {"additional_special_tokens": ["<new>"]})
    described("bert do_lower_case false")
    described("llama legacy", with_rules)
    for file in ["bert", "bert do_lower_case false"]:
        for keys in [{"do_lower_case": False}, {"do_lower_case": True}, {"strip_accents": False}, {"strip_accents": True, "do_lower_case": False}, {"tokenize_chinese_chars": False}]:
            folder(f"{file} beside {json.dumps(keys)[1:-1]}", "bert", whole(file), keys, cls="BertTokenizer")
        folder(f"{file} beside a class of its own", "bert", whole(file), {"do_lower_case": True}, cls="PreTrainedTokenizerFast")
        folder(f"{file} beside a type", "bert", whole(file))
    listed = {"added_tokens_decoder": {"0": PLAIN("[PAD]"), "4": PLAIN("[MASK]", lstrip=True), "194": PLAIN("<new>", special=False, normalized=True)}}
    folder("bert beside added_tokens_decoder", "bert", whole("bert"), listed, cls="BertTokenizer")
    folder("backend beside added_tokens_decoder", "bert", whole("bert"), listed, cls="PreTrainedTokenizerFast")
    folder("bert beside added_tokens", "bert", whole("bert"), added_tokens={"<new>": 194})
    folder("bert beside special_tokens_map", "bert", whole("bert"), special_tokens_map={"mask_token": PLAIN("[MASK]", lstrip=True), "additional_special_tokens": ["<new>"]})
    folder("bert beside another frame", "bert", whole("bert"), {"cls_token": "[unused0]"})
    folder("mpnet beside do_lower_case", "mpnet", whole("mpnet"), {"do_lower_case": False}, cls="MPNetTokenizer")
    for name in ["gpt2", "roberta", "deberta", "gpt_neox", "qwen2"]:
        folder(f"{name} beside add_prefix_space", name, whole(name), {"add_prefix_space": True})
    for name in ["gpt2", "qwen2", "openai-gpt"]:
        folder(f"{name} beside add_bos_token", name, whole(name), {"add_bos_token": True, "bos_token": "<|endoftext|>", "add_eos_token": True})
    for name in ["albert", "xlm-roberta", "deberta-v2", "camembert"]:
        folder(f"{name} beside add_prefix_space", name, whole(name), {"add_prefix_space": False})
        folder(f"{name} beside do_lower_case", name, whole(name), {"do_lower_case": name == "deberta-v2"})
    folder("albert beside keep_accents", "albert", whole("albert"), {"keep_accents": True, "do_lower_case": True})
    folder("deberta-v2 beside split_by_punct", "deberta-v2", whole("deberta-v2"), {"split_by_punct": True})
    folder("xlnet beside do_lower_case", "xlnet", whole("xlnet"), {"do_lower_case": True})
    folder("mbart beside src_lang", "mbart", whole("mbart"), {"src_lang": "de_DE"}, cls="MBartTokenizer")
    for keys in [{"legacy": False}, {"legacy": True}, {"add_prefix_space": False}, {"legacy": False, "add_prefix_space": True}]:
        folder(f"llama beside {json.dumps(keys)[1:-1]}", "llama", whole("llama legacy"), keys, cls="LlamaTokenizer")

    # sentence-transformers: `do_lower_case` in its own file, and the transformer in a subfolder.
    modules = lambda path: [{"idx": 0, "name": "0", "path": path, "type": "sentence_transformers.models.Transformer"}]
    for lowers in [False, True]:
        folder(f"sentences do_lower_case {lowers}".lower(), "bert", whole("bert do_lower_case false"), {"do_lower_case": False}, cls="BertTokenizer",
               modules=modules(""), sentence_bert_config={"max_seq_length": 32, "do_lower_case": lowers})
    folder("sentences of roberta", "roberta", whole("roberta"), {}, modules=modules(""), sentence_roberta_config={"do_lower_case": True})


def ids(tokenizer):
    one = lambda *text: tokenizer(*text)["input_ids"]
    return {"texts": [[text, one(text)] for text in TRY], "pairs": [[*pair, one(*pair), tokenizer(*pair).get("token_type_ids")] for pair in PAIRS]}


def fill(directory, entry):
    for name, source in entry["material"].items():
        shutil.copy(MATERIAL / source, directory / name)
    for name, value in entry["json"].items():
        (directory / name).write_text(json.dumps(value))
    return directory


def sentence_tokenizer(directory):
    """The tokenizer of a sentence-transformers folder, loaded together with a minimal model."""
    from sentence_transformers import SentenceTransformer
    from transformers import AutoConfig, AutoModel

    config = AutoConfig.from_pretrained(directory)
    config.update(dict(vocab_size=400, hidden_size=8, num_hidden_layers=1, num_attention_heads=1, intermediate_size=8))
    AutoModel.from_config(config).save_pretrained(directory)
    return SentenceTransformer(str(directory), device="cpu").tokenizer


def answer(entry, show=False):
    with tempfile.TemporaryDirectory() as directory:
        directory = fill(Path(directory), entry)
        try:
            tokenizer = sentence_tokenizer(directory) if "modules.json" in entry["json"] else AutoTokenizer.from_pretrained(directory)
            if show:
                backend = json.loads(tokenizer.backend_tokenizer.to_str())
                for key in ("vocab", "merges"):
                    if key in backend["model"]:
                        backend["model"][key] = len(backend["model"][key])
                print(entry["name"], type(tokenizer).__name__, json.dumps(backend, ensure_ascii=False), "\n")
            return ids(tokenizer)
        except Exception as error:
            if show:
                print(entry["name"], "FAILED", type(error).__name__, str(error)[:300], "\n")
            return {"failed": type(error).__name__}


if __name__ == "__main__":
    wanted = sys.argv[1:]
    if not wanted:
        material()
    folders()
    beside()
    for entry in FOLDERS:
        if not wanted or any(entry["name"].startswith(name) for name in wanted):
            entry.update(answer(entry, bool(wanted)))
    if not wanted:
        rows = ",\n".join(json.dumps(entry, ensure_ascii=False, separators=(",", ":")) for entry in FOLDERS)
        (HERE / "expected.json").write_text(f"[\n{rows}\n]\n", encoding="utf-8")
