//! Chats after a prefix in flash.
#![no_std]
#![no_main]

board::main!(kinglet_examples::chat);
