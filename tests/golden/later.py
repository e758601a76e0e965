"""The golden cases of the families that came after those in `families.py`, in the order in which they came: a case's place is its seed."""

from families import GATED, LABELS, WIDE, calm, case, flat_rope, only

# Decoders that are variations of Llama's block.
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

CASES = calm(LLAMAS)
