//! Workspace × mode: the unit of isolation, and the key of facts and ledger.

use std::fmt;

/// A workspace in one mode (live, test or the name of a sandbox).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tenant {
    /// Workspace ID: 1 to 64 characters `[a-z0-9_-]`.
    pub workspace: String,
    /// live, test or the name of a sandbox.
    pub mode: String,
}

impl Tenant {
    /// A tenant from its two parts.
    pub fn new(workspace: impl Into<String>, mode: impl Into<String>) -> Self {
        Self {
            workspace: workspace.into(),
            mode: mode.into(),
        }
    }

    /// The Kafka key: `workspace/mode`.
    pub fn key(&self) -> String {
        self.to_string()
    }
}

impl fmt::Display for Tenant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.workspace, self.mode)
    }
}

/// The Kafka partition of a key: murmur2, as the Java client's default partitioner has it.
pub fn partition(key: &[u8], partitions: i32) -> i32 {
    (murmur2(key) & 0x7fff_ffff).cast_signed() % partitions.max(1)
}

fn murmur2(data: &[u8]) -> u32 {
    const M: u32 = 0x5bd1_e995;
    let mut h: u32 = 0x9747_b28c ^ (data.len() as u32);
    let (words, rest) = data.as_chunks::<4>();
    for word in words {
        let mut k = u32::from_le_bytes(*word).wrapping_mul(M);
        k ^= k >> 24;
        h = h.wrapping_mul(M) ^ k.wrapping_mul(M);
    }
    if !rest.is_empty() {
        for (i, byte) in rest.iter().enumerate() {
            h ^= u32::from(*byte) << (8 * i);
        }
        h = h.wrapping_mul(M);
    }
    h ^= h >> 13;
    h = h.wrapping_mul(M);
    h ^ (h >> 15)
}

#[cfg(test)]
mod tests {
    use super::*;

    // Vectors of Apache Kafka's UtilsTest.testMurmur2.
    #[test]
    fn murmur2_is_kafkas() {
        for (text, hash) in [
            ("21", -973932308),
            ("foobar", -790332482),
            ("a-little-bit-long-string", -985981536),
            ("a-little-bit-longer-string", -1486304829),
            ("lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58897971),
            ("abc", 479470107),
        ] {
            assert_eq!(murmur2(text.as_bytes()).cast_signed(), hash, "{text}");
        }
    }
}
