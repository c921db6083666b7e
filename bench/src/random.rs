//! Hashes that make the populations: the same for the same seed, on every machine.

const DIGITS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// splitmix64.
pub fn mix(z: u64) -> u64 {
    let z = z.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

/// A number below `n`.
pub fn below(hash: u64, n: u64) -> u64 {
    hash % n.max(1)
}

/// A number from 0 to less than 1.
pub fn unit(hash: u64) -> f64 {
    (hash >> 11) as f64 / (1_u64 << 53) as f64
}

/// `length` letters and digits.
pub fn text(mut hash: u64, length: usize) -> String {
    let mut out = String::with_capacity(length);
    for place in 0..length {
        if place > 0 && place.is_multiple_of(10) {
            hash = mix(hash);
        }
        let digit = DIGITS.get((hash % 62) as usize).copied().unwrap_or(b'0');
        out.push(char::from(digit));
        hash /= 62;
    }
    out
}

/// One of a list.
pub fn pick<'a>(hash: u64, of: &[&'a str]) -> &'a str {
    of.get(below(hash, of.len() as u64) as usize)
        .copied()
        .unwrap_or_default()
}

/// Zipf's law: the second is drawn half as often as the first, the third a third as often.
pub struct Zipf {
    /// Sums of the shares up to each rank.
    shares: Vec<f64>,
    sum: f64,
}

impl Zipf {
    /// Of so many.
    pub fn new(number: u64) -> Self {
        let mut sum = 0.0;
        let share = |rank: u64| {
            sum += 1.0 / rank as f64;
            sum
        };
        let shares = (1..=number).map(share).collect();
        Self { shares, sum }
    }

    /// One of them, from 0.
    pub fn rank(&self, hash: u64) -> u64 {
        let drawn = unit(hash) * self.sum;
        self.shares.partition_point(|share| *share < drawn) as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sequence_is_splitmix64() {
        // First output of splitmix64 seeded with 0.
        assert_eq!(mix(0), 0xE220_A839_7B1D_CDAF);
        assert_eq!(text(5, 22).len(), 22);
        assert!(unit(u64::MAX) < 1.0 && unit(0) == 0.0);
    }

    #[test]
    fn zipf_draws_the_second_half_as_often_as_the_first() {
        let (zipf, mut drawn) = (Zipf::new(3), [0_u32; 3]);
        for number in 0..60_000 {
            drawn[zipf.rank(mix(number)) as usize] += 1;
        }
        let share = |rank: usize| f64::from(drawn[rank]) / f64::from(drawn[0]);
        assert!(
            (share(1) - 0.5).abs() < 0.02 && (share(2) - 1.0 / 3.0).abs() < 0.02,
            "{drawn:?}"
        );
    }
}
