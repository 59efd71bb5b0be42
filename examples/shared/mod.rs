//! What all examples share: their flags, the rows that they write, tables in
//! the terminal and pages for the browser.
#![allow(clippy::print_stdout, dead_code, unreachable_pub)]

pub mod args;
pub mod bar;
pub mod chart;
pub mod choice;
pub mod page;
pub mod parallel;
pub mod rows;
pub mod serve;
pub mod table;
pub mod texts;

/// Anything that goes wrong in an example ends it with a message.
pub type Outcome<T = ()> = Result<T, Box<dyn std::error::Error>>;
