//! The tokenizer classes of `transformers` as data: which files each class reads, and how.
//!
//! `tokenizer_class` names the class of a folder, or else `model_type` does. A class is described
//! in the format of `tokenizer.json`, so that one converter serves both.

use super::sentence_piece::{Layout, Unknown};
use super::settings::Settings;

/// A tokenizer class.
#[derive(Debug)]
pub(super) struct Class {
    /// The names of the class, without `Fast`.
    pub(super) names: &'static [&'static str],
    /// The model types that use the class unless they name another.
    pub(super) model_types: &'static [&'static str],
    /// The files of its vocabulary.
    pub(super) vocabulary: Vocabulary,
    /// The change to a text before it is split.
    pub(super) normalizer: Normalizer,
    /// The way a text is split.
    pub(super) split: Split,
    /// The special tokens around a text.
    pub(super) frame: Frame,
    /// The special tokens by name.
    pub(super) tokens: &'static [(&'static str, &'static str)],
    /// Whether the mask token includes the space before it, unless the files describe the token.
    pub(super) mask_strips: bool,
}

/// The file and format of a vocabulary.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Vocabulary {
    /// `vocab.txt`: WordPiece.
    Words,
    /// `vocab.json` and `merges.txt`: BPE on bytes.
    Bytes,
    /// `vocab.json` and `merges.txt`: BPE on characters, whose words end in `</w>`.
    Suffixes,
    /// A SentencePiece file of this name, read as Unigram.
    Pieces(&'static str, Layout, Unknown),
    /// A SentencePiece file, read as BPE with bytes for unknown characters.
    PiecePairs,
    /// A SentencePiece file, read as its own fields say.
    AsFile,
    /// None: the class does not use the `tokenizers` crate.
    Own,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Normalizer {
    None,
    /// BERT's normalizer, with `do_lower_case`, `strip_accents` and `tokenize_chinese_chars`.
    Bert,
    /// BERT's normalizer, without options.
    Lower,
    Nfc,
    /// Normalizes quotes, accents and case, and applies the rules of the file; reads
    /// `keep_accents`.
    Quotes,
    /// Like `Quotes`, and always strips accents.
    QuotesAndAccents,
    /// Normalizes white space, applies NFC, and strips the end; reads `do_lower_case`.
    Spaces,
    /// Applies the rules of the file.
    File,
    /// Applies the rules of the file, then replaces runs of spaces by one space.
    FileAndSpaces,
    /// Like `FileAndSpaces`; without rules, replaces line breaks by spaces.
    FileOrLines,
    /// Replaces runs of spaces by the mark of a word's beginning.
    Runs,
    /// Replaces every space by the mark.
    Marks,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Split {
    Bert,
    /// GPT-2's expression, then bytes.
    ByteLevel,
    /// Qwen 2's expression, then bytes.
    Qwen,
    /// At white space, then at marks; `Prefix` says whether the first word gets one.
    Words(Prefix),
    /// At marks.
    Marks(Prefix),
    /// At punctuation if `split_by_punct` is set, then at marks.
    Punctuation,
    /// No split; marks as `legacy` and `add_prefix_space` say.
    Llama,
    /// At spaces, which stay with the part before them.
    Gemma,
}

/// Whether the first word of a text gets a mark.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Prefix {
    Always,
    /// Unless `add_prefix_space` is false.
    Asked,
}

/// The tokens around one text, and around two. Lower-case words name special tokens, `A` and `B`
/// stand for the texts, and a digit is the segment.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Frame {
    /// The tokens that `add_bos_token` and `add_eos_token` ask for.
    Ends,
    /// Like `Ends` if one of these keys is there, otherwise none.
    EndsIfSaid,
    Template(&'static str, &'static str),
    /// RoBERTa's frame.
    Roberta,
    /// RoBERTa's frame without `add_prefix_space`, for words that do not begin with a space.
    RobertaWords,
}

