#![doc = include_str!("protocol.md")]
// Documentation and nothing else. The tests play each of its examples, and compare its tables with the code.

#[cfg(test)]
mod tests;
