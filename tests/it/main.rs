//! Integration tests: one binary, with a module per subject.

mod adapters;
mod blob;
mod calibration;
mod config;
mod exhaustive;
mod folders;
mod full;
mod fuzz;
mod golden;
mod grammar;
mod lent;
mod marks;
mod numbers;
mod padding;
mod prefix;
mod runtime;
mod snapshot;
mod tasks;
mod tokenizer;
mod tokenizer_files;
mod torch;
mod update;
mod vocabulary;
mod writing;
