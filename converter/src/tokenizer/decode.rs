//! Converts the decoder, which turns tokens into a text.

use anyhow::Result;
use kinglet::tokenizer::section::DecoderSpec;
use serde_json::Value;

use super::builder::Builder;
use super::description::{character, flag, parts, unsupported};

impl Builder<'_> {
    pub(super) fn decoder(&mut self) -> Result<DecoderSpec> {
        let description = &self.description["decoder"];
        let parts = parts(description, "decoders");
        let kinds: Vec<&str> = parts.iter().map(|part| part["type"].as_str().unwrap_or_default()).collect();
        let fallback = |replace: Option<&Value>, strip: Option<&Value>| -> Result<DecoderSpec> {
            let replacement = match replace {
                None => None,
                Some(part) if part["content"] == " " => Some(character(&part["pattern"], "String", '▁')?),
                Some(part) => return Err(unsupported("decoder", part)),
            };
            let strip = match strip {
                None => 0,
                Some(part) if part["content"] == " " && part["stop"] == 0 => {
                    part["start"].as_u64().unwrap_or(0).min(255) as u8
                }
                Some(part) => return Err(unsupported("decoder", part)),
            };
            Ok(DecoderSpec::ByteFallback { replacement, strip })
        };
        Ok(match kinds[..] {
            [] => DecoderSpec::Spaces,
            ["Fuse"] => DecoderSpec::Fuse,
            ["ByteLevel"] => DecoderSpec::ByteLevel,
            ["WordPiece"] => DecoderSpec::WordPiece {
                prefix: self.tables.add(parts[0]["prefix"].as_str().unwrap_or("##").as_bytes()),
                cleanup: flag(parts[0], "cleanup", true),
            },
            ["BPEDecoder"] => DecoderSpec::Suffix {
                suffix: self.tables.add(parts[0]["suffix"].as_str().unwrap_or("</w>").as_bytes()),
            },
            ["Metaspace"] => DecoderSpec::Metaspace {
                replacement: character(parts[0], "replacement", '▁')?,
                drop_first: parts[0]["prepend_scheme"] != "never" && parts[0]["add_prefix_space"] != false,
            },
            ["Replace", "ByteFallback", "Fuse", "Strip"] => fallback(Some(parts[0]), Some(parts[3]))?,
            ["Replace", "ByteFallback", "Fuse"] => fallback(Some(parts[0]), None)?,
            ["ByteFallback", "Fuse"] | ["ByteFallback"] => fallback(None, None)?,
            _ => return Err(unsupported("decoder", description)),
        })
    }
}
