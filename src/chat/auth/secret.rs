//! Secrets compared in constant time.

use std::hint::black_box;

/// Whether two secrets are the same. How long that takes depends on their lengths, and says nothing about where they differ.
pub fn is_same_secret(a: &[u8], b: &[u8]) -> bool {
    #[cfg(test)]
    tests::COMPARISONS.set(tests::comparisons() + 1);
    let difference = a.iter().zip(b).fold(0, |difference, (a, b)| difference | (a ^ b));
    // All of the sum is wanted, not only whether it is zero: so no byte of it may be left out.
    (a.len() == b.len()) & (black_box(difference) == 0)
}

#[cfg(test)]
pub(super) mod tests {
    use std::cell::Cell;

    use super::*;

    thread_local! {
        pub(super) static COMPARISONS: Cell<usize> = const { Cell::new(0) };
    }

    /// How often this test has compared two secrets.
    pub(in super::super) fn comparisons() -> usize {
        COMPARISONS.get()
    }

    #[test]
    fn a_secret_is_the_same_as_itself_alone() {
        let secret: Vec<u8> = (0..=255).collect();
        assert!(is_same_secret(&secret, &secret.clone()) && is_same_secret(b"", b""));
        for at in 0..secret.len() {
            for bit in 0..8 {
                let mut other = secret.clone();
                other[at] ^= 1 << bit;
                assert!(!is_same_secret(&secret, &other), "bit {bit} of byte {at}");
            }
            assert!(!is_same_secret(&secret, &secret[..at]) && !is_same_secret(&secret[..at], &secret));
        }
    }
}
