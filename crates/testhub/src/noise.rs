//! Numbers and bytes without a pattern, the same each time.

/// xorshift64 (Marsaglia, 2003) from a seed.
///
/// ```
/// use tensorgate_testhub::Noise;
///
/// let mut bytes = [0; 100];
/// Noise::new(1).fill(&mut bytes);
/// assert_ne!(bytes, [0; 100]);
/// assert!(Noise::new(2).below(7) < 7);
/// ```
#[derive(Clone, Debug)]
pub struct Noise(u64);

impl Noise {
    /// Another seed, another noise.
    pub const fn new(seed: u64) -> Self {
        // Of zero, xorshift makes nothing but zeros: this bit keeps the state from being it.
        Self(seed | 1 << 63)
    }

    /// A number below `bound`, which is not 0.
    pub const fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    /// Fills `bytes`.
    pub fn fill(&mut self, bytes: &mut [u8]) {
        for chunk in bytes.chunks_mut(8) {
            for (byte, noise) in chunk.iter_mut().zip(self.next().to_le_bytes()) {
                *byte = noise;
            }
        }
    }

    const fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }
}
