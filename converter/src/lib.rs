//! From a Hugging Face checkpoint to a Kinglet blob.
