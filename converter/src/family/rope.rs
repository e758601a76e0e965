//! Reads rotary positions in all spellings of configurations, and their changes for longer texts.

use anyhow::Result;
use kinglet::format::spec::{AttentionPosition, StackSpec};
use serde_json::Value as Json;

use super::draft::Context;
use super::source::{Source, Value};
use crate::config::Config;
use crate::fixed::{multiplier, real};
use crate::refuse;
use crate::tables::{Rotation, Scaling};

/// Rotary positions of a configuration.
pub(super) struct Rope {
    /// The base of the frequencies.
    pub(super) theta: f64,
    /// The part of each head that is rotated.
    pub(super) partial: f64,
    /// The change to the frequencies for longer texts.
    scaling: Scaling,
    /// A factor on the rotated values.
    amplitude: f64,
}

impl Rope {
    /// Rotary positions without a change for longer texts.
    pub(super) fn plain(theta: f64, partial: f64) -> Self {
        Self { theta, partial, scaling: Scaling::None, amplitude: 1.0 }
    }

    /// Rotary positions that are stretched by `factor` at any length: the base is multiplied by it,
    /// and all frequencies are divided by its power `2 / head_dim`.
    pub(super) fn ntk(theta: f64, factor: f64, head_dim: u16) -> Self {
        let fall = libm::pow(factor, 2.0 / f64::from(head_dim.max(1)));
        Self { scaling: Scaling::Linear(fall as f32), ..Self::plain(theta * factor, 1.0) }
    }

    /// Rotary positions with the given frequencies, whatever `theta` is.
    pub(super) fn stored(theta: f64, frequencies: &[f32]) -> Self {
        let width = 2 * frequencies.len().max(1);
        let plain = |pair: usize| libm::pow(theta, -((2 * pair) as f64) / width as f64);
        let factors = frequencies.iter().enumerate().map(|(pair, stored)| (plain(pair) / f64::from(*stored)) as f32);
        Self { scaling: Scaling::Long(factors.collect()), ..Self::plain(theta, 1.0) }
    }

    /// The table of cosines and sines.
    pub(super) fn table(&self) -> Source {
        self.rotation(None)
    }

    /// The table with frequencies spread over `width` rather than over the rotated dimensions.
    pub(super) fn table_over(&self, width: u16) -> Source {
        self.rotation(Some(width))
    }

    fn rotation(&self, spread: Option<u16>) -> Source {
        Value::Rotary(Rotation { theta: self.theta, spread, scaling: self.scaling.clone() }).into()
    }

    /// Multiplies queries and keys by the amplitude, and so the scores by its square.
    pub(super) fn amplify(&self, stack: &mut StackSpec) -> Result<()> {
        let attention = &mut stack.block.attention;
        if self.amplitude == 1.0 {
            return Ok(());
        }
        if !matches!(attention.position, AttentionPosition::Rotary { dims, .. } if dims == attention.head_dim) {
            return Err(refuse(
                "config.json says a `rope_type` that scales the rotated values, and a `partial_rotary_factor`",
                "both together are not implemented: this checkpoint cannot be converted",
            ));
        }
        attention.scale = multiplier(real(attention.scale) * self.amplitude * self.amplitude)?;
        Ok(())
    }
}

/// Reads rotary positions in all spellings: `rope_parameters`, which older files call
/// `rope_scaling`, and separate keys for values that it lacks. `layer_type` selects one of several.
/// Kinds that multiply the rotated values are refused.
pub(super) fn rope(
    context: &Context<'_>,
    layer_type: Option<&str>,
    theta_key: &str,
    partial_key: Option<&str>,
    default: Rope,
) -> Result<Rope> {
    let found = scaled_rope(context, layer_type, theta_key, partial_key, default)?;
    if found.amplitude != 1.0 {
        let section = section(context.config, layer_type);
        return Err(refuse(
            format_args!("config.json says a `{section}.rope_type` that scales the rotated values"),
            "this family implements only default, linear, dynamic and llama3",
        ));
    }
    Ok(found)
}

