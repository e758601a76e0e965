"""The golden cases of families that were added after those in `later.py`; a case's index is its seed."""

import hub
import make
from families import BART, DEBERTA_V3, DEEP, GATED, LABELS, MODERN, QUIET, T5, XLM, calm, case
from later import BERT, rope


def old_gte(config):
    """Writes the configuration like the first checkpoints, whose own code scales angles by two related factors."""
    found = config.pop("rope_parameters")
    config["model_type"] = "new"
    config["architectures"] = [config["architectures"][0].replace("Gte", "New")]
    config["rope_theta"], config["rope_scaling"] = 100.0, None
    if found["rope_type"] == "linear":
        config["rope_scaling"] = {"type": "ntk", "factor": 4.0}
    config.update(pack_qkv=True, layer_norm_type="layer_norm", position_embedding_type="rope", logn_attention_scale=False,
                  logn_attention_clip1=False, unpad_inputs=False, use_memory_efficient_attention=False)


def public_gte(config):
    """What the first spelling means in the second."""
    config = {key: value for key, value in config.items() if key not in
              ("pack_qkv", "layer_norm_type", "position_embedding_type", "logn_attention_scale", "logn_attention_clip1",
               "unpad_inputs", "use_memory_efficient_attention")}
    theta, scaling = config.pop("rope_theta", None) or 10000.0, config.pop("rope_scaling", None)
    factor = scaling["factor"] if scaling else 1.0
    head_dim = config["hidden_size"] // config["num_attention_heads"]
    config["rope_parameters"] = rope(rope_type="linear", rope_theta=theta * factor, factor=factor ** (2 / head_dim))
    config["model_type"] = "gte"
    config["architectures"] = [config["architectures"][0].replace("New", "Gte")]
    return config


def masked(model, seed):
    """Inputs with some masked tokens."""
    for one in make.inputs(model.config, seed):
        one["ids"] = [model.config.mask_token_id if at % 5 == 2 else token for at, token in enumerate(one["ids"])]
        yield one


# Encoders.
ROFORMER = dict(BERT, embedding_size=10)
REM = dict(BERT, input_embedding_size=10, output_embedding_size=14)
SQUEEZE = dict(BERT, embedding_size=24, q_groups=4, k_groups=2, v_groups=3, post_attention_groups=1, intermediate_groups=4, output_groups=2)
BIG = dict(BERT, block_size=2, num_random_blocks=3)
GENERATION = dict(DEEP, num_hidden_layers=2, bos_token_id=2, eos_token_id=None)
PROTEINS = dict(DEEP, num_hidden_layers=2, pad_token_id=1, mask_token_id=5, layer_norm_eps=1e-5)
GTE = dict(BERT, type_vocab_size=1)
JINA = dict(BERT, position_embedding_type="alibi", feed_forward_type="geglu")

ENCODERS = [
    case("roformer", "RoFormerForMaskedLM", ROFORMER, types=True),
    case("roformer_classifier", "RoFormerForSequenceClassification", dict(BERT, hidden_act="relu", id2label=LABELS), types=True),
    case("roformer_choices", "RoFormerForMultipleChoice", dict(ROFORMER, embedding_size=24), types=True),
    case("rembert", "RemBertForMaskedLM", REM, types=True),
    case("rembert_classifier", "RemBertForSequenceClassification", dict(REM, id2label=LABELS), types=True),
    case("squeezebert", "SqueezeBertForMaskedLM", SQUEEZE, types=True),
    case("squeezebert_classifier", "SqueezeBertForSequenceClassification", dict(SQUEEZE, q_groups=1, layer_norm_eps=1e-3, id2label=LABELS)),
    case("big_bird", "BigBirdForMaskedLM", BIG, types=True),
    case("big_bird_classifier", "BigBirdForSequenceClassification",
         dict(BERT, attention_type="original_full", use_bias=False, rescale_embeddings=True, id2label=LABELS), types=True),
    case("big_bird_choices", "BigBirdForMultipleChoice", BIG, types=True),
    case("bert_generation", "BertGenerationEncoder", GENERATION),
    case("bert_generation_decoder", "BertGenerationDecoder", dict(GENERATION, is_decoder=True, hidden_act="relu")),
    case("esm", "EsmForMaskedLM", dict(PROTEINS, position_embedding_type="rotary")),
    case("esm_absolute", "EsmForSequenceClassification", dict(PROTEINS, emb_layer_norm_before=True, id2label=LABELS)),
    case("gte", "GteForMaskedLM", dict(GTE, rope_parameters=rope(rope_theta=500.0)), types=False),
    case("gte_tags", "GteForTokenClassification", dict(GTE, type_vocab_size=0, id2label=LABELS)),
    case("gte_new", "GteModel", dict(GTE, type_vocab_size=0, rope_parameters=rope(rope_type="linear", rope_theta=400.0, factor=4.0 ** (2 / 6))),
         config_edit=old_gte),
    case("gte_new_classifier", "GteForSequenceClassification",
         dict(GTE, type_vocab_size=2, rope_parameters=rope(rope_theta=100.0), id2label=LABELS), config_edit=old_gte, types=True),
    case("jina_bert", hub.JinaBertModel, dict(JINA, num_attention_heads=3), types=True),
    case("jina_bert_masked", hub.JinaBertForMaskedLM, dict(JINA, feed_forward_type="reglu"), types=True),
]

