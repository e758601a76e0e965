"""The golden cases of families that were added after those in `families.py`, in the order of their addition, because a case's index is its seed."""

from families import BART, DEEP, GATED, LABELS, MODERN, OLD, ROBERTA, WIDE, calm, case, flat_rope, only

# Decoders with variations of Llama's block.
PARTIAL = dict(GATED, head_dim=12)


def rope(**keys):
    return {"rope_type": "default", "rope_theta": 10000.0, **keys}


LLAMAS = [
    case("arcee", "ArceeForCausalLM", dict(GATED, head_dim=10, attention_bias=True)),
    case("arcee_classifier", "ArceeForSequenceClassification", dict(GATED, mlp_bias=True, hidden_act="silu", pad_token_id=0, id2label=LABELS)),
    case("granite", "GraniteForCausalLM",
         dict(GATED, embedding_multiplier=3.0, logits_scaling=4.0, residual_multiplier=0.4, attention_multiplier=0.3), config_edit=flat_rope),
    case("granite_tied", "GraniteForCausalLM",
         dict(GATED, embedding_multiplier=0.5, logits_scaling=0.5, residual_multiplier=1.5, attention_multiplier=0.2, attention_bias=True,
              mlp_bias=True, tie_word_embeddings=True)),
    case("smollm3", "SmolLM3ForCausalLM", dict(GATED, no_rope_layers=[1, 0, 1]), config_edit=only("layer_types")),
    case("smollm3_windows", "SmolLM3ForCausalLM",
         dict(GATED, no_rope_layer_interval=2, use_sliding_window=True, sliding_window=4, attention_bias=True, tie_word_embeddings=False),
         config_edit=only("layer_types", "no_rope_layers")),
    case("helium", "HeliumForCausalLM", dict(GATED, head_dim=6)),
    case("helium_tags", "HeliumForTokenClassification", dict(GATED, head_dim=6, attention_bias=True, mlp_bias=True, id2label=LABELS)),
    case("ministral", "MinistralForCausalLM",
         dict(GATED, head_dim=6, sliding_window=4, layer_types=["full_attention", "sliding_attention", "full_attention"])),
    case("ministral_answers", "MinistralForQuestionAnswering", dict(GATED, sliding_window=5, head_dim=10), config_edit=only("layer_types")),
    case("starcoder2", "Starcoder2ForCausalLM", GATED, config_edit=flat_rope),
    case("starcoder2_windows", "Starcoder2ForCausalLM",
         dict(GATED, sliding_window=5, use_bias=False, tie_word_embeddings=False, num_key_value_heads=1, norm_epsilon=1e-3)),
    case("olmo", "OlmoForCausalLM", GATED),
    case("olmo_classifier", "OlmoForSequenceClassification", dict(GATED, attention_bias=True, pad_token_id=0, id2label=LABELS)),
    case("stablelm", "StableLmForCausalLM",
         dict(GATED, num_attention_heads=3, num_key_value_heads=3, use_qkv_bias=True), config_edit=flat_rope),
    case("stablelm_parallel", "StableLmForCausalLM",
         dict(GATED, use_parallel_residual=True, num_attention_heads=2, num_key_value_heads=1, tie_word_embeddings=True,
              rope_parameters=rope(partial_rotary_factor=0.5))),
    case("cohere", "CohereForCausalLM", dict(GATED, logit_scale=0.25)),
    case("cohere_biases", "CohereForCausalLM", dict(GATED, logit_scale=2.0, attention_bias=True, tie_word_embeddings=False, layer_norm_eps=1e-3)),
    case("phi3", "Phi3ForCausalLM", dict(GATED, num_attention_heads=3, num_key_value_heads=1), config_edit=flat_rope),
    case("phi3_partial", "Phi3ForCausalLM",
         dict(GATED, num_attention_heads=2, sliding_window=4, tie_word_embeddings=True, rope_parameters=rope(partial_rotary_factor=0.5))),
    case("glm", "GlmForCausalLM", dict(GATED, head_dim=8), config_edit=flat_rope),
    case("glm_classifier", "GlmForSequenceClassification",
         dict(GATED, head_dim=8, attention_bias=False, pad_token_id=0, rope_parameters=rope(partial_rotary_factor=1.0), id2label=LABELS)),
    case("gemma2", "Gemma2ForCausalLM",
         dict(GATED, head_dim=10, sliding_window=5, query_pre_attn_scalar=10, attn_logit_softcapping=2.0, final_logit_softcapping=3.0), one=0.0),
    case("gemma2_uncapped", "Gemma2ForCausalLM",
         dict(GATED, head_dim=6, sliding_window=4, query_pre_attn_scalar=6, attn_logit_softcapping=None, final_logit_softcapping=None,
              layer_types=["full_attention", "sliding_attention", "sliding_attention"]), one=0.0),
]

BLOOM = dict(vocab_size=61, hidden_size=24, n_layer=2, n_head=4, bos_token_id=1, eos_token_id=None, pad_token_id=None)
MPT = dict(vocab_size=61, d_model=24, n_layers=2, n_heads=3, max_seq_len=40, bos_token_id=1)
FALCON = dict(WIDE, num_hidden_layers=2)
CODE = dict(OLD, n_head=4)