/// The path of the object that describes the positions.
fn section(config: &Config, layer_type: Option<&str>) -> String {
    match layer_type {
        Some(kind) => format!("rope_parameters.{kind}"),
        None if is_older(config) => "rope_scaling".to_owned(),
        None => "rope_parameters".to_owned(),
    }
}

fn is_older(config: &Config) -> bool {
    config.peek("rope_scaling").and_then(Json::as_object).is_some_and(|map| !map.is_empty())
}

/// Like [`rope`], with every kind that is implemented.
pub(super) fn scaled_rope(
    context: &Context<'_>,
    layer_type: Option<&str>,
    theta_key: &str,
    partial_key: Option<&str>,
    default: Rope,
) -> Result<Rope> {
    let config = context.config;
    let section = section(config, layer_type);
    let key = |name: &str| format!("{section}.{name}");
    if is_older(config) {
        config.get(&["rope_parameters"]);
    }
    if layer_type.is_some() {
        for key in ["rope_scaling.rope_type", "rope_scaling.type"] {
            config.only(key, &["default".into()])?;
        }
        config.only("rope_scaling.rope_theta", &[])?;
    }
    // The newer name takes precedence.
    let kind = if config.peek(&key("rope_type")).is_some() { "rope_type" } else { "type" };
    config.get(&[&key("type")]);
    let mut found = Rope {
        theta: config.real_or(&[&key("rope_theta"), theta_key], default.theta)?,
        partial: match partial_key {
            Some(older) => config.real_or(&[&key("partial_rotary_factor"), older], default.partial)?,
            None => default.partial,
        },
        ..default
    };
    let keys = Keys { context, section: &section };
    let name = config.text_or(&[&key(kind)], "default")?;
    (found.scaling, found.amplitude) = match name {
        "default" => (Scaling::None, 1.0),
        "linear" => (Scaling::Linear(keys.number("factor")? as f32), 1.0),
        "dynamic" => (keys.dynamic()?, 1.0),
        "llama3" => (keys.llama3()?, 1.0),
        "yarn" | "su" if context.model_type == "phi3" => keys.long()?,
        "yarn" => keys.yarn(found.theta, found.partial)?,
        "longrope" => keys.long()?,
        _ => {
            return Err(refuse(
                format_args!("config.json says `{}` = \"{name}\", which is not implemented", key(kind)),
                "only default, linear, dynamic, llama3, yarn and longrope are implemented",
            ));
        }
    };
    Ok(found)
}

/// The keys of one kind.
struct Keys<'a> {
    context: &'a Context<'a>,
    section: &'a str,
}

