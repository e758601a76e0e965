//! The native module of the Python package: the runtime and the converter. The package's Python
//! files build the interface of `transformers` and `sentence-transformers` on it.
//!
//! Calls release Python's global interpreter lock while a model runs. Each call has its own memory,
//! so threads can share a model.

mod background;
mod convert;
mod engine;
mod error;
mod generate;
mod text;

use kinglet::golden::Fingerprint;
use pyo3::prelude::*;

/// The fingerprint that firmware prints for logits, which are little-endian 32-bit integers.
#[pyfunction]
fn fingerprint(integers: &[u8]) -> String {
    let mut fingerprint = Fingerprint::default();
    integers.as_chunks().0.iter().for_each(|&bytes| fingerprint.update(&[i32::from_le_bytes(bytes)]));
    format!("{:08x}", fingerprint.value())
}

#[pymodule]
fn _kinglet(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add("__version__", env!("CARGO_PKG_VERSION"))?;
    let error = module.py().get_type::<error::Error>();
    error.setattr("code", module.py().None())?;
    module.add("Error", error)?;
    module.add_class::<engine::Engine>()?;
    module.add_class::<generate::Generation>()?;
    module.add_function(wrap_pyfunction!(convert::convert, module)?)?;
    module.add_function(wrap_pyfunction!(fingerprint, module)?)
}