# Decoders with one matrix for queries, keys and values.
FUSED = [
    case("bloom", "BloomForCausalLM", BLOOM),
    case("bloom_tags", "BloomForTokenClassification", dict(BLOOM, n_head=6, id2label=LABELS)),
    case("mpt", "MptForCausalLM", MPT),
    case("mpt_classifier", "MptForSequenceClassification",
         dict(MPT, n_heads=4, pad_token_id=0, id2label=LABELS, attn_config=dict(softmax_scale=0.5))),
    case("falcon", "FalconForCausalLM", FALCON),
    case("falcon_new", "FalconForCausalLM", dict(FALCON, new_decoder_architecture=True, num_kv_heads=2, ffn_hidden_size=44), config_edit=flat_rope),
    case("falcon_alibi", "FalconForCausalLM", dict(FALCON, alibi=True, multi_query=False, parallel_attn=False, bias=True)),
    case("falcon_answers", "FalconForQuestionAnswering",
         dict(FALCON, new_decoder_architecture=True, num_kv_heads=1, num_ln_in_parallel_attn=1, bias=True)),
    case("gpt_bigcode", "GPTBigCodeForCausalLM", OLD),
    case("gpt_bigcode_heads", "GPTBigCodeForCausalLM",
         dict(OLD, multi_query=False, n_inner=50, scale_attn_weights=False, activation_function="gelu", tie_word_embeddings=False), quiet=("c_attn",)),
    case("codegen", "CodeGenForCausalLM", dict(CODE, rotary_dim=4)),
    case("codegen_full", "CodeGenForCausalLM", dict(CODE, rotary_dim=6, n_inner=40, activation_function="relu")),
]

# Encoders.
BERT = dict(DEEP, num_hidden_layers=2, type_vocab_size=2, pad_token_id=0)
NOMIC = dict(BERT, bos_token_id=None)
EURO = dict(GATED, num_hidden_layers=2, pad_token_id=0, mask_token_id=3)
ETTIN = dict(MODERN, num_hidden_layers=4)

ENCODERS = [
    case("ernie", "ErnieForMaskedLM", dict(BERT, hidden_act="relu"), types=True),
    case("ernie_tasks", "ErnieForSequenceClassification", dict(BERT, use_task_id=True, task_type_vocab_size=3, id2label=LABELS), types=True),
    case("megatron_bert", "MegatronBertForMaskedLM", BERT, types=True),
    case("megatron_bert_tags", "MegatronBertForTokenClassification", dict(BERT, layer_norm_eps=1e-5, id2label=LABELS), types=True),
    case("roberta_prelayernorm", "RobertaPreLayerNormForMaskedLM", dict(ROBERTA, num_hidden_layers=2)),
    case("roberta_prelayernorm_classifier", "RobertaPreLayerNormForSequenceClassification",
         dict(ROBERTA, num_hidden_layers=2, type_vocab_size=2, id2label=LABELS)),
    case("data2vec_text", "Data2VecTextForMaskedLM", dict(ROBERTA, num_hidden_layers=2)),
    case("data2vec_text_answers", "Data2VecTextForQuestionAnswering", dict(ROBERTA, num_hidden_layers=1)),
    case("nomic_bert", "NomicBertModel", NOMIC, types=True),
    case("nomic_bert_masked", "NomicBertForMaskedLM", dict(NOMIC, rope_parameters=rope(rope_theta=500.0)), types=True),
    case("nomic_bert_classifier", "NomicBertForSequenceClassification", dict(NOMIC, hidden_act="gelu", id2label=LABELS), types=True),
    case("eurobert", "EuroBertForMaskedLM", EURO),
    case("eurobert_classifier", "EuroBertForSequenceClassification",
         dict(EURO, attention_bias=True, mlp_bias=True, classifier_pooling="mean", id2label=LABELS)),
    case("eurobert_tags", "EuroBertForTokenClassification", dict(EURO, head_dim=10, id2label=LABELS)),
    case("modernbert_decoder", "ModernBertDecoderForCausalLM", ETTIN, config_edit=only("sliding_window")),
    case("modernbert_decoder_classifier", "ModernBertDecoderForSequenceClassification",
         dict(ETTIN, norm_bias=True, attention_bias=True, mlp_bias=True, classifier_bias=True, classifier_activation="relu", id2label=LABELS)),
]

# Encoder-decoders.
PAIR = dict(BART, decoder_layers=2)

PAIRS = [
    case("blenderbot", "BlenderbotForConditionalGeneration", dict(PAIR, scale_embedding=True, encoder_no_repeat_ngram_size=0), target=True),
    case("mvp", "MvpForConditionalGeneration", dict(PAIR, activation_function="relu"), target=True),
    case("mvp_classifier", "MvpForSequenceClassification", dict(PAIR, id2label=LABELS), target="shifted"),
    case("plbart", "PLBartForConditionalGeneration", PAIR, target=True),
]

# Rotary positions that are scaled for longer texts.
LONG = dict(GATED, num_hidden_layers=2, head_dim=12)

ROPES = [
    case("llama_rope_linear", "LlamaForCausalLM", dict(LONG, rope_parameters=rope(rope_type="linear", factor=4.0))),
    case("llama_rope_dynamic", "LlamaForCausalLM", dict(LONG, rope_parameters=rope(rope_type="dynamic", factor=2.0))),
    case("llama_rope_llama3", "LlamaForCausalLM",
         dict(LONG, rope_parameters=rope(rope_type="llama3", rope_theta=100.0, factor=4.0, low_freq_factor=1.0, high_freq_factor=4.0,
                                         original_max_position_embeddings=20))),
    case("qwen2_rope_yarn", "Qwen2ForCausalLM",
         dict(GATED, num_hidden_layers=2, rope_parameters=rope(rope_type="yarn", rope_theta=100.0, factor=4.0, original_max_position_embeddings=10))),
]

CASES = calm(LLAMAS + FUSED + ENCODERS + PAIRS + ROPES)
