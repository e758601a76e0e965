//! Defines the errors: of a blob's bytes ([`LoadError`]), and of a call ([`RunError`]).

use core::fmt;

/// Declares an error type with a code for each variant.
///
/// A variant's comment has two paragraphs: what the error means, and what to do. `docs/errors.md`
/// is generated from them.
macro_rules! errors {
    (
        $(#[$about:meta])*
        pub enum $name:ident {
            $(
                $(#[doc = $doc:literal])+
                $variant:ident $({ $($fields:tt)* })? $(($($types:tt)*))? = $code:literal,
            )+
        }
    ) => {
        $(#[$about])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[cfg_attr(feature = "defmt", derive(defmt::Format))]
        #[non_exhaustive]
        pub enum $name {
            $(
                $(#[doc = $doc])+
                $variant $({ $($fields)* })? $(($($types)*))?,
            )+
        }

        impl $name {
            /// The error's code, for telemetry: unique in this crate, and stable in later
            /// versions.
            pub const fn code(&self) -> u16 {
                match self {
                    $(Self::$variant { .. } => $code,)+
                }
            }

            /// The code, the name and the comment of every variant.
            #[cfg(all(test, not(target_family = "wasm")))]
            pub(super) const PAGE: &[(u16, &str, &[&str])] =
                &[$(($code, concat!(stringify!($name), "::", stringify!($variant)), &[$($doc),+])),+];
        }
    };
}

mod load;
// WebAssembly has no files to compare the page with.
#[cfg(all(test, not(target_family = "wasm")))]
mod page;
mod run;

pub use load::LoadError;
pub use run::{Buffer, RunError};

/// Any error of this crate. Both kinds convert into it with `?`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum Error {
    /// A blob or a tokenizer could not be read.
    Load(LoadError),
    /// A model or a tokenizer was misused.
    Run(RunError),
}

impl Error {
    /// The error's code, for telemetry: see [`LoadError::code`] and [`RunError::code`].
    pub const fn code(&self) -> u16 {
        match self {
            Self::Load(error) => error.code(),
            Self::Run(error) => error.code(),
        }
    }
}

impl From<LoadError> for Error {
    fn from(error: LoadError) -> Self {
        Self::Load(error)
    }
}

impl From<RunError> for Error {
    fn from(error: RunError) -> Self {
        Self::Run(error)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Load(error) => error.fmt(f),
            Self::Run(error) => error.fmt(f),
        }
    }
}

// `Display` forwards to the inner error, so that it must not be the source, too.
impl core::error::Error for Error {}
