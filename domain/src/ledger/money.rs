//! Integer money: rounding half away from zero and largest-remainder allocation (rules E3, F5, G2).
//!
//! Invariant: an allocation adds up to exactly the whole.

/// `value × numerator ÷ denominator`, rounded half away from zero. 0 if the denominator is 0.
pub fn scale(value: i64, numerator: i64, denominator: i64) -> i64 {
    if denominator == 0 {
        return 0;
    }
    let product = i128::from(value) * i128::from(numerator);
    let denominator = i128::from(denominator);
    let (quotient, rest) = (product / denominator, product % denominator);
    let away = if (product < 0) == (denominator < 0) { 1 } else { -1 };
    let rounded = if rest.abs() * 2 >= denominator.abs() {
        quotient + away
    } else {
        quotient
    };
    clamp(rounded)
}

/// The sum of amounts; at the bounds of 64 bits it stays there.
pub fn sum(amounts: impl IntoIterator<Item = i64>) -> i64 {
    amounts.into_iter().fold(0, i64::saturating_add)
}

/// Splits `whole` in proportion to `weights` by largest remainder; ties go to the first.
/// None if the weights are all missing or add up to zero.
pub fn allocate(whole: i64, weights: &[i64]) -> Option<Vec<i64>> {
    let sum: i128 = weights.iter().map(|w| i128::from(*w)).sum();
    if sum == 0 {
        return None;
    }
    let mut parts: Vec<(i128, i128, usize)> = weights
        .iter()
        .enumerate()
        .map(|(i, weight)| {
            // Both signs flipped where needed, so that the divisor is positive and the floor exact.
            let product = i128::from(whole) * i128::from(*weight) * sum.signum();
            (product.div_euclid(sum.abs()), product.rem_euclid(sum.abs()), i)
        })
        .collect();
    let mut left = i128::from(whole) - parts.iter().map(|p| p.0).sum::<i128>();
    parts.sort_by(|a, b| b.1.cmp(&a.1).then(a.2.cmp(&b.2)));
    for part in &mut parts {
        if left == 0 {
            break;
        }
        part.0 += left.signum();
        left -= left.signum();
    }
    parts.sort_by_key(|p| p.2);
    Some(parts.into_iter().map(|p| clamp(p.0)).collect())
}

fn clamp(value: i128) -> i64 {
    i64::try_from(value).unwrap_or(if value < 0 { i64::MIN } else { i64::MAX })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn half_goes_away_from_zero() {
        assert_eq!(scale(750, 460, 10_000), 35); // 7.50 at 4.6 % is 34.5
        assert_eq!(scale(-750, 460, 10_000), -35);
        assert_eq!(scale(1, 1, 3), 0);
        assert_eq!(scale(2, 1, 3), 1);
        assert_eq!(scale(5, 1, 0), 0);
        // A denominator below zero: a line of the other sign is the whole.
        assert_eq!(scale(5, 1, -2), -3);
        assert_eq!(scale(-5, 1, -2), 3);
    }

    #[test]
    fn what_64_bits_cannot_hold_stays_at_their_bounds() {
        assert_eq!(scale(i64::MAX, 3, 2), i64::MAX);
        assert_eq!(scale(i64::MAX, -3, 2), i64::MIN);
        assert_eq!(scale(i64::MIN, 3, 2), i64::MIN);
        assert_eq!(sum([i64::MIN, -1]), i64::MIN);
    }

    #[test]
    fn thirds_add_up() {
        assert_eq!(allocate(100, &[1, 1, 1]), Some(vec![34, 33, 33]));
        assert_eq!(allocate(-100, &[1, 1, 1]), Some(vec![-33, -33, -34]));
        assert_eq!(allocate(5000, &[7000, -2000]), Some(vec![7000, -2000]));
        assert_eq!(allocate(5, &[]), None);
        assert_eq!(allocate(5, &[1, -1]), None);
    }

    proptest! {
        #[test]
        fn allocations_add_up(whole in -1_000_000_000i64..1_000_000_000, weights in prop::collection::vec(-100_000i64..1_000_000, 1..12)) {
            if let Some(parts) = allocate(whole, &weights) {
                prop_assert_eq!(parts.iter().sum::<i64>(), whole);
                let sum: i64 = weights.iter().sum();
                for (part, weight) in parts.iter().zip(&weights) {
                    let exact = whole as f64 * *weight as f64 / sum as f64;
                    prop_assert!((*part as f64 - exact).abs() <= 1.0 + exact.abs() * 1e-9);
                }
            }
        }
    }
}
