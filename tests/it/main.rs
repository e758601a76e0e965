//! Integration tests: one binary, a module a subject.

mod blob;
mod config;
mod folders;
mod calibration;
mod golden;
mod marks;
mod padding;
mod runtime;
mod tasks;
mod tokenizer;
mod writing;
mod tokenizer_files;
