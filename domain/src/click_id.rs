//! Click IDs: 16 characters `[0-9A-Za-z]`, ordered by time.
//!
//! 45 bits of milliseconds, then 50 random bits, in base 62 with the digits in ASCII order, so that text
//! order is time order. IDs of other systems have the same form but carry no time.

const DIGITS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
const RANDOM_BITS: u32 = 50;
const HALF: u128 = 62u128.pow(8);

/// The ID of a click at `at` (UTC milliseconds) with 50 of the bits of `random`.
pub fn new(at: i64, random: u64) -> String {
    str::from_utf8(&digits(at, random)).unwrap_or_default().to_owned()
}

/// The bytes of the same ID.
pub fn digits(at: i64, random: u64) -> [u8; 16] {
    let time = u128::from(at.max(0).cast_unsigned() & ((1 << 45) - 1));
    let whole = time << RANDOM_BITS | u128::from(random & ((1 << RANDOM_BITS) - 1));
    // In two halves of eight digits: 64-bit division is many times cheaper.
    let mut out = [b'0'; 16];
    let (high, low) = out.split_at_mut(8);
    for (half, mut rest) in [(high, (whole / HALF) as u64), (low, (whole % HALF) as u64)] {
        for slot in half.iter_mut().rev() {
            if let Some(digit) = DIGITS.get((rest % 62) as usize) {
                *slot = *digit;
            }
            rest /= 62;
        }
    }
    out
}

/// Whether the text has the form of a click ID.
pub fn is_valid(text: &str) -> bool {
    text.len() == 16 && text.bytes().all(|b| b.is_ascii_alphanumeric())
}

/// The time within an ID made by `new`, UTC milliseconds; meaningless for IDs made elsewhere.
pub fn time(id: &str) -> Option<i64> {
    if !is_valid(id) {
        return None;
    }
    let mut value: u128 = 0;
    for byte in id.bytes() {
        value = value * 62 + DIGITS.iter().position(|d| *d == byte)? as u128;
    }
    i64::try_from(value >> RANDOM_BITS).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_keep_their_time_and_its_order() {
        let ids: Vec<String> = [0, 1, 1_700_000_000_000, 1_700_000_000_001, (1 << 45) - 1]
            .iter()
            .map(|at| new(*at, u64::MAX / 3))
            .collect();
        assert!(ids.is_sorted());
        assert!(ids.iter().all(|id| is_valid(id)));
        assert_eq!(time(&ids[3]), Some(1_700_000_000_001));
        assert_eq!(time(&new((1 << 45) - 1, u64::MAX)), Some((1 << 45) - 1));
        assert!(!is_valid("0123456789abcde-"));
    }
}
