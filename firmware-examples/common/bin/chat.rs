//! A chat after a prefix that lies in flash.
#![no_std]
#![no_main]

board::main!(kinglet_examples::chat);
