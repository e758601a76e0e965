"""Writes small tokenizers of every kind, and texts that are hard to tokenize.

    pip install -r tests/tokenizers/requirements.txt
    python tests/tokenizers/make.py

Each folder gets a `tokenizer.json` with the parts of a model family's tokenizer, and a vocabulary trained on the sentences below.
`corpus.jsonl` gets one JSON string per line. The files are equal in every run with these versions.
"""

import base64
import json
import random
import tempfile
from pathlib import Path

import sentencepiece
from sentencepiece import sentencepiece_model_pb2
from tokenizers import (
    AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers,
)

HERE = Path(__file__).parent

SENTENCES = """
The lamp in the kitchen is on, and the one in the hall isn't. Turn it off at 18:30, please!
We'll see what they've said; I'm sure it's fine. Don't you think so? "Yes", she said -- 'perhaps'.
Une soirée d'été à la fenêtre, où le garçon naïf goûtait des crêpes brûlées. Ça va, Noël?
Über den Dächern grüßt die Straße; die Äpfel fallen größer, als man's wüßte. Zwölf Boxkämpfer.
El niño comió una piña en la montaña. ¿Cuántos años tiene? ¡Mañana será otro día!
Mały żółw niósł łódkę przez źródło, gdzie śpiewała gęś. Příliš žluťoučký kůň.
Ветер носил листья по двору, и ёжик спал под ёлкой. Где мой чай? Объём большой.
Ο άνεμος φυσούσε στη θάλασσα και οι βάρκες έμεναν στο λιμάνι. Τι ώρα είναι;
小さな猫が窓のそばで眠っている。カーテンが風に揺れた。がぎぐげご、パピプペポ。
雨停了,孩子们在院子里玩。今天星期三,气温二十度。我们去图书馆吧!
작은 고양이가 창가에서 잔다. 오늘은 비가 온다. 우리는 집에 간다.
القطة الصغيرة تنام قرب النافذة. اليوم السماء صافية، والجو جميل.
החתול הקטן ישן ליד החלון. היום יורד גשם, ואנחנו בבית.
छोटी बिल्ली खिड़की के पास सो रही है। आज बारिश हो रही है।
แมวตัวเล็กนอนอยู่ข้างหน้าต่าง วันนี้ฝนตก เราอยู่บ้าน
def add(a, b):\n    return a + b  # sums\nfor i in range(10):\n\tprint(f"{i}: {add(i, 2)}")\n
x = 3.14159 * (2 ** 10) / 1,000,000; y += 0x1F; z != w && v || u; <html><body class="a">&amp;</body></html>
Smile 😀 and wave 👋🏽, family 👨‍👩‍👧, flag 🇫🇷, heart ❤️, keycap 3️⃣, rocket 🚀.
A week has seven days: Monday, Tuesday, Wednesday, Thursday, Friday, Saturday, Sunday. 1 2 3 45 678 9012
The quick foxes were jumping, jumped, jump; slow dogs sleeping, slept, sleep. unhappiness happily unhappy happier
""".strip().splitlines()
TEXTS = [line.replace("\\n", "\n").replace("\\t", "\t") for line in SENTENCES] * 3

# Custom normalization rules for SentencePiece: strings and their replacements.
RULES = {
    "ﬁ": "fi", "ﬂ": "fl", "½": "1⁄2", "①": "1", "™": "TM", "Ａ": "A", "ａ": "a", "　": " ", "\u00a0": " ", "\t": " ",
    "\n": " ", "\r": " ", "\u200d": " ", "\ufeff": " ", "\u200b": "", "\u00ad": "", "\x01": "", "e\u0301": "é", "u\u0308": "ü",
    "か\u3099": "が", "\u1100\u1161": "가", "ﷺ": "صلى الله عليه وسلم", "…": "...", "“": '"', "”": '"', "ǆ": "dž",
}


