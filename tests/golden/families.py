"""The golden cases of the families other than Llama, GPT-2 and BERT, with unusual shapes."""

LABELS = {0: "no", 1: "perhaps", 2: "yes"}


def case(name, model, config, **options):
    return {"name": name, "model": model, "config": config, **options}


def calm(cases):
    """Cases with smaller weights, because the outputs of deep and gated models would become chaotic."""
    return [{"gain": 1.1, **case} for case in cases]


def flat_rope(config):
    """Writes the configuration like versions before 5: flat keys, and no list of layer types."""
    rope = config.pop("rope_parameters")
    if "full_attention" in rope:
        config["rope_theta"] = rope["full_attention"]["rope_theta"]
        config["rope_local_base_freq"] = rope["sliding_attention"]["rope_theta"]
    else:
        config["rope_theta"] = rope["rope_theta"]
        if "partial_rotary_factor" in rope:
            config["partial_rotary_factor"] = rope["partial_rotary_factor"]
    config["rope_scaling"] = None
    config.pop("layer_types", None)
    config["torch_dtype"] = config.pop("dtype")


def neox_rope(config):
    rope = config.pop("rope_parameters")
    config["rotary_emb_base"], config["rotary_pct"] = rope["rope_theta"], rope["partial_rotary_factor"]


def modernbert_rope(config):
    rope = config.pop("rope_parameters")
    config["global_rope_theta"] = rope["full_attention"]["rope_theta"]
    config["local_rope_theta"] = rope["sliding_attention"]["rope_theta"]
    config["global_attn_every_n_layers"] = 3
    config["position_embedding_type"] = "absolute"
    config.pop("layer_types")


def old_gemma(config):
    flat_rope(config)
    config["hidden_act"], config["hidden_activation"] = "gelu", None


def old_gemma3(config):
    flat_rope(config)
    config["sliding_window_pattern"] = config.pop("_sliding_window_pattern")


def old_t5(config):
    """Writes the configuration like versions before 5: `tie_word_embeddings` only if false, and a number of positions."""
    config.pop("scale_decoder_outputs", None)
    config.pop("tie_word_embeddings", None)
    config["n_positions"] = 64


def untied_t5(config):
    old_t5(config)
    config["tie_word_embeddings"] = False


def only(*keys):
    return lambda config: [config.pop(key, None) for key in keys]


# Decoders.
WIDE = dict(vocab_size=61, hidden_size=24, num_hidden_layers=3, num_attention_heads=4, max_position_embeddings=40,
            bos_token_id=1, eos_token_id=None, pad_token_id=None)
GATED = dict(WIDE, intermediate_size=44, num_key_value_heads=2)
OLD = dict(vocab_size=53, n_embd=24, n_layer=2, n_head=3, n_positions=40, bos_token_id=1, eos_token_id=None,
           pad_token_id=None)
NEO = dict(vocab_size=53, hidden_size=24, num_layers=3, num_heads=4, max_position_embeddings=40, window_size=4,
           attention_types=[[["global", "local"], 1], [["local"], 1]], bos_token_id=1, eos_token_id=None)
OPT = dict(vocab_size=53, hidden_size=24, ffn_dim=44, num_hidden_layers=2, num_attention_heads=4,
           max_position_embeddings=40, bos_token_id=2, eos_token_id=None)

