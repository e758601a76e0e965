"""Golden cases whose texts contain padding or end tokens: positions that do not count padding, classifiers that read the last token
that is not padding, and classifiers that read the decoder at the position of the last end token."""

import torch

from families import LABELS, calm, case

# Minimal models, because only the choice of the row matters here.
SMALL = dict(vocab_size=37, hidden_size=16, intermediate_size=20, num_hidden_layers=1, num_attention_heads=2,
             max_position_embeddings=20)
GATED = dict(SMALL, num_key_value_heads=1, bos_token_id=1, eos_token_id=2)
OLD = dict(vocab_size=37, n_embd=16, n_layer=1, n_head=2, n_positions=20, bos_token_id=1, eos_token_id=2)
NEO = dict(vocab_size=37, hidden_size=16, num_layers=2, num_heads=2, max_position_embeddings=20, window_size=3,
           attention_types=[[["global", "local"], 1]], bos_token_id=1, eos_token_id=2)
BART = dict(vocab_size=37, d_model=16, max_position_embeddings=20, encoder_layers=1, decoder_layers=1, encoder_ffn_dim=20,
            decoder_ffn_dim=20, encoder_attention_heads=2, decoder_attention_heads=2, pad_token_id=1, bos_token_id=0,
            eos_token_id=2, decoder_start_token_id=2, forced_eos_token_id=None)
T5 = dict(vocab_size=37, d_model=16, d_kv=8, d_ff=20, num_layers=1, num_decoder_layers=1, num_heads=2, decoder_start_token_id=0)
QUIET = ("Attention.q.",)

# `_` is padding, `e` the end token, `.` any other token.
PLACES = ["..._...", "_.....", "..__.._.", "....__", "_____", "."]
ENDS = [".....e", "..e..e", "....e..", "e.....", "._.e_e._", "e"]


def texts(places, config, seed):
    """Token ids from the whole vocabulary, with special tokens at the positions that `places` marks."""
    generator = torch.Generator().manual_seed(seed)
    special = {"_": config.pad_token_id, "e": config.eos_token_id}
    for place in places:
        ids = torch.randint(3, config.vocab_size - 2, (len(place),), generator=generator).tolist()
        yield [special.get(kind, id) for kind, id in zip(place, ids)]


def padded(model, seed):
    for ids in texts(PLACES, model.config, seed):
        yield {"ids": ids}


def padded_twice(model, seed):
    """Inputs with different texts for encoder and decoder, both with padding."""
    targets = list(texts(PLACES[::-1], model.config, seed + 1))
    for ids, target in zip(texts(PLACES, model.config, seed), targets):
        yield {"ids": ids, "decoder_ids": [model.config.decoder_start_token_id, *target]}


def ended(model, seed):
    """Inputs whose decoder reads the encoder's text shifted by one token, the default of `transformers`."""
    config = model.config
    for ids in texts(ENDS, config, seed):
        start = config.decoder_start_token_id
        if config.model_type == "mbart":
            start = ids[sum(id != config.pad_token_id for id in ids) - 1]
        one = {"ids": ids, "decoder_ids": [start, *ids[:-1]]}
        said = model(input_ids=torch.tensor([ids]), decoder_input_ids=torch.tensor([one["decoder_ids"]])).logits
        assert torch.equal(said, model(input_ids=torch.tensor([ids])).logits)
        yield one


def reads(kind, cases):
    return [{**one, "reads": kind} for one in cases]


POSITIONS = reads(padded, [
    case("padded_roberta", "RobertaForMaskedLM", dict(SMALL, type_vocab_size=1, pad_token_id=1)),
    case("padded_roberta_classifier", "RobertaForSequenceClassification", dict(SMALL, type_vocab_size=2, pad_token_id=4, id2label=LABELS)),
    case("padded_xlm_roberta", "XLMRobertaForTokenClassification", dict(SMALL, type_vocab_size=1, pad_token_id=1, id2label=LABELS)),
    case("padded_camembert", "CamembertForQuestionAnswering", dict(SMALL, type_vocab_size=1, pad_token_id=1)),
    # MPNet's positions skip token 1, whatever the padding token is.
    case("padded_mpnet", "MPNetModel", dict(SMALL, pad_token_id=1)),
    case("padded_mpnet_other", "MPNetForMaskedLM", dict(SMALL, pad_token_id=0)),
])

CLASSIFIERS = reads(padded, [
    case("padded_gpt2", "GPT2ForSequenceClassification", dict(OLD, pad_token_id=0, id2label=LABELS)),
    case("padded_openai_gpt", "OpenAIGPTForSequenceClassification", dict(OLD, pad_token_id=0, id2label=LABELS)),
    case("padded_ctrl", "CTRLForSequenceClassification", dict(OLD, dff=20, pad_token_id=0, id2label=LABELS)),
    case("padded_gptj", "GPTJForSequenceClassification", dict(OLD, rotary_dim=4, pad_token_id=0, id2label=LABELS)),
    case("padded_gpt_neo", "GPTNeoForSequenceClassification", dict(NEO, pad_token_id=0, id2label=LABELS), quiet=("q_proj",)),
    case("padded_gpt_neox", "GPTNeoXForSequenceClassification", dict(SMALL, pad_token_id=0, id2label=LABELS)),
    # Neither configuration has a padding token, so the class's default applies: 1 and 0.
    case("padded_opt", "OPTForSequenceClassification",
         dict(vocab_size=37, hidden_size=16, ffn_dim=20, num_hidden_layers=1, num_attention_heads=2, word_embed_proj_dim=16,
              max_position_embeddings=20, id2label=LABELS), config_edit=lambda config: config.pop("pad_token_id")),
    case("padded_gemma", "GemmaForSequenceClassification", dict(GATED, head_dim=8, id2label=LABELS), one=0.0,
         config_edit=lambda config: config.pop("pad_token_id")),
    case("padded_gemma3", "Gemma3TextForSequenceClassification",
         dict(GATED, head_dim=8, sliding_window=3, query_pre_attn_scalar=8, id2label=LABELS), one=0.0),
    # One token is both the end token and padding.
    case("padded_llama", "LlamaForSequenceClassification", dict(GATED, pad_token_id=2, id2label=LABELS)),
    case("padded_mistral", "MistralForSequenceClassification", dict(GATED, sliding_window=3, pad_token_id=0, id2label=LABELS)),
    case("padded_qwen2", "Qwen2ForSequenceClassification", dict(GATED, pad_token_id=0, id2label=LABELS)),
    case("padded_qwen3", "Qwen3ForSequenceClassification", dict(GATED, head_dim=8, pad_token_id=0, id2label=LABELS)),
    case("padded_phi", "PhiForSequenceClassification", dict(GATED, pad_token_id=0, id2label=LABELS)),
])

ENDED = reads(ended, [
    case("ended_bart", "BartForSequenceClassification", dict(BART, id2label=LABELS)),
    case("ended_mbart", "MBartForSequenceClassification", dict(BART, decoder_start_token_id=5, id2label=LABELS)),
    case("ended_t5", "T5ForSequenceClassification", dict(T5, id2label=LABELS), quiet=QUIET),
    case("ended_mt5", "MT5ForSequenceClassification", dict(T5, feed_forward_proj="gated-gelu", id2label=LABELS), quiet=QUIET),
])

CASES = calm([
    *POSITIONS,
    {**case("padded_m2m_100", "M2M100ForConditionalGeneration", dict(BART, pad_token_id=3, activation_function="relu")), "reads": padded_twice},
    *CLASSIFIERS,
    *ENDED,
])