def charsmap():
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        code = lambda text: " ".join(f"{ord(c):X}" for c in text)
        (folder / "rules.tsv").write_text("".join(f"{code(a)}\t{code(b)}\n" for a, b in RULES.items()))
        (folder / "text.txt").write_text("\n".join(TEXTS))
        sentencepiece.SentencePieceTrainer.train(
            input=str(folder / "text.txt"), model_prefix=str(folder / "m"), vocab_size=400, hard_vocab_limit=False,
            normalization_rule_tsv=str(folder / "rules.tsv"), minloglevel=2)
        model = sentencepiece_model_pb2.ModelProto()
        model.ParseFromString((folder / "m.model").read_bytes())
        return base64.b64encode(model.normalizer_spec.precompiled_charsmap).decode()


def special(*tokens):
    return [AddedToken(token, special=True, normalized=False) for token in tokens]


def frame(tokenizer, single, pair, *names):
    return processors.TemplateProcessing(single=single, pair=pair, special_tokens=[(n, tokenizer.token_to_id(n)) for n in names])


def save(name, tokenizer, edit=lambda data: None):
    data = json.loads(tokenizer.to_str())
    edit(data)
    folder = HERE / name
    folder.mkdir(exist_ok=True)
    (folder / "tokenizer.json").write_text(json.dumps(data, ensure_ascii=False, separators=(",", ":")) + "\n")
    Tokenizer.from_file(str(folder / "tokenizer.json"))


def word_piece(name, **normalizer):
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]", max_input_chars_per_word=100))
    tokenizer.normalizer = normalizers.BertNormalizer(**normalizer)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    names = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    tokenizer.train_from_iterator(TEXTS, trainers.WordPieceTrainer(vocab_size=900, special_tokens=special(*names), show_progress=False))
    tokenizer.post_processor = frame(tokenizer, "[CLS]:0 $A:0 [SEP]:0", "[CLS]:0 $A:0 [SEP]:0 $B:1 [SEP]:1", "[CLS]", "[SEP]")
    tokenizer.decoder = decoders.WordPiece()
    save(name, tokenizer)


def byte_level(name, split=None, prefix=False, names=("<|endoftext|>",), extra=(), normalizer=None, post=None, edit=lambda data: None):
    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizer
    level = pre_tokenizers.ByteLevel(add_prefix_space=prefix, use_regex=split is None)
    tokenizer.pre_tokenizer = level if split is None else pre_tokenizers.Sequence([pre_tokenizers.Split(Regex(split), "isolated"), level])
    trainer = trainers.BpeTrainer(vocab_size=800, special_tokens=special(*names), show_progress=False,
                                  initial_alphabet=pre_tokenizers.ByteLevel.alphabet())
    tokenizer.train_from_iterator(TEXTS, trainer)
    tokenizer.add_tokens(list(extra))
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.post_processor = post(tokenizer) if post else processors.ByteLevel(trim_offsets=False)
    save(name, tokenizer, edit)


