//! Which keys the configuration classes of `transformers` read, by `model_type`: a table that a
//! script extracts from their sources.

use std::sync::OnceLock;

use serde_json::{Map, Value};

/// The table that `tests/golden/keys.py` writes and describes.
const TABLE: &str = include_str!("classes.json");

/// The configuration class of a `model_type`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Class(&'static Value);

impl Class {
    /// The class that reads files of this `model_type`.
    pub(super) fn of(model_type: &str) -> Option<Self> {
        static PARSED: OnceLock<Value> = OnceLock::new();
        let table = PARSED.get_or_init(|| serde_json::from_str(TABLE).unwrap_or_default());
        table.get(model_type).filter(|class| class.is_object()).map(Self)
    }

    /// Whether the class, or a model that it configures, reads this key.
    pub(super) fn reads(self, key: &str) -> bool {
        self.0["reads"].as_array().is_some_and(|names| names.iter().any(|name| name == key))
    }

    /// The default of a key that a file leaves out; `None` if the class has none, or has null.
    pub(super) fn default(self, key: &str) -> Option<&'static Value> {
        self.0["defaults"].get(key).filter(|value| !value.is_null())
    }

    /// Aliases of keys, with the keys that they stand for.
    pub(super) fn aliases(self) -> impl Iterator<Item = (&'static String, &'static str)> {
        let aliases: Option<&'static Map<_, _>> = self.0["aliases"].as_object();
        aliases.into_iter().flatten().filter_map(|(alias, key)| Some((alias, key.as_str()?)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checkpoint::sentence::STATIC;
    use crate::family::FAMILIES;

    #[test]
    fn every_family_has_its_class() {
        let all = FAMILIES.iter().flat_map(|family| family.model_types);
        // `transformers` has no class for static embeddings, nor for GTE, which brings its own; each
        // half of an encoder-decoder of two families has one.
        for model_type in all.filter(|model_type| ![STATIC, "new", "encoder-decoder"].contains(model_type)) {
            let class = Class::of(model_type).unwrap_or_else(|| panic!("{model_type} is not in the table"));
            assert!(class.reads("vocab_size"), "{model_type}");
            // ESM's class has no default size.
            assert!(class.default("vocab_size").is_none_or(Value::is_u64), "{model_type}");
        }
        assert!(Class::of("note").is_none() && Class::of("no such").is_none());
    }

    #[test]
    fn the_table_tells_what_is_read_from_what_is_not() {
        let deberta = Class::of("deberta").unwrap();
        assert!(deberta.reads("pos_att_type") && !deberta.reads("padding_idx"));
        assert_eq!(Class::of("mobilebert").unwrap().default("hidden_act").unwrap(), "relu");
        assert_eq!(Class::of("m2m_100").unwrap().default("scale_embedding").unwrap(), true);
        assert!(
            Class::of("gpt2").unwrap().aliases().any(|(alias, key)| (alias.as_str(), key) == ("hidden_size", "n_embd"))
        );
    }
}