DECODERS = [
    case("mistral", "MistralForCausalLM", dict(GATED, sliding_window=5, head_dim=10), config_edit=flat_rope),
    case("mistral_wide_window", "MistralForCausalLM", dict(GATED, sliding_window=None, num_key_value_heads=1)),
    case("qwen2", "Qwen2ForCausalLM", dict(GATED, tie_word_embeddings=True, rope_parameters={"rope_type": "default", "rope_theta": 1e6})),
    case("qwen2_windows", "Qwen2ForCausalLM",
         dict(GATED, use_sliding_window=True, sliding_window=4, max_window_layers=1), config_edit=flat_rope),
    case("qwen3", "Qwen3ForCausalLM", dict(GATED, head_dim=10, tie_word_embeddings=True)),
    case("qwen3_biases", "Qwen3ForCausalLM", dict(GATED, head_dim=6, attention_bias=True, num_key_value_heads=4)),
    case("gemma", "GemmaForCausalLM", dict(GATED, head_dim=10, num_key_value_heads=1), config_edit=old_gemma, one=0.0),
    case("gemma_brain", "GemmaForCausalLM", dict(GATED, hidden_size=40, head_dim=6), brain=True, one=0.0),
    case("gemma3", "Gemma3ForCausalLM",
         dict(GATED, num_hidden_layers=7, head_dim=6, sliding_window=5, query_pre_attn_scalar=10), config_edit=old_gemma3, one=0.0),
    case("gemma3_both_ways", "Gemma3TextModel",
         dict(GATED, num_hidden_layers=6, head_dim=8, sliding_window=6, query_pre_attn_scalar=8, use_bidirectional_attention=True), one=0.0),
    case("phi", "PhiForCausalLM", dict(GATED, num_attention_heads=3, num_key_value_heads=1), config_edit=flat_rope),
    case("phi_normed", "PhiForCausalLM", dict(GATED, num_attention_heads=2, qk_layernorm=True)),
    case("gptj", "GPTJForCausalLM", dict(OLD, rotary_dim=4)),
    case("gptj_full", "GPTJForCausalLM", dict(OLD, rotary_dim=8, n_inner=40)),
    case("gpt_neo", "GPTNeoForCausalLM", NEO, quiet=("q_proj",), config_edit=only("attention_layers")),
    case("gpt_neo_wide", "GPTNeoForCausalLM", dict(NEO, num_heads=3, intermediate_size=30), quiet=("q_proj",)),
    case("gpt_neox", "GPTNeoXForCausalLM", dict(WIDE, num_attention_heads=3, intermediate_size=44), config_edit=neox_rope),
    case("gpt_neox_sequential", "GPTNeoXForCausalLM",
         dict(WIDE, intermediate_size=44, use_parallel_residual=False, attention_bias=False, tie_word_embeddings=True,
              rope_parameters={"rope_type": "default", "rope_theta": 10000.0, "partial_rotary_factor": 1.0})),
    case("opt", "OPTForCausalLM", dict(OPT, word_embed_proj_dim=24)),
    case("opt_post_norm", "OPTForCausalLM", dict(OPT, word_embed_proj_dim=10, do_layer_norm_before=False)),
    case("opt_bare", "OPTForCausalLM",
         dict(OPT, word_embed_proj_dim=24, enable_bias=False, layer_norm_elementwise_affine=False, activation_function="gelu"),
         names=lambda name: name.removeprefix("model.")),
    case("openai_gpt", "OpenAIGPTLMHeadModel", OLD),
    case("ctrl", "CTRLLMHeadModel", dict(OLD, dff=44)),
    case("mistral_classifier", "MistralForSequenceClassification", dict(GATED, pad_token_id=0, id2label=LABELS)),
    case("qwen2_tags", "Qwen2ForTokenClassification", dict(GATED, id2label=LABELS)),
    case("gpt_neox_answers", "GPTNeoXForQuestionAnswering", dict(WIDE, intermediate_size=44)),
    case("opt_classifier", "OPTForSequenceClassification",
         dict(OPT, pad_token_id=1, word_embed_proj_dim=10, do_layer_norm_before=False, id2label=LABELS)),
]

# Encoders.
DEEP = dict(vocab_size=67, hidden_size=24, intermediate_size=40, num_hidden_layers=3, num_attention_heads=4,
            max_position_embeddings=40)
ROBERTA = dict(DEEP, type_vocab_size=1, pad_token_id=1, layer_norm_eps=1e-5)
DISTIL = dict(vocab_size=67, dim=24, hidden_dim=40, n_layers=2, n_heads=4, max_position_embeddings=40)
MODERN = dict(DEEP, num_hidden_layers=4, local_attention=6, pad_token_id=0, cls_token_id=1, sep_token_id=2,
              bos_token_id=1, eos_token_id=2)
XLM = dict(vocab_size=67, emb_dim=24, n_layers=2, n_heads=3, max_position_embeddings=40)