const BERT_FRAME: Frame = Frame::Template("cls A sep", "cls A sep B1 sep1");
const FAIRSEQ_FRAME: Frame = Frame::Template("bos A eos", "bos A eos eos B eos");
const BERT_TOKENS: &[(&str, &str)] = &[
    ("unk_token", "[UNK]"),
    ("sep_token", "[SEP]"),
    ("pad_token", "[PAD]"),
    ("cls_token", "[CLS]"),
    ("mask_token", "[MASK]"),
];
const DEBERTA_TOKENS: &[(&str, &str)] = &[
    ("bos_token", "[CLS]"),
    ("eos_token", "[SEP]"),
    ("unk_token", "[UNK]"),
    ("sep_token", "[SEP]"),
    ("pad_token", "[PAD]"),
    ("cls_token", "[CLS]"),
    ("mask_token", "[MASK]"),
];
const ROBERTA_TOKENS: &[(&str, &str)] = &[
    ("bos_token", "<s>"),
    ("eos_token", "</s>"),
    ("unk_token", "<unk>"),
    ("sep_token", "</s>"),
    ("pad_token", "<pad>"),
    ("cls_token", "<s>"),
    ("mask_token", "<mask>"),
];
const GPT2_TOKENS: &[(&str, &str)] =
    &[("bos_token", "<|endoftext|>"), ("eos_token", "<|endoftext|>"), ("unk_token", "<|endoftext|>")];
const BPE_FILE: &str = "sentencepiece.bpe.model";

const GPT2: Class = Class {
    names: &["GPT2Tokenizer"],
    model_types: &["gpt2", "gpt_neo", "gptj", "phi", "opt", "codegen", "starcoder2"],
    vocabulary: Vocabulary::Bytes,
    normalizer: Normalizer::None,
    split: Split::ByteLevel,
    frame: Frame::Ends,
    tokens: GPT2_TOKENS,
    mask_strips: false,
};

const T5: Class = Class {
    names: &["T5Tokenizer"],
    model_types: &["t5", "mt5"],
    vocabulary: Vocabulary::Pieces("spiece.model", Layout::Extra, Unknown::Id(2)),
    normalizer: Normalizer::File,
    split: Split::Words(Prefix::Always),
    frame: Frame::Template("A eos", "A eos B eos"),
    tokens: &[("eos_token", "</s>"), ("unk_token", "<unk>"), ("pad_token", "<pad>")],
    mask_strips: false,
};

