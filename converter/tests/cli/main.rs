//! Runs the command line on the models that ship with the project.

#[cfg(unix)]
mod book;
mod convert;
mod export;
#[cfg(unix)]
mod faults;
mod files;
mod flash;
mod generation;
#[cfg(feature = "hub")]
mod hub;
mod lines;
mod manners;
mod run;
mod shipped;
mod sign;
mod support;
mod vocabulary;
mod widths;