ENCODERS = [
    case("roberta_masked", "RobertaForMaskedLM", ROBERTA),
    case("roberta_classifier", "RobertaForSequenceClassification", dict(ROBERTA, id2label=LABELS)),
    case("roberta_types", "RobertaModel", dict(ROBERTA, type_vocab_size=3, pad_token_id=0), types=True),
    case("xlm_roberta_masked", "XLMRobertaForMaskedLM", ROBERTA),
    case("xlm_roberta_tags", "XLMRobertaForTokenClassification", dict(ROBERTA, id2label=LABELS)),
    case("camembert_answers", "CamembertForQuestionAnswering", ROBERTA),
    case("camembert_masked", "CamembertForMaskedLM", ROBERTA),
    case("distilbert_masked", "DistilBertForMaskedLM", dict(DISTIL, activation="relu")),
    case("distilbert_classifier", "DistilBertForSequenceClassification", dict(DISTIL, id2label=LABELS)),
    case("distilbert_answers", "DistilBertForQuestionAnswering", dict(DISTIL, sinusoidal_pos_embds=True)),
    case("albert_masked", "AlbertForMaskedLM",
         dict(DEEP, num_hidden_layers=5, embedding_size=10, num_hidden_groups=2, inner_group_num=1), types=True),
    case("albert_inner", "AlbertModel",
         dict(DEEP, num_hidden_layers=2, embedding_size=24, num_hidden_groups=1, inner_group_num=2, hidden_act="gelu"), types=True),
    case("albert_classifier", "AlbertForSequenceClassification", dict(DEEP, embedding_size=10, id2label=LABELS), types=True),
    case("electra_masked", "ElectraForMaskedLM", dict(DEEP, embedding_size=10), types=True),
    case("electra_replaced", "ElectraForPreTraining", dict(DEEP, embedding_size=24), types=True),
    case("electra_classifier", "ElectraForSequenceClassification", dict(DEEP, embedding_size=10, id2label=LABELS), types=True),
    case("mpnet", "MPNetModel", dict(DEEP, max_position_embeddings=120), lengths=[1, 4, 110]),
    case("mpnet_masked", "MPNetForMaskedLM", DEEP),
    case("mpnet_classifier", "MPNetForSequenceClassification", dict(DEEP, id2label=LABELS)),
    case("modernbert_masked", "ModernBertForMaskedLM", MODERN, config_edit=modernbert_rope),
    case("modernbert_biases", "ModernBertForSequenceClassification",
         dict(MODERN, norm_bias=True, attention_bias=True, mlp_bias=True, classifier_bias=True, classifier_pooling="mean",
              classifier_activation="relu", hidden_activation="gelu_new", id2label=LABELS)),
    case("modernbert_tags", "ModernBertForTokenClassification", dict(MODERN, id2label=LABELS)),
    case("modernbert", "ModernBertModel", MODERN, names=lambda name: name.removeprefix("model.")),
    case("xlm_masked", "XLMWithLMHeadModel", XLM, greedy=False),
    case("xlm_causal", "XLMWithLMHeadModel", dict(XLM, causal=True, gelu_activation=False)),
    case("xlm_sinusoidal", "XLMModel", dict(XLM, sinusoidal_embeddings=True, n_langs=3)),
    case("xlm_classifier", "XLMForSequenceClassification", dict(XLM, id2label=LABELS)),
    case("xlm_answers", "XLMForQuestionAnsweringSimple", XLM),
]

# Encoder-decoders.
BART = dict(vocab_size=61, d_model=24, max_position_embeddings=40, encoder_layers=2, decoder_layers=3,
            encoder_ffn_dim=40, decoder_ffn_dim=30, encoder_attention_heads=4, decoder_attention_heads=3, pad_token_id=1,
            bos_token_id=0, eos_token_id=2, decoder_start_token_id=2, forced_eos_token_id=None)
T5 = dict(vocab_size=61, d_model=24, d_kv=5, d_ff=40, num_layers=2, num_decoder_layers=3, num_heads=4,
          decoder_start_token_id=0)
# T5's scores are not scaled, so trained queries are smaller.
QUIET = ("Attention.q.",)

ENCODER_DECODERS = [
    case("bart", "BartForConditionalGeneration", BART, target=True),
    case("bart_untied", "BartForConditionalGeneration",
         dict(BART, scale_embedding=True, activation_function="relu", tie_word_embeddings=False), target=True),
    case("bart_classifier", "BartForSequenceClassification", dict(BART, id2label=LABELS), target="shifted"),
    case("bart_answers", "BartForQuestionAnswering", BART, target="shifted"),
    case("mbart", "MBartForConditionalGeneration", dict(BART, scale_embedding=True), target=True),
    case("marian", "MarianMTModel",
         dict(BART, decoder_start_token_id=1, eos_token_id=0, scale_embedding=True, activation_function="swish"), target=True, searches=True),
    case("marian_two_tables", "MarianMTModel",
         dict(BART, share_encoder_decoder_embeddings=False, decoder_vocab_size=53), target=True),
    case("pegasus", "PegasusForConditionalGeneration", dict(BART, scale_embedding=True, activation_function="relu"), target=True),
    case("m2m_100", "M2M100ForConditionalGeneration", dict(BART, activation_function="relu"), target=True),
    case("t5", "T5ForConditionalGeneration", T5, target=True, quiet=QUIET, config_edit=old_t5, lengths=[1, 2, 5, 40]),
    case("t5_gated", "T5ForConditionalGeneration",
         dict(T5, feed_forward_proj="gated-gelu", tie_word_embeddings=False, relative_attention_num_buckets=8,
              relative_attention_max_distance=14), target=True, quiet=QUIET, config_edit=untied_t5, own_head=True),
    case("t5_encoder", "T5EncoderModel", T5, quiet=QUIET, lengths=[1, 5, 60]),
    case("t5_classifier", "T5ForSequenceClassification", dict(T5, id2label=LABELS, eos_token_id=1), target="shifted", quiet=QUIET),
    case("mt5", "MT5ForConditionalGeneration", dict(T5, feed_forward_proj="gated-gelu"), target=True, quiet=QUIET, searches=True),
]

