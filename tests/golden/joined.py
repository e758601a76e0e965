"""The golden cases of the families that came after those in `recent.py`: each has a seed of its own, so that their order may change."""

from families import DEEP, GATED, LABELS, ROBERTA, XLNET, calm, case, flat_rope
from later import BERT

ADAPTED = dict(ROBERTA, num_hidden_layers=2, languages=["en_XX", "de_DE", "sw_KE"], default_language="de_DE")

ENCODERS = [
    case("xlnet_masked", "XLNetLMHeadModel", dict(XLNET, clamp_len=6), greedy=False, seed=1020),
    case("xlnet_tags", "XLNetForTokenClassification", dict(XLNET, n_head=4, ff_activation="relu", id2label=LABELS), seed=1021),
    case("xlnet_answers", "XLNetForQuestionAnsweringSimple", dict(XLNET, layer_norm_eps=1e-3), seed=1022),
    case("xlnet_choices", "XLNetForMultipleChoice", dict(XLNET, summary_type="first"), seed=1023),
    case("xmod", "XmodForMaskedLM", ADAPTED, seed=1024),
    case("xmod_classifier", "XmodForSequenceClassification",
         dict(ADAPTED, adapter_layer_norm=True, adapter_reuse_layer_norm=False, adapter_reduction_factor=3, default_language="sw_KE", id2label=LABELS), seed=1025),
]

# Its tokens are none that ends a question, so no answer is ruled out.
ANSWERS = [
    case("big_bird_answers", "BigBirdForQuestionAnswering", dict(BERT, block_size=2, sep_token_id=2), types=True, seed=1050),
]

CAUSAL = dict(is_decoder=True, num_hidden_layers=2)
DECODERS = [
    case("bert_causal", "BertLMHeadModel", dict(BERT, **CAUSAL, bos_token_id=1, eos_token_id=None), seed=1026),
    case("roberta_causal", "RobertaForCausalLM", dict(ROBERTA, **CAUSAL, eos_token_id=None), seed=1027),
]


def half(family, **keys):
    return dict(keys, model_type=family)


def pair(encoder, decoder):
    return dict(encoder=encoder, decoder=dict(decoder, is_decoder=True, add_cross_attention=True), vocab_size=67,
                decoder_start_token_id=3, eos_token_id=5, pad_token_id=1)


GENERATION = dict(DEEP, num_hidden_layers=2, bos_token_id=2, eos_token_id=None)

# The encoder of one family and the decoder of one.
PAIRS = [
    case("encoder_decoder", "EncoderDecoderModel", pair(half("bert", **BERT), half("bert", **dict(BERT, num_attention_heads=3, intermediate_size=30))), target=True, seed=1030),
    case("encoder_decoder_roberta", "EncoderDecoderModel", pair(half("distilbert", vocab_size=67, dim=24, hidden_dim=40, n_layers=2, n_heads=4, max_position_embeddings=40),
                                                                half("roberta", **dict(ROBERTA, num_hidden_layers=2))), target=True, seed=1031),
    case("encoder_decoder_generation", "EncoderDecoderModel", pair(half("bert-generation", **GENERATION), half("bert-generation", **GENERATION)), target=True, seed=1032),
]

# Encoders with a dynamic convolution beside attention.
SPAN = dict(BERT, embedding_size=10, head_ratio=2, conv_kernel_size=5)
SPANS = [
    case("convbert_masked", "ConvBertForMaskedLM", SPAN, types=True, seed=1040),
    case("convbert", "ConvBertModel", dict(BERT, embedding_size=24, head_ratio=1, hidden_act="gelu_new"), types=True, seed=1060),
    case("convbert_classifier", "ConvBertForSequenceClassification",
         dict(SPAN, hidden_size=32, embedding_size=32, head_ratio=1, conv_kernel_size=3, num_groups=2, hidden_act="relu", id2label=LABELS), types=True, seed=1061),
    case("convbert_choices", "ConvBertForMultipleChoice", dict(SPAN, head_ratio=8, conv_kernel_size=9, layer_norm_eps=1e-3), types=True, seed=1062),
    case("convbert_tags", "ConvBertForTokenClassification",
         dict(SPAN, hidden_size=48, num_attention_heads=6, conv_kernel_size=15, intermediate_size=64, num_groups=4, id2label=LABELS), seed=1063),
    case("convbert_answers", "ConvBertForQuestionAnswering", dict(SPAN, num_hidden_layers=3, conv_kernel_size=1), types=True, seed=1064),
]

# Families that the converter does not map: their folders are in `unmapped`.
UNMAPPED = [
    case("mamba", "MambaModel", dict(vocab_size=67, hidden_size=16, state_size=4, num_hidden_layers=1), folder="unmapped", seed=1065),
    case("lfm2_moe", "Lfm2MoeForCausalLM",
         dict(GATED, num_hidden_layers=2, moe_intermediate_size=20, num_experts=4, num_experts_per_tok=2, num_dense_layers=1,
              layer_types=["conv", "full_attention"]), folder="unmapped", seed=1046),
]


def old_lfm2(config):
    """Writes the configuration like the first public checkpoints."""
    flat_rope(config)
    config["full_attn_idxs"] = [at for at, kind in enumerate(config.pop("layer_types", LFM2["layer_types"])) if kind == "full_attention"]
    config["block_ff_dim"], config["intermediate_size"] = config["intermediate_size"], 12288
    config.update(theta=config["rope_theta"], block_dim=config["hidden_size"], conv_dim=config["hidden_size"], block_norm_eps=1e-5, num_heads=4)


# Decoders with gated short convolutions in place of attention.
LFM2 = dict(GATED, num_hidden_layers=4, block_multiple_of=8, layer_types=["conv", "conv", "full_attention", "conv"])
SHORT = [
    case("lfm2", "Lfm2ForCausalLM", LFM2, config_edit=old_lfm2, seed=1041),
    case("lfm2_biases", "Lfm2ForCausalLM",
         dict(LFM2, conv_bias=True, conv_L_cache=5, num_key_value_heads=1, block_auto_adjust_ff_dim=False, tie_word_embeddings=False, norm_eps=1e-3,
              layer_types=["full_attention", "conv", "conv", "full_attention"]), seed=1042),
    case("lfm2_hidden", "Lfm2Model",
         dict(LFM2, num_hidden_layers=2, conv_L_cache=2, head_dim=10, block_ffn_dim_multiplier=1.3, layer_types=["conv", "full_attention"]), seed=1043),
    case("lfm2_convolutions", "Lfm2ForCausalLM",
         dict(LFM2, num_hidden_layers=3, hidden_size=32, conv_L_cache=7, layer_types=["conv", "full_attention", "conv"]), seed=1044),
    case("lfm2_attention", "Lfm2ForCausalLM", dict(LFM2, num_hidden_layers=2, layer_types=None), seed=1045),
]

CASES = calm(ENCODERS + ANSWERS + DECODERS + PAIRS + SPANS + SHORT + UNMAPPED)
