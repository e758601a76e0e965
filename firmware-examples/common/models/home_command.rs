/// The blob of command, aligned as it must be. `kinglet export` wrote this module.
pub const BLOB: &[u8] = kinglet::include_model!("home-command.kinglet");
/// The longest text, in tokens.
pub const MAX_TOKENS: usize = 48;
/// Bytes of arena that a session needs.
pub const ARENA: usize = kinglet::arena_bytes(BLOB, MAX_TOKENS);
/// The model, which was checked when this was written: it takes no memory, and no time when the program starts.
pub static MODEL: kinglet::Model<'static> = {
    use kinglet::format::{blob::*, spec::*};
    kinglet::Model::from_export(
        BLOB,
        0x42749954,
        Manifest {
            spec: ModelSpec {
                numerics: NumericsSpec {
                    fraction_bits: 16,
                    activations: ActivationWidth::A16,
                    keys: KeyWidth::K8,
                    weights: WeightLayout::Tiled,
                    tile: 8,
                },
                direction: Direction::Forward,
                encoder: Some(StackSpec {
                    hidden_size: 64,
                    num_hidden_layers: 3,
                    num_hidden_groups: 3,
                    inner_group_num: 1,
                    max_positions: 48,
                    embedding: EmbeddingSpec {
                        vocab_size: 464,
                        embedding_size: 64,
                        shared: false,
                        scale: None,
                        positions: false,
                        token_types: 0,
                        projection: EmbeddingProjection::None,
                        projection_bias: false,
                        norm: None,
                    },
                    block: BlockSpec {
                        norm: NormSpec {
                            kind: NormKind::Rms,
                            bias: false,
                            epsilon: 18014398509,
                        },
                        residual: Residual::PreNorm,
                        skip_first_norm: false,
                        attention: AttentionSpec {
                            num_attention_heads: 4,
                            num_key_value_heads: 4,
                            head_dim: 16,
                            qkv_bias: false,
                            output_bias: false,
                            scale: Multiplier {
                                mantissa: 1549082005,
                                exponent: 30,
                            },
                            query_key_norm: None,
                            position: AttentionPosition::RelativeBias {
                                distance: 20,
                            },
                            window: 0,
                            sliding_layers: 0,
                            soft_cap: None,
                        },
                        cross_attention: false,
                        feed_forward: FeedForwardSpec {
                            intermediate_size: 256,
                            activation: Activation::Relu,
                            gated: false,
                            bias: false,
                            networks: 1,
                        },
                        bottleneck: None,
                    },
                    final_norm: Some(NormSpec {
                        kind: NormKind::Rms,
                        bias: false,
                        epsilon: 18014398509,
                    }),
                    convolution: None,
                }),
                decoder: Some(StackSpec {
                    hidden_size: 64,
                    num_hidden_layers: 2,
                    num_hidden_groups: 2,
                    inner_group_num: 1,
                    max_positions: 48,
                    embedding: EmbeddingSpec {
                        vocab_size: 464,
                        embedding_size: 64,
                        shared: true,
                        scale: None,
                        positions: false,
                        token_types: 0,
                        projection: EmbeddingProjection::None,
                        projection_bias: false,
                        norm: None,
                    },
                    block: BlockSpec {
                        norm: NormSpec {
                            kind: NormKind::Rms,
                            bias: false,
                            epsilon: 18014398509,
                        },
                        residual: Residual::PreNorm,
                        skip_first_norm: false,
                        attention: AttentionSpec {
                            num_attention_heads: 4,
                            num_key_value_heads: 4,
                            head_dim: 16,
                            qkv_bias: false,
                            output_bias: false,
                            scale: Multiplier {
                                mantissa: 1549082005,
                                exponent: 30,
                            },
                            query_key_norm: None,
                            position: AttentionPosition::RelativeBias {
                                distance: 27,
                            },
                            window: 0,
                            sliding_layers: 0,
                            soft_cap: None,
                        },
                        cross_attention: true,
                        feed_forward: FeedForwardSpec {
                            intermediate_size: 256,
                            activation: Activation::Relu,
                            gated: false,
                            bias: false,
                            networks: 1,
                        },
                        bottleneck: None,
                    },
                    final_norm: Some(NormSpec {
                        kind: NormKind::Rms,
                        bias: false,
                        epsilon: 18014398509,
                    }),
                    convolution: None,
                }),
                head: HeadSpec {
                    task: Task::CausalLm,
                    pooling: Pooling::None,
                    transform: None,
                    output: OutputProjection::Tied,
                    num_outputs: 464,
                    bias: false,
                    normalize: false,
                    soft_cap: None,
                },
            },
            tokens: SpecialTokens {
                bos: None,
                eos: kinglet::heapless::Vec::from_array([1]),
                pad: Some(0),
                mask: None,
                decoder_start: Some(0),
                forced_bos: None,
                forced_eos: None,
                suppressed: kinglet::heapless::Vec::from_array([]),
                suppressed_first: kinglet::heapless::Vec::from_array([]),
            },
            generation: GenerationDefaults {
                num_beams: 1,
                length_penalty: 65536,
                early_stopping: EarlyStopping::Heuristic,
                no_repeat_ngram_size: 0,
                min_length: 0,
                repetition_penalty: 65536,
            },
            labels: "",
            provenance: Provenance {
                source: "command",
                source_checksum: 3387031488,
                converter: "0.1.0",
            },
        },
        [
            0, 31568, 31568, 31568, 31568, 31568, 31840, 31840, 31840, 32496, 32496,
            32496, 32496, 32496, 32496, 52096, 0, 272, 4640, 9008, 13376, 13376, 13376,
            17744, 17744, 17744, 17744, 17744, 17744, 17744, 18016, 18016, 35440, 52096,
            52096, 52096, 52096, 52096, 52096, 52096, 52096, 52096, 52096, 52096, 52096,
            52096, 52096, 52096, 52096, 52096, 52096, 188784, 188784, 188784, 188784,
            188784, 188784, 189056, 189056, 189056, 189504, 189504, 189504, 189504,
            189504, 189504, 69840, 0, 272, 4640, 9008, 13376, 13376, 13376, 17744, 17744,
            18016, 22384, 26752, 31120, 35488, 35760, 35760, 53184, 69840, 69840, 69840,
            69840, 69840, 69840, 69840, 69840, 69840, 69840, 69840, 69840, 69840, 69840,
            69840, 69840, 69840, 69840, 329184, 329184, 329184, 329184, 329184, 329184,
            329184,
        ],
    )
};
/// Its tokenizer, likewise.
pub static TOKENIZER: kinglet::tokenizer::Tokenizer<'static> = {
    use kinglet::tokenizer::{pattern::*, section::*, tables::*, vocabulary::*};
    kinglet::tokenizer::Tokenizer::from_export(
        MODEL.tokenizer_section(),
        Header {
            normalizer: kinglet::heapless::Vec::from_array([
                NormalizerStep::Decompose {
                    entries: Span { start: 16, len: 34824 },
                    sequences: Span { start: 34840, len: 16751 },
                    classes: Span { start: 51592, len: 2108 },
                },
                NormalizerStep::Compose {
                    classes: Span { start: 51592, len: 2108 },
                    pairs: Span { start: 53700, len: 11280 },
                },
                NormalizerStep::Map {
                    entries: Span { start: 64980, len: 1616 },
                    sequences: Span { start: 66596, len: 7 },
                },
                NormalizerStep::Replace {
                    pattern: Pattern {
                        items: Span { start: 66740, len: 12 },
                        alternatives: Span { start: 66752, len: 1 },
                    },
                    content: Span { start: 66756, len: 1 },
                },
            ]),
            pre_tokenizer: kinglet::heapless::Vec::from_array([
                SplitStep::Metaspace {
                    replacement: '▁',
                    prepend: Prepend::Always,
                    split: true,
                },
                SplitStep::Split {
                    pattern: Pattern {
                        items: Span { start: 68056, len: 12 },
                        alternatives: Span { start: 66752, len: 1 },
                    },
                    behavior: Behavior::Isolated,
                    invert: false,
                },
            ]),
            model: ModelSpec::Unigram {
                scores: Span { start: 68068, len: 3712 },
                unknown_score: 13851184123347074910,
                unknown: Some(2),
                bytes: Span { start: 0, len: 0 },
            },
            vocabulary: VocabularySpec {
                entries: 464,
                blocks: Span { start: 71780, len: 116 },
                data: Span { start: 71896, len: 1224 },
                width: 2,
                ids: Span { start: 73120, len: 928 },
                ranks: Span { start: 74048, len: 928 },
                prefixes: Span { start: 74976, len: 1856 },
            },
            byte_level: false,
            added: AddedSpec {
                raw: VocabularySpec {
                    entries: 3,
                    blocks: Span { start: 76832, len: 4 },
                    data: Span { start: 76836, len: 15 },
                    width: 2,
                    ids: Span { start: 76852, len: 6 },
                    ranks: Span { start: 0, len: 0 },
                    prefixes: Span { start: 0, len: 0 },
                },
                normalized: VocabularySpec {
                    entries: 0,
                    blocks: Span { start: 0, len: 0 },
                    data: Span { start: 0, len: 0 },
                    width: 2,
                    ids: Span { start: 0, len: 0 },
                    ranks: Span { start: 0, len: 0 },
                    prefixes: Span { start: 0, len: 0 },
                },
                flags: Span { start: 76860, len: 12 },
                decoded: VocabularySpec {
                    entries: 3,
                    blocks: Span { start: 76832, len: 4 },
                    data: Span { start: 76836, len: 15 },
                    width: 2,
                    ids: Span { start: 76852, len: 6 },
                    ranks: Span { start: 76852, len: 6 },
                    prefixes: Span { start: 0, len: 0 },
                },
                spaces: Span { start: 76872, len: 208 },
                words: Span { start: 77080, len: 6496 },
            },
            single: kinglet::heapless::Vec::from_array([
                Piece::First { type_id: 0 },
                Piece::Special {
                    id: 1,
                    type_id: 0,
                },
            ]),
            pair: kinglet::heapless::Vec::from_array([
                Piece::First { type_id: 0 },
                Piece::Special {
                    id: 1,
                    type_id: 0,
                },
                Piece::Second { type_id: 0 },
                Piece::Special {
                    id: 1,
                    type_id: 0,
                },
            ]),
            trim_offsets: None,
            decoder: DecoderSpec::Metaspace {
                replacement: '▁',
                drop_first: true,
            },
            words_per_byte: 73,
        },
        Uses::from_bits(0x297),
        [[0, 268435456, 0, 0, 0, 0, 0, 0], [0, 0, 0, 0, 0, 0, 0, 0]],
    )
};