def sentence_piece_bpe(name, normalizer, pre=None, strip=1, edit=lambda data: None):
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    tokenizer.normalizer = normalizer
    tokenizer.pre_tokenizer = pre
    # Merges must not cross words, so training replaces spaces by a visible character and splits there.
    words = Tokenizer(models.BPE(unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    words.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="always")
    names = ["<unk>", "<s>", "</s>"] + [f"<0x{byte:02X}>" for byte in range(256)]
    words.train_from_iterator(TEXTS[:12], trainers.BpeTrainer(vocab_size=700, special_tokens=special(*names), show_progress=False))
    tokenizer.model = words.model
    tokenizer.add_special_tokens(special("<unk>", "<s>", "</s>"))
    tokenizer.post_processor = frame(tokenizer, "<s> $A", "<s> $A <s>:1 $B:1", "<s>")
    steps = [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()]
    tokenizer.decoder = decoders.Sequence(steps + ([decoders.Strip(" ", strip, 0)] if strip else []))
    save(name, tokenizer, edit)


def unigram(name, steps, pre, names, frames, byte_fallback=False, size=700):
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.normalizer = normalizers.Sequence(steps)
    tokenizer.pre_tokenizer = pre
    unknown = next(token for token in names if "unk" in token)
    trainer = trainers.UnigramTrainer(vocab_size=size, special_tokens=special(*names), unk_token=unknown, show_progress=False)
    tokenizer.train_from_iterator(TEXTS, trainer)
    tokenizer.post_processor = frame(tokenizer, *frames) if frames else None
    tokenizer.decoder = decoders.Metaspace()

    def edit(data):
        # Training sums in a random order, so scores are rounded to the three digits that are reproducible.
        data["model"]["vocab"] = [[piece, round(score, 3)] for piece, score in data["model"]["vocab"]]
        if byte_fallback:
            data["model"]["byte_fallback"] = True
            data["model"]["vocab"] += [[f"<0x{byte:02X}>", 0.0] for byte in range(256)]

    save(name, tokenizer, edit)


def word_suffix(name, normalizer, pre, decoder, unknown="<unk>", post=None):
    tokenizer = Tokenizer(models.BPE(unk_token=unknown, end_of_word_suffix="</w>"))
    tokenizer.normalizer, tokenizer.pre_tokenizer, tokenizer.decoder = normalizer, pre, decoder
    names = ["<unk>", "<s>", "</s>"]
    tokenizer.train_from_iterator(TEXTS, trainers.BpeTrainer(vocab_size=900, special_tokens=special(*names), end_of_word_suffix="</w>", show_progress=False))
    if post:
        tokenizer.post_processor = post(tokenizer)
    save(name, tokenizer)


LLAMA_3 = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+")
QWEN_2 = LLAMA_3.replace(r"\p{N}{1,3}", r"\p{N}")
CL100K = (r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]++[\r\n]*|\s*[\r\n]|\s+(?!\S)|\s+")


def tokenizers():
    # WordPiece: BERT, cased or uncased, with or without accents.
    word_piece("bert_uncased", lowercase=True)
    word_piece("bert_cased", lowercase=False)
    word_piece("bert_accents", lowercase=True, strip_accents=False, handle_chinese_chars=False)
    word_piece("bert_plain", lowercase=False, strip_accents=True, clean_text=False)

    # Byte-level BPE, with the pre-tokenizers of several families.
    spaces = [AddedToken(" " * count, normalized=True) for count in range(24, 1, -1)]
    mask = AddedToken("<mask>", lstrip=True, special=True, normalized=False)
    roberta = lambda t: processors.RobertaProcessing(("</s>", t.token_to_id("</s>")), ("<s>", t.token_to_id("<s>")), trim_offsets=True, add_prefix_space=False)
    llama = lambda t: processors.Sequence([processors.ByteLevel(trim_offsets=False), frame(t, "<|begin|> $A", "<|begin|> $A <|begin|>:1 $B:1", "<|begin|>")])
    ignore = lambda data: data["model"].update(ignore_merges=True)
    byte_level("gpt2")
    byte_level("gpt2_prefixed", prefix=True, post=lambda t: processors.ByteLevel(trim_offsets=True))
    byte_level("roberta", names=["<s>", "<pad>", "</s>", "<unk>"], extra=[mask], post=roberta)
    byte_level("neox", normalizer=normalizers.NFC(), extra=spaces, names=["<|endoftext|>", "<|padding|>"], post=lambda t: processors.ByteLevel(trim_offsets=True))
    byte_level("llama3", split=LLAMA_3, names=["<|begin|>", "<|end|>"], post=llama, edit=ignore)
    byte_level("qwen2", split=QWEN_2, normalizer=normalizers.NFC(), names=["<|endoftext|>", "<|im_start|>"])
    byte_level("cl100k", split=CL100K)
    byte_level("nfkc", normalizer=normalizers.NFKC())
    byte_level("words", extra=[AddedToken("lamp", single_word=True), AddedToken("Haus", rstrip=True, lstrip=True), AddedToken("KITCHEN", normalized=True)],
               normalizer=normalizers.Lowercase())

    # SentencePiece BPE with byte fallback.
    marked = [normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")]
    sentence_piece_bpe("llama2", normalizers.Sequence(marked))
    sentence_piece_bpe("llama2_first", None, pre_tokenizers.Metaspace(prepend_scheme="first", split=False))
    sentence_piece_bpe("gemma", normalizers.Replace(" ", "▁"), pre_tokenizers.Split(" ", "merged_with_previous"), strip=0)

    # Unigram.
    rules = {"type": "Precompiled", "precompiled_charsmap": charsmap()}
    precompiled = normalizers.Precompiled(base64.b64decode(rules["precompiled_charsmap"]))
    single = normalizers.Replace(Regex(" {2,}"), " ")
    quotes = [normalizers.Replace("``", '"'), normalizers.Replace("''", '"'), normalizers.NFKD(), normalizers.StripAccents(), normalizers.Lowercase()]
    space = pre_tokenizers.Metaspace()
    split_space = pre_tokenizers.Sequence([pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Metaspace()])
    ends = ("$A </s>", "$A </s> $B </s>", "</s>")
    bert = ("[CLS] $A [SEP]", "[CLS] $A [SEP] $B:1 [SEP]:1", "[CLS]", "[SEP]")
    unigram("t5", [precompiled, single], split_space, ["<pad>", "</s>", "<unk>", "<extra_id_0>"], ends)
    unigram("albert", quotes + [precompiled, single], split_space, ["<pad>", "<unk>", "[CLS]", "[SEP]", "[MASK]"], bert)
    unigram("xlm_roberta", [precompiled], split_space, ["<s>", "<pad>", "</s>", "<unk>"], ("<s> $A </s>", "<s> $A </s> </s> $B </s>", "<s>", "</s>"))
    unigram("deberta_v3", [normalizers.Strip(left=True, right=True), precompiled, single], space, ["[PAD]", "[CLS]", "[SEP]", "[unk]"], bert, byte_fallback=True)
    unigram("marian", [precompiled, single], split_space, ["</s>", "<unk>"], ("$A </s>", "$A $B </s>", "</s>"))
    unigram("pegasus", [precompiled, normalizers.Strip(left=False, right=True), normalizers.Replace(Regex(" {2,}"), "▁")], space, ["<pad>", "</s>", "<unk>"], ends)

    # BPE whose words end in a suffix.
    clip = Regex(r"<\|startoftext\|>|<\|endoftext\|>|'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+")
    word_suffix("gpt1", normalizers.BertNormalizer(lowercase=True), pre_tokenizers.BertPreTokenizer(), decoders.BPEDecoder())
    word_suffix("xlm", normalizers.Sequence([normalizers.NFD(), normalizers.StripAccents(), normalizers.Lowercase()]), pre_tokenizers.Sequence(
        [pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Punctuation()]), decoders.BPEDecoder(),
        post=lambda t: frame(t, "</s> $A </s>", "</s> $A </s> $B </s>", "</s>"))
    word_suffix("clip", normalizers.Sequence([normalizers.NFC(), normalizers.Replace(Regex(r"\s+"), " "), normalizers.Lowercase()]), pre_tokenizers.Sequence(
        [pre_tokenizers.Split(clip, "removed", invert=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]), decoders.ByteLevel())

    # Words and characters.
    words = Tokenizer(models.WordLevel(unk_token="[UNK]"))
    words.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Whitespace(), pre_tokenizers.Digits(individual_digits=True)])
    words.train_from_iterator(TEXTS, trainers.WordLevelTrainer(vocab_size=500, special_tokens=special("[UNK]", "[PAD]"), show_progress=False))
    save("words_level", words)
    characters = Tokenizer(models.BPE(unk_token="<unk>"))
    characters.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Punctuation("merged_with_previous"), pre_tokenizers.Digits()])
    characters.train_from_iterator(TEXTS, trainers.BpeTrainer(vocab_size=10, special_tokens=special("<unk>"), show_progress=False))
    characters.decoder = decoders.Fuse()
    save("characters", characters)


