"""The golden cases of the families that came after those in `recent.py`: each has a seed of its own, so that their order may change."""

from families import DEEP, LABELS, ROBERTA, XLNET, calm, case
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

# Families that the converter does not map: their folders are in `unmapped`.
CONVOLUTIONS = [
    case("convbert", "ConvBertModel", dict(BERT, embedding_size=24), folder="unmapped", seed=1040),
    case("lfm2", "Lfm2ForCausalLM", dict(vocab_size=61, hidden_size=24, intermediate_size=44, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2,
                                         max_position_embeddings=40, layer_types=["conv", "full_attention"], bos_token_id=1, eos_token_id=None), folder="unmapped", seed=1041),
]

CASES = calm(ENCODERS + ANSWERS + DECODERS + PAIRS + CONVOLUTIONS)