DEBERTA = dict(DEEP, relative_attention=True, position_biased_input=False, type_vocab_size=0, pad_token_id=0,
               max_relative_positions=-1, pos_att_type=["c2p", "p2c"])
DEBERTA_V3 = dict(DEBERTA, position_buckets=8, share_att_key=True, norm_rel_ebd="layer_norm")
# Most of MobileBERT's norms are affine maps, so only small weights keep its states small.
MOBILE = dict(vocab_size=67, embedding_size=10, hidden_size=24, intra_bottleneck_size=16, intermediate_size=20,
              num_hidden_layers=2, num_attention_heads=4, num_feedforward_networks=3, max_position_embeddings=40)
XLNET = dict(vocab_size=67, d_model=24, d_inner=40, n_layer=2, n_head=3)


def joined_terms(config):
    """Writes the key like files on the Hub: as one string."""
    config["pos_att_type"] = "|".join(config["pos_att_type"])


LATER_ENCODERS = [
    case("deberta", "DebertaModel", dict(DEBERTA, max_relative_positions=8)),
    case("deberta_masked", "DebertaForMaskedLM", DEBERTA, config_edit=joined_terms),
    case("deberta_classifier", "DebertaForSequenceClassification",
         dict(DEBERTA, pos_att_type=["c2p"], position_biased_input=True, type_vocab_size=2, id2label=LABELS), types=True),
    case("deberta_v2", "DebertaV2Model", dict(DEBERTA, max_relative_positions=12, conv_kernel_size=3, conv_act="gelu")),
    case("deberta_v2_one_term", "DebertaV2ForTokenClassification",
         dict(DEBERTA, pos_att_type=["p2c"], position_buckets=6, type_vocab_size=2, id2label=LABELS), types=True),
    case("deberta_v3", "DebertaV2Model", DEBERTA_V3, config_edit=joined_terms),
    case("deberta_v3_masked", "DebertaV2ForMaskedLM", DEBERTA_V3),
    case("deberta_v3_classifier", "DebertaV2ForSequenceClassification", dict(DEBERTA_V3, id2label=LABELS)),
    case("deberta_v3_answers", "DebertaV2ForQuestionAnswering", DEBERTA_V3),
    case("mobilebert", "MobileBertModel", MOBILE, types=True, gain=0.6),
    case("mobilebert_masked", "MobileBertForMaskedLM", MOBILE, types=True, gain=0.6),
    case("mobilebert_narrow_values", "MobileBertForTokenClassification",
         dict(MOBILE, use_bottleneck_attention=True, num_feedforward_networks=1, id2label=LABELS), types=True, gain=0.6),
    case("mobilebert_classifier", "MobileBertForSequenceClassification",
         dict(MOBILE, normalization_type="layer_norm", id2label=LABELS), types=True),
]

RELATIVE = [
    case("xlnet", "XLNetModel", XLNET),
    case("xlnet_classifier", "XLNetForSequenceClassification", dict(XLNET, id2label=LABELS), seed=1015),
]

# These come last, so that the seeds of the other cases do not change.
VARIANTS = [
    case("deberta_narrow", "DebertaForMaskedLM",
         dict(DEBERTA, hidden_size=27, num_attention_heads=3, embedding_size=10, max_relative_positions=5,
              pos_att_type=["p2c"], num_hidden_layers=1, hidden_act="gelu_new")),
    case("deberta_absolute", "DebertaForTokenClassification",
         dict(DEBERTA, relative_attention=False, position_biased_input=True, id2label=LABELS)),
    case("deberta_v2_new_head", "DebertaV2ForMaskedLM",
         dict(DEBERTA, legacy=False, position_buckets=12, max_relative_positions=20, conv_kernel_size=5,
              pos_att_type=["c2p"], embedding_size=24)),
    case("mobilebert_wide", "MobileBertForQuestionAnswering",
         dict(MOBILE, num_attention_heads=3, intra_bottleneck_size=12, key_query_shared_bottleneck=False, hidden_size=12,
              num_feedforward_networks=4, hidden_act="gelu"), types=True, gain=0.6),
    case("mobilebert_plain", "MobileBertForSequenceClassification",
         dict(MOBILE, use_bottleneck=False, trigram_input=False, intra_bottleneck_size=24, num_feedforward_networks=2,
              classifier_activation=False, id2label=LABELS), types=True, gain=0.6),
    case("xlm_language", "XLMWithLMHeadModel", dict(XLM, n_langs=3), greedy=False, language=2),
]

CASES = calm(DECODERS + ENCODERS + ENCODER_DECODERS + LATER_ENCODERS + RELATIVE + VARIANTS)