impl Keys<'_> {
    fn key(&self, name: &str) -> String {
        format!("{}.{name}", self.section)
    }

    fn optional(&self, name: &str) -> Result<Option<f64>> {
        let key = self.key(name);
        let config = self.context.config;
        if config.get(&[&key]).is_none() { Ok(None) } else { config.real_or(&[&key], 1.0).map(Some) }
    }

    /// A required number above 0.
    fn number(&self, name: &str) -> Result<f64> {
        self.optional(name)?.filter(|x| *x > 0.0).ok_or_else(|| {
            refuse(
                format_args!("config.json does not say `{}`, or no number above 0", self.key(name)),
                "add it, or take config.json from the checkpoint's page again",
            )
        })
    }

    fn longest(&self) -> Result<u32> {
        self.context.config.size(&["max_position_embeddings", "n_positions"])
    }

    /// The longest text in pretraining.
    fn original(&self) -> Result<u32> {
        let config = self.context.config;
        let (own, inner) = ("original_max_position_embeddings", self.key("original_max_position_embeddings"));
        match config.optional_size(&[own, &inner])? {
            Some(original) => Ok(original.max(1)),
            None => self.longest(),
        }
    }

    /// Dynamic scaling, which changes nothing up to the trained length.
    fn dynamic(&self) -> Result<Scaling> {
        self.number("factor")?;
        self.fits("dynamic", self.longest()?)?;
        Ok(Scaling::None)
    }

    /// Refuses more tokens than one table of angles serves.
    fn fits(&self, kind: &str, longest: u32) -> Result<()> {
        let wanted = self.context.computed_positions(self.longest()?);
        if wanted <= longest {
            return Ok(());
        }
        Err(refuse(
            format_args!(
                "config.json says `{}` = \"{kind}\", which rotates by other angles in texts of more than {longest} tokens",
                self.key("rope_type")
            ),
            format_args!("give --max-tokens {longest} or less"),
        ))
    }

    fn llama3(&self) -> Result<Scaling> {
        let factor = self.number("factor")? as f32;
        let (low, high) = (self.number("low_freq_factor")?, self.number("high_freq_factor")?);
        if high <= low {
            return Err(refuse(
                format_args!("config.json says `{}` that is not above `low_freq_factor`", self.key("high_freq_factor")),
                "take config.json from the checkpoint's page again",
            ));
        }
        let original = self.original()? as f32;
        Ok(Scaling::Llama3 { factor, low_freq_factor: low as f32, high_freq_factor: high as f32, original })
    }

    fn yarn(&self, theta: f64, partial: f64) -> Result<(Scaling, f64)> {
        let config = self.context.config;
        let original = f64::from(self.original()?);
        let factor = self
            .optional("factor")?
            .map_or_else(|| Ok(f64::from(self.longest()?) / original), Ok::<_, anyhow::Error>)?;
        let grown = |by: f64| if factor <= 1.0 { 1.0 } else { 0.1 * by * libm::log(factor) + 1.0 };
        let given = |name| self.optional(name).map(|x| x.filter(|x| *x != 0.0));
        let amplitude = match (self.optional("attention_factor")?, given("mscale")?, given("mscale_all_dim")?) {
            (Some(said), ..) => said,
            (None, Some(most), Some(all)) => grown(most) / grown(all),
            _ => grown(1.0),
        };
        let head_dim = match config.optional_size(&["head_dim"])? {
            Some(dim) => dim,
            None => {
                let heads = config.size(&["num_attention_heads"])?.max(1);
                config.size(&["hidden_size"])? / heads
            }
        };
        let dims = libm::trunc(f64::from(head_dim) * partial);
        let turning =
            |turns: f64| dims * libm::log(original / (turns * core::f64::consts::TAU)) / (2.0 * libm::log(theta));
        let (fast, slow) = (given("beta_fast")?.unwrap_or(32.0), given("beta_slow")?.unwrap_or(1.0));
        let (mut low, mut high) = (turning(fast), turning(slow));
        if config.flag_or(&[&self.key("truncate")], true)? {
            (low, high) = (libm::floor(low), libm::ceil(high));
        }
        (low, high) = (low.max(0.0), high.min(dims - 1.0));
        if low == high {
            high += 0.001;
        }
        Ok((Scaling::Yarn { factor: factor as f32, low: low as f32, high: high as f32 }, amplitude))
    }

    fn long(&self) -> Result<(Scaling, f64)> {
        let original = self.original()?;
        self.fits("longrope", original)?;
        let key = self.key("short_factor");
        let list = self.context.config.get(&[&key]).and_then(Json::as_array);
        let factors: Option<Vec<f32>> =
            list.and_then(|list| list.iter().map(|x| x.as_f64().map(|x| x as f32)).collect());
        let factors = factors.ok_or_else(|| {
            refuse(
                format_args!("config.json has no list of numbers as `{key}`"),
                "take it from the checkpoint's page again",
            )
        })?;
        let ratio = f64::from(self.longest()?) / f64::from(original);
        let factor = self.optional("factor")?.unwrap_or(ratio);
        let amplitude = match self.optional("attention_factor")? {
            Some(said) => said,
            None if factor <= 1.0 => 1.0,
            None => libm::sqrt(1.0 + libm::log(factor) / libm::log(f64::from(original))),
        };
        Ok((Scaling::Long(factors), amplitude))
    }
}
