/// The blob of words, aligned as it must be. `kinglet export` wrote this module.
pub const BLOB: &[u8] = kinglet::include_model!("home-words.kinglet");
/// The longest text, in tokens.
pub const MAX_TOKENS: usize = 48;
/// Bytes of arena that a session needs.
pub const ARENA: usize = kinglet::arena_bytes(BLOB, MAX_TOKENS);
/// The model, which was checked when this was written: it takes no memory, and no time when the program starts.
pub static MODEL: kinglet::Model<'static> = {
    use kinglet::format::{blob::*, spec::*};
    kinglet::Model::from_export(
        BLOB,
        0x4d296cc3,
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
                    hidden_size: 96,
                    num_hidden_layers: 3,
                    num_hidden_groups: 3,
                    inner_group_num: 1,
                    max_positions: 48,
                    embedding: EmbeddingSpec {
                        vocab_size: 640,
                        embedding_size: 96,
                        shared: false,
                        scale: None,
                        positions: true,
                        token_types: 1,
                        projection: EmbeddingProjection::None,
                        projection_bias: false,
                        norm: Some(NormSpec {
                            kind: NormKind::Layer,
                            bias: true,
                            epsilon: 27022,
                        }),
                    },
                    block: BlockSpec {
                        norm: NormSpec {
                            kind: NormKind::Layer,
                            bias: true,
                            epsilon: 27022,
                        },
                        residual: Residual::PostNorm,
                        skip_first_norm: false,
                        attention: AttentionSpec {
                            num_attention_heads: 4,
                            num_key_value_heads: 4,
                            head_dim: 24,
                            qkv_bias: true,
                            output_bias: true,
                            scale: Multiplier {
                                mantissa: 1264820160,
                                exponent: 32,
                            },
                            query_key_norm: None,
                            position: AttentionPosition::None,
                            window: 0,
                            sliding_layers: 0,
                            soft_cap: None,
                        },
                        cross_attention: false,
                        feed_forward: FeedForwardSpec {
                            intermediate_size: 224,
                            activation: Activation::Gelu,
                            gated: false,
                            bias: true,
                            networks: 1,
                        },
                        bottleneck: None,
                    },
                    final_norm: None,
                    convolution: None,
                }),
                decoder: None,
                head: HeadSpec {
                    task: Task::MaskedLm,
                    pooling: Pooling::None,
                    transform: Some(TransformSpec {
                        size: 96,
                        bias: true,
                        activation: Activation::Gelu,
                        norm: Some(NormSpec {
                            kind: NormKind::Layer,
                            bias: true,
                            epsilon: 27022,
                        }),
                    }),
                    output: OutputProjection::Tied,
                    num_outputs: 640,
                    bias: true,
                    normalize: false,
                    soft_cap: None,
                },
            },
            tokens: SpecialTokens {
                bos: None,
                eos: kinglet::heapless::Vec::from_array([]),
                pad: Some(0),
                mask: Some(4),
                decoder_start: None,
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
                source: "words",
                source_checksum: 3296022777,
                converter: "0.1.0",
            },
        },
        [
            0, 64016, 68832, 68944, 68944, 69728, 69728, 69728, 69728, 69728, 69728,
            70768, 70768, 70768, 70768, 87168, 0, 784, 10784, 20784, 30784, 30784, 30784,
            40784, 40784, 40784, 40784, 40784, 40784, 40784, 41568, 41568, 64880, 87168,
            87168, 87168, 87168, 87168, 87168, 87168, 87168, 87168, 87168, 87168, 87168,
            87168, 87168, 87168, 87168, 87168, 87168, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
            0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
            0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 332272, 342272, 343056, 344096,
            344096, 346656, 346656,
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
                NormalizerStep::Map {
                    entries: Span { start: 16, len: 1368 },
                    sequences: Span { start: 1384, len: 1 },
                },
                NormalizerStep::Decompose {
                    entries: Span { start: 1388, len: 16536 },
                    sequences: Span { start: 17924, len: 8072 },
                    classes: Span { start: 25996, len: 2108 },
                },
                NormalizerStep::Map {
                    entries: Span { start: 28104, len: 3744 },
                    sequences: Span { start: 31848, len: 8 },
                },
            ]),
            pre_tokenizer: kinglet::heapless::Vec::from_array([
                SplitStep::Split {
                    pattern: Pattern {
                        items: Span { start: 32068, len: 12 },
                        alternatives: Span { start: 32064, len: 1 },
                    },
                    behavior: Behavior::Removed,
                    invert: false,
                },
                SplitStep::Split {
                    pattern: Pattern {
                        items: Span { start: 33456, len: 12 },
                        alternatives: Span { start: 32064, len: 1 },
                    },
                    behavior: Behavior::Isolated,
                    invert: false,
                },
            ]),
            model: ModelSpec::WordPiece {
                unknown: 1,
                prefix: Span { start: 33468, len: 2 },
                max_input_chars: 100,
            },
            vocabulary: VocabularySpec {
                entries: 640,
                blocks: Span { start: 33472, len: 160 },
                data: Span { start: 33632, len: 1873 },
                width: 2,
                ids: Span { start: 35508, len: 1280 },
                ranks: Span { start: 36788, len: 1280 },
                prefixes: Span { start: 0, len: 0 },
            },
            byte_level: false,
            added: AddedSpec {
                raw: VocabularySpec {
                    entries: 5,
                    blocks: Span { start: 38068, len: 4 },
                    data: Span { start: 38072, len: 27 },
                    width: 2,
                    ids: Span { start: 38100, len: 10 },
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
                flags: Span { start: 38112, len: 20 },
                decoded: VocabularySpec {
                    entries: 5,
                    blocks: Span { start: 38068, len: 4 },
                    data: Span { start: 38072, len: 27 },
                    width: 2,
                    ids: Span { start: 38100, len: 10 },
                    ranks: Span { start: 38100, len: 10 },
                    prefixes: Span { start: 0, len: 0 },
                },
                spaces: Span { start: 31856, len: 208 },
                words: Span { start: 38132, len: 6496 },
            },
            single: kinglet::heapless::Vec::from_array([
                Piece::Special {
                    id: 2,
                    type_id: 0,
                },
                Piece::First { type_id: 0 },
                Piece::Special {
                    id: 3,
                    type_id: 0,
                },
            ]),
            pair: kinglet::heapless::Vec::from_array([
                Piece::Special {
                    id: 2,
                    type_id: 0,
                },
                Piece::First { type_id: 0 },
                Piece::Special {
                    id: 3,
                    type_id: 0,
                },
                Piece::Second { type_id: 1 },
                Piece::Special {
                    id: 3,
                    type_id: 1,
                },
            ]),
            trim_offsets: None,
            decoder: DecoderSpec::WordPiece {
                prefix: Span { start: 33468, len: 2 },
                cleanup: true,
            },
            words_per_byte: 12,
        },
        Uses::from_bits(0x83),
        [[0, 0, 134217728, 0, 0, 0, 0, 0], [0, 0, 0, 0, 0, 0, 0, 0]],
    )
};
