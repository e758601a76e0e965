/// The blob of stories-backward, aligned as it must be. `kinglet export` wrote this module.
pub const BLOB: &[u8] = kinglet::include_model!("stories-backward.kinglet");
/// The longest text, in tokens.
pub const MAX_TOKENS: usize = 128;
/// Bytes of arena that a session needs.
pub const ARENA: usize = kinglet::arena_bytes(BLOB, MAX_TOKENS);
/// The model, which was checked when this was written: it takes no memory, and no time when the program starts.
pub static MODEL: kinglet::Model<'static> = {
    use kinglet::format::{blob::*, spec::*};
    kinglet::Model::from_export(
        BLOB,
        0xc896ccda,
        Manifest {
            spec: ModelSpec {
                numerics: NumericsSpec {
                    fraction_bits: 16,
                    activations: ActivationWidth::A16,
                    keys: KeyWidth::K16,
                    weights: WeightLayout::Tiled,
                    tile: 1,
                },
                direction: Direction::Backward,
                encoder: None,
                decoder: Some(StackSpec {
                    hidden_size: 64,
                    num_hidden_layers: 5,
                    num_hidden_groups: 5,
                    inner_group_num: 1,
                    max_positions: 256,
                    embedding: EmbeddingSpec {
                        vocab_size: 512,
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
                            epsilon: 180143985095,
                        },
                        residual: Residual::PreNorm,
                        skip_first_norm: false,
                        attention: AttentionSpec {
                            num_attention_heads: 8,
                            num_key_value_heads: 4,
                            head_dim: 8,
                            qkv_bias: false,
                            output_bias: false,
                            scale: Multiplier {
                                mantissa: 1095366390,
                                exponent: 31,
                            },
                            query_key_norm: None,
                            position: AttentionPosition::Rotary {
                                dims: 8,
                                local: false,
                                layers: 31,
                            },
                            window: 0,
                            sliding_layers: 0,
                            soft_cap: None,
                        },
                        cross_attention: false,
                        feed_forward: FeedForwardSpec {
                            intermediate_size: 172,
                            activation: Activation::Silu,
                            gated: true,
                            bias: false,
                            networks: 1,
                        },
                        bottleneck: None,
                    },
                    final_norm: Some(NormSpec {
                        kind: NormKind::Rms,
                        bias: false,
                        epsilon: 180143985095,
                    }),
                    convolution: None,
                }),
                head: HeadSpec {
                    task: Task::CausalLm,
                    pooling: Pooling::None,
                    transform: None,
                    output: OutputProjection::Tied,
                    num_outputs: 512,
                    bias: false,
                    normalize: false,
                    soft_cap: None,
                },
            },
            tokens: SpecialTokens {
                bos: Some(2),
                eos: kinglet::heapless::Vec::from_array([1]),
                pad: None,
                mask: None,
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
                source: "stories-backward",
                source_checksum: 1543640619,
                converter: "0.1.0",
            },
        },
        [
            0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
            0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
            34832, 34832, 34832, 34832, 34832, 35104, 39200, 39200, 39200, 39200, 40240,
            40240, 40240, 40240, 48368, 0, 272, 4640, 6832, 9024, 9024, 9024, 13392,
            13392, 13392, 13392, 13392, 13392, 13392, 13664, 25376, 37088, 48368, 48368,
            48368, 48368, 48368, 48368, 48368, 48368, 48368, 48368, 48368, 48368, 48368,
            48368, 48368, 48368, 48368, 48368, 282080, 282080, 282080, 282080, 282080,
            282080, 282080,
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
                NormalizerStep::Prepend {
                    content: Span { start: 16, len: 3 },
                },
                NormalizerStep::Replace {
                    pattern: Pattern {
                        items: Span { start: 160, len: 12 },
                        alternatives: Span { start: 156, len: 1 },
                    },
                    content: Span { start: 16, len: 3 },
                },
            ]),
            pre_tokenizer: kinglet::heapless::Vec::from_array([]),
            model: ModelSpec::Bpe {
                merges: MergesSpec {
                    lefts: Span { start: 172, len: 2000 },
                    width: 2,
                    rights: Span { start: 2172, len: 418 },
                    merged: Span { start: 2592, len: 418 },
                    order: Span { start: 0, len: 0 },
                },
                unknown: Some(0),
                fuse_unknown: true,
                ignore_merges: false,
                suffix: Span { start: 0, len: 0 },
                prefix: Span { start: 0, len: 0 },
                bytes: Span { start: 3012, len: 1024 },
            },
            vocabulary: VocabularySpec {
                entries: 512,
                blocks: Span { start: 4036, len: 128 },
                data: Span { start: 4164, len: 1495 },
                width: 2,
                ids: Span { start: 5660, len: 1024 },
                ranks: Span { start: 6684, len: 1024 },
                prefixes: Span { start: 0, len: 0 },
            },
            byte_level: false,
            added: AddedSpec {
                raw: VocabularySpec {
                    entries: 3,
                    blocks: Span { start: 7708, len: 4 },
                    data: Span { start: 7712, len: 13 },
                    width: 2,
                    ids: Span { start: 7728, len: 6 },
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
                flags: Span { start: 7736, len: 12 },
                decoded: VocabularySpec {
                    entries: 3,
                    blocks: Span { start: 7708, len: 4 },
                    data: Span { start: 7712, len: 13 },
                    width: 2,
                    ids: Span { start: 7728, len: 6 },
                    ranks: Span { start: 7728, len: 6 },
                    prefixes: Span { start: 0, len: 0 },
                },
                spaces: Span { start: 7748, len: 208 },
                words: Span { start: 7956, len: 6496 },
            },
            single: kinglet::heapless::Vec::from_array([
                Piece::First { type_id: 0 },
                Piece::Special {
                    id: 2,
                    type_id: 0,
                },
            ]),
            pair: kinglet::heapless::Vec::from_array([
                Piece::First { type_id: 0 },
                Piece::Special {
                    id: 2,
                    type_id: 0,
                },
                Piece::Second { type_id: 1 },
                Piece::Special {
                    id: 2,
                    type_id: 1,
                },
            ]),
            trim_offsets: None,
            decoder: DecoderSpec::ByteFallback {
                replacement: Some('▁'),
                strip: 1,
            },
            words_per_byte: 36,
        },
        Uses::from_bits(0x50),
        [[0, 268435456, 0, 0, 0, 0, 0, 0], [0, 0, 0, 0, 0, 0, 0, 0]],
    )
};