# Decoders.
XGLM = dict(vocab_size=53, d_model=24, ffn_dim=44, num_layers=2, attention_heads=3, max_position_embeddings=40, pad_token_id=1,
            bos_token_id=0, eos_token_id=None)
BIO = dict(vocab_size=53, hidden_size=24, intermediate_size=44, num_hidden_layers=2, num_attention_heads=4, max_position_embeddings=40,
           pad_token_id=1, bos_token_id=0, eos_token_id=None)

DECODERS = [
    case("xglm", "XGLMForCausalLM", XGLM),
    case("xglm_unscaled", "XGLMForCausalLM", dict(XGLM, scale_embedding=False, activation_function="relu", tie_word_embeddings=False)),
    case("biogpt", "BioGptForCausalLM", BIO),
    case("biogpt_classifier", "BioGptForSequenceClassification", dict(BIO, scale_embedding=False, hidden_act="relu", id2label=LABELS)),
    case("biogpt_tags", "BioGptForTokenClassification", dict(BIO, id2label=LABELS)),
]

# Encoder-decoders.
LED = dict(BART, decoder_layers=2, attention_window=[8, 8], max_encoder_position_embeddings=40, max_decoder_position_embeddings=30)
LED.pop("max_position_embeddings")

PAIRS = [
    case("led", "LEDForConditionalGeneration", LED, target=True),
    case("led_answers", "LEDForQuestionAnswering", dict(LED, attention_window=40, activation_function="relu"), target="shifted"),
]

# Norms after sublayers, and over all heads together; relative biases in every layer; positions after a norm; scaling for masked tokens.
T5_OWN = dict(T5, num_decoder_layers=2, feed_forward_proj="gated-gelu")

PARTS = [
    case("olmo2", "Olmo2ForCausalLM", dict(GATED, num_hidden_layers=2)),
    case("olmo2_classifier", "Olmo2ForSequenceClassification", dict(GATED, num_hidden_layers=2, attention_bias=True, pad_token_id=0, id2label=LABELS)),
    case("umt5", "UMT5ForConditionalGeneration", T5_OWN, target=True, quiet=QUIET),
    case("umt5_encoder", "UMT5EncoderModel", dict(T5, feed_forward_proj="relu", relative_attention_num_buckets=8, relative_attention_max_distance=14), quiet=QUIET),
    case("blenderbot_small", "BlenderbotSmallForConditionalGeneration", dict(BART, decoder_layers=2, scale_embedding=True), target=True),
    case("esm_dropout", "EsmForMaskedLM", dict(PROTEINS, position_embedding_type="rotary", token_dropout=True, mask_token_id=7), reads=masked),
    case("esm_dropout_tags", "EsmForTokenClassification",
         dict(PROTEINS, position_embedding_type="rotary", token_dropout=True, emb_layer_norm_before=True, id2label=LABELS)),
]

# Heads without an earlier case.
CHOICES = [
    case("electra_choices", "ElectraForMultipleChoice", dict(DEEP, num_hidden_layers=2, embedding_size=10), types=True),
    case("modernbert_choices", "ModernBertForMultipleChoice",
         dict(MODERN, num_hidden_layers=2, classifier_activation="relu")),
    case("deberta_v2_choices", "DebertaV2ForMultipleChoice", dict(DEBERTA_V3, num_hidden_layers=1, pooler_hidden_act="relu")),
    case("hub_colbert", hub.HF_ColBERT, BERT, types=True),
    case("xlm_choices", "XLMForMultipleChoice", dict(XLM, id2label=LABELS)),
]

CASES = calm(ENCODERS + DECODERS + PAIRS + PARTS + CHOICES)