/// All supported classes. The last one is for models whose class has no rules of its own.
pub(super) const CLASSES: &[Class] = &[
    Class {
        names: &["BertTokenizer", "DistilBertTokenizer", "ElectraTokenizer", "MobileBertTokenizer"],
        model_types: &["bert", "distilbert", "electra", "mobilebert"],
        vocabulary: Vocabulary::Words,
        normalizer: Normalizer::Bert,
        split: Split::Bert,
        frame: BERT_FRAME,
        tokens: BERT_TOKENS,
        mask_strips: false,
    },
    Class {
        names: &["MPNetTokenizer"],
        model_types: &["mpnet"],
        vocabulary: Vocabulary::Words,
        normalizer: Normalizer::Bert,
        split: Split::Bert,
        frame: Frame::RobertaWords,
        tokens: &[
            ("bos_token", "<s>"),
            ("eos_token", "</s>"),
            ("unk_token", "[UNK]"),
            ("sep_token", "</s>"),
            ("pad_token", "<pad>"),
            ("cls_token", "<s>"),
            ("mask_token", "<mask>"),
        ],
        mask_strips: true,
    },
    GPT2,
    Class { names: &["CodeGenTokenizer"], model_types: &[], frame: Frame::EndsIfSaid, ..GPT2 },
    Class {
        names: &["GPTNeoXTokenizer"],
        model_types: &["gpt_neox"],
        normalizer: Normalizer::Nfc,
        tokens: &[
            ("bos_token", "<|endoftext|>"),
            ("eos_token", "<|endoftext|>"),
            ("unk_token", "<|endoftext|>"),
            ("pad_token", "<|padding|>"),
        ],
        ..GPT2
    },
    Class {
        names: &["RobertaTokenizer", "BartTokenizer"],
        model_types: &["roberta", "bart"],
        frame: Frame::Roberta,
        tokens: ROBERTA_TOKENS,
        ..GPT2
    },
    Class {
        names: &["DebertaTokenizer"],
        model_types: &["deberta"],
        frame: Frame::Template("cls A sep", "cls A sep sep B sep"),
        tokens: DEBERTA_TOKENS,
        ..GPT2
    },
    Class {
        names: &["Qwen2Tokenizer"],
        model_types: &["qwen2", "qwen3"],
        normalizer: Normalizer::Nfc,
        split: Split::Qwen,
        tokens: &[("eos_token", "<|endoftext|>"), ("unk_token", "<|endoftext|>"), ("pad_token", "<|endoftext|>")],
        ..GPT2
    },
    Class {
        names: &["OpenAIGPTTokenizer"],
        model_types: &["openai-gpt"],
        vocabulary: Vocabulary::Suffixes,
        normalizer: Normalizer::Lower,
        split: Split::Bert,
        frame: Frame::Ends,
        tokens: &[("unk_token", "<unk>")],
        mask_strips: false,
    },
    Class {
        names: &["AlbertTokenizer"],
        model_types: &["albert"],
        vocabulary: Vocabulary::Pieces("spiece.model", Layout::File, Unknown::Id(1)),
        normalizer: Normalizer::Quotes,
        split: Split::Words(Prefix::Asked),
        frame: BERT_FRAME,
        tokens: &[
            ("bos_token", "[CLS]"),
            ("eos_token", "[SEP]"),
            ("unk_token", "<unk>"),
            ("sep_token", "[SEP]"),
            ("pad_token", "<pad>"),
            ("cls_token", "[CLS]"),
            ("mask_token", "[MASK]"),
        ],
        mask_strips: false,
    },
    T5,
    Class {
        names: &["DebertaV2Tokenizer"],
        model_types: &["deberta-v2"],
        vocabulary: Vocabulary::Pieces("spm.model", Layout::File, Unknown::Named),
        normalizer: Normalizer::Spaces,
        split: Split::Punctuation,
        frame: BERT_FRAME,
        tokens: DEBERTA_TOKENS,
        mask_strips: false,
    },
    Class {
        names: &["XLMRobertaTokenizer"],
        model_types: &["xlm-roberta"],
        vocabulary: Vocabulary::Pieces(BPE_FILE, Layout::Fairseq, Unknown::Id(3)),
        split: Split::Words(Prefix::Asked),
        frame: FAIRSEQ_FRAME,
        tokens: ROBERTA_TOKENS,
        ..T5
    },
    Class {
        names: &["CamembertTokenizer"],
        model_types: &["camembert"],
        vocabulary: Vocabulary::Pieces(BPE_FILE, Layout::Camembert, Unknown::Named),
        split: Split::Words(Prefix::Asked),
        frame: FAIRSEQ_FRAME,
        tokens: ROBERTA_TOKENS,
        mask_strips: true,
        ..T5
    },
    Class {
        names: &["MBartTokenizer"],
        model_types: &["mbart"],
        vocabulary: Vocabulary::Pieces(BPE_FILE, Layout::Languages(25), Unknown::Id(3)),
        normalizer: Normalizer::None,
        split: Split::Words(Prefix::Always),
        frame: Frame::Template("A eos src_lang", "A B eos src_lang"),
        tokens: ROBERTA_TOKENS,
        mask_strips: true,
    },
    Class {
        names: &["MBart50Tokenizer"],
        model_types: &[],
        vocabulary: Vocabulary::Pieces(BPE_FILE, Layout::Languages(52), Unknown::Id(3)),
        normalizer: Normalizer::FileAndSpaces,
        split: Split::Marks(Prefix::Always),
        frame: Frame::Template("src_lang A eos", "src_lang A B eos"),
        tokens: &[
            ("eos_token", "</s>"),
            ("unk_token", "<unk>"),
            ("sep_token", "</s>"),
            ("pad_token", "<pad>"),
            ("cls_token", "<s>"),
            ("mask_token", "<mask>"),
        ],
        mask_strips: true,
    },
    Class {
        names: &["PegasusTokenizer"],
        model_types: &["pegasus"],
        vocabulary: Vocabulary::Pieces("spiece.model", Layout::Pegasus, Unknown::Named),
        normalizer: Normalizer::FileOrLines,
        split: Split::Marks(Prefix::Always),
        frame: Frame::Template("A eos", "A B eos"),
        tokens: &[("eos_token", "</s>"), ("unk_token", "<unk>"), ("pad_token", "<pad>"), ("mask_token", "<mask_2>")],
        mask_strips: false,
    },
    Class {
        names: &["XLNetTokenizer"],
        model_types: &["xlnet"],
        vocabulary: Vocabulary::Pieces("spiece.model", Layout::File, Unknown::File),
        normalizer: Normalizer::QuotesAndAccents,
        split: Split::Words(Prefix::Always),
        frame: Frame::Template("A sep cls2", "A sep B1 sep1 cls2"),
        tokens: &[
            ("bos_token", "<s>"),
            ("eos_token", "</s>"),
            ("unk_token", "<unk>"),
            ("sep_token", "<sep>"),
            ("pad_token", "<pad>"),
            ("cls_token", "<cls>"),
            ("mask_token", "<mask>"),
        ],
        mask_strips: true,
    },
    Class {
        names: &["BigBirdTokenizer"],
        model_types: &["big_bird"],
        vocabulary: Vocabulary::Pieces("spiece.model", Layout::File, Unknown::Named),
        normalizer: Normalizer::Runs,
        split: Split::Marks(Prefix::Asked),
        frame: BERT_FRAME,
        tokens: &[
            ("bos_token", "<s>"),
            ("eos_token", "</s>"),
            ("unk_token", "<unk>"),
            ("sep_token", "[SEP]"),
            ("pad_token", "<pad>"),
            ("cls_token", "[CLS]"),
            ("mask_token", "[MASK]"),
        ],
        mask_strips: true,
    },
    Class {
        names: &["LlamaTokenizer"],
        model_types: &[],
        vocabulary: Vocabulary::PiecePairs,
        normalizer: Normalizer::None,
        split: Split::Llama,
        frame: Frame::Ends,
        tokens: &[("bos_token", "<s>"), ("eos_token", "</s>"), ("unk_token", "<unk>")],
        mask_strips: false,
    },
    Class {
        names: &["GemmaTokenizer"],
        model_types: &["gemma", "gemma2", "gemma3", "gemma3_text"],
        vocabulary: Vocabulary::PiecePairs,
        normalizer: Normalizer::Marks,
        split: Split::Gemma,
        frame: Frame::Ends,
        tokens: &[
            ("bos_token", "<bos>"),
            ("eos_token", "<eos>"),
            ("unk_token", "<unk>"),
            ("pad_token", "<pad>"),
            ("mask_token", "<mask>"),
        ],
        mask_strips: false,
    },
    own(&["CTRLTokenizer"], &["ctrl"]),
    own(&["XLMTokenizer"], &["xlm"]),
    own(&["MarianTokenizer"], &["marian"]),
    own(&["M2M100Tokenizer"], &["m2m_100"]),
    Class {
        names: &["TokenizersBackend", "PreTrainedTokenizer", "PythonBackend"],
        model_types: &["llama", "mistral", "modernbert"],
        vocabulary: Vocabulary::AsFile,
        normalizer: Normalizer::None,
        split: Split::Bert,
        frame: Frame::Ends,
        tokens: &[],
        mask_strips: false,
    },
];

/// A class that does not use the `tokenizers` crate.
const fn own(names: &'static [&'static str], model_types: &'static [&'static str]) -> Class {
    Class { names, model_types, vocabulary: Vocabulary::Own, tokens: &[], ..GPT2 }
}

/// The model types whose published files name a wrong class: `model_type` decides.
const WRONG_CLASSES: &[&str] = &["qwen2", "modernbert"];

/// The class of a folder; `None` if it names an unknown class, or none.
pub(super) fn choose(settings: &Settings) -> Option<&'static Class> {
    let by_name = |name: &str| CLASSES.iter().find(|class| class.names.contains(&name));
    let model_type = settings.model_type.as_deref().unwrap_or_default();
    let registered = CLASSES.iter().find(|class| class.model_types.contains(&model_type));
    match (settings.class.as_deref(), registered) {
        (Some(_), Some(registered)) if WRONG_CLASSES.contains(&model_type) => Some(registered),
        // Mistral's files describe the tokenizer completely, under any class name.
        (Some(_), Some(registered)) if model_type == "mistral" => Some(registered),
        (Some(name), _) => by_name(name),
        (None, registered) => registered,
    }
}
