//! The command line as people and programs use it, on the models that ship with the project.

mod convert;
mod export;
mod generation;
mod run;
mod shipped;
mod support;
mod vocabulary;
