"""The golden cases of the families that came after those in `recent.py`: each has a seed of its own, so that their order may change."""

from families import LABELS, XLNET, calm, case
from later import BERT

ENCODERS = [
    case("xlnet_masked", "XLNetLMHeadModel", dict(XLNET, clamp_len=6), greedy=False, seed=1020),
    case("xlnet_tags", "XLNetForTokenClassification", dict(XLNET, n_head=4, ff_activation="relu", id2label=LABELS), seed=1021),
    case("xlnet_answers", "XLNetForQuestionAnsweringSimple", dict(XLNET, layer_norm_eps=1e-3), seed=1022),
    case("xlnet_choices", "XLNetForMultipleChoice", dict(XLNET, summary_type="first"), seed=1023),
]

# Families that the converter does not map: their folders are in `unmapped`.
CONVOLUTIONS = [
    case("convbert", "ConvBertModel", dict(BERT, embedding_size=24), folder="unmapped", seed=1040),
    case("lfm2", "Lfm2ForCausalLM", dict(vocab_size=61, hidden_size=24, intermediate_size=44, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2,
                                         max_position_embeddings=40, layer_types=["conv", "full_attention"], bos_token_id=1, eos_token_id=None), folder="unmapped", seed=1041),
]

CASES = calm(ENCODERS + CONVOLUTIONS)