# Fragments that are combined to hard texts.
FRAGMENTS = [
    "a", "B", "é", "e\u0301", "E\u0301", "ü", "u\u0308", " ", "  ", "   ", "\n", "\n\n", "\t", "\r\n", "\u00a0", "\u3000", "\u2003", "\u2028", "\x85",
    "中", "文", "の", "が", "か\u3099", "パ", "ﾊ\uff9f", "가", "\u1100\u1161\u11a8", "\u1100", "\u1161", "\u11a8", "한", "ไ", "ท", "ำ", "न", "क्", "ष", "ि", "क्ष",
    "\u200d", "\u094d\u200d", "א", "שׁ", "ا", "لا", "ﷺ", "Ж", "ё", "е\u0308", "Σ", "ς", "ΑΣ", "İ", "ı", "ß", "ẞ", "ǅ", "ŉ", "ﬁ", "½", "①", "™", "Ⅳ", "Ａ",
    "𝒜", "𝟙", "😀", "👍🏽", "👨\u200d👩\u200d👧", "🇫🇷", "🇩", "❤\ufe0f", "3\ufe0f\u20e3", "\U000e0100", "\u0301", "\u0323", "\u0302\u0323", "\u0345", "\u0d4e", "\u0600",
    "\u200b", "\ufeff", "\u00ad", "\x00", "\x01", "\x7f", "\ufffd", "\ue000", "\U0010ffff", "1", "23", "456", "7890", "٣", "Ⅷ", "'", "'s", "'S", "n't", "'ll", "’s",
    ".", ",", "!", "?", "...", "…", "-", "--", "—", "_", "#", "##", "$", "€", "@", "&", "``", "''", "\"", "“", "(", ")", "[", "]", "{", "}", "/", "\\", "|", "<", ">",
    "▁", "▁▁", "Ġ", "</w>", "<0x41>", "<s>", "</s>", "<unk>", "<pad>", "<mask>", " <mask> ", "[CLS]", "[SEP]", "[MASK]", "[UNK]", "<|endoftext|>", "<|begin|>",
    "<extra_id_0>", "lamp", "lamps", " lamp ", "Haus", "KITCHEN", "kitchen", "the", " the", "The", "unhappy", "jumping", "def f(x):\n    return x", "http://a.b/c?d=e",
]
WHOLE = [
    "", " ", "\n", "a" * 101, "a" * 100, "x" * 300, "ab" * 200, " " * 50, "\u0301" * 40, "e" + "\u0301\u0323" * 30, "中" * 60, "é" * 120, "'" * 40, "1" * 64, "\n" * 30, " \n" * 20,
    "\u1100\u1161\u11a8" * 20, "क्" * 20 + "ष", "🇫🇷" * 9 + "🇫", "👍🏽" * 12, "<s>" * 10, "[MASK]" * 8, "   leading", "trailing   ", "  both  ", "tab\tand\nline\r\nend",
    "aaaa aaaa aaaaa aaaaaa", "a b c d e f g", "A\u030a Å Å", "q\u0307\u0323 q\u0323\u0307", "ệ ê\u0323 e\u0323\u0302 e\u0302\u0323", "ΑΣ ΑΣΑ ὈΔΥΣΣΕΎΣ", "DŽ Dž dž ǄǅǆǇ",
]


def corpus():
    random.seed(20)
    texts = list(WHOLE) + TEXTS[: len(SENTENCES)] + [text.upper() for text in TEXTS[: len(SENTENCES)]] + FRAGMENTS
    while len(texts) < 2200:
        texts.append("".join(random.choice(FRAGMENTS) for _ in range(random.randint(2, 14))))
    (HERE / "corpus.jsonl").write_text("".join(json.dumps(text) + "\n" for text in texts))


if __name__ == "__main__":
    tokenizers()
    corpus()
