//! The bytes that one read brought, taken front to back.
//!
//! Payloads that are taken out carry the lifetime of the read buffer, not of the connection. So the compiler
//! proves that an application may write to any peer, the sender included, while it still holds a message.

/// Bytes just read, of which the front is taken piece by piece.
///
/// Mutable, since payloads are unmasked where they lie (§5.3).
#[derive(Debug)]
pub struct Input<'b> {
    bytes: &'b mut [u8],
}

impl<'b> Input<'b> {
    /// Wraps the bytes that a read brought.
    pub fn new(bytes: &'b mut [u8]) -> Input<'b> {
        Input { bytes }
    }

    /// The number of bytes not yet taken.
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Whether everything has been taken.
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// What is left, without taking it.
    pub fn peek(&self) -> &[u8] {
        self.bytes
    }

    /// Takes the first `count` bytes, or all if there are fewer.
    pub fn take(&mut self, count: usize) -> &'b mut [u8] {
        let bytes = std::mem::take(&mut self.bytes);
        let (front, rest) = bytes.split_at_mut(count.min(bytes.len()));
        self.bytes = rest;
        front
    }

    /// Takes all that is left.
    pub fn take_all(&mut self) -> &'b mut [u8] {
        std::mem::take(&mut self.bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_taken_front_to_back() {
        let mut bytes = *b"abcdef";
        let mut input = Input::new(&mut bytes);
        assert_eq!(input.take(2), b"ab");
        assert_eq!(input.peek(), b"cdef");
        assert_eq!(input.take(0), b"");
        assert_eq!(input.take(9), b"cdef", "more than there is takes what there is");
        assert!(input.is_empty());
        assert_eq!(input.take_all(), b"");
    }

    #[test]
    fn what_was_taken_outlives_the_input() {
        let mut bytes = *b"abcdef";
        let front = {
            let mut input = Input::new(&mut bytes);
            let front = input.take(3);
            assert_eq!(input.take_all(), b"def");
            front
        };
        assert_eq!(front, b"abc");
    }
}
