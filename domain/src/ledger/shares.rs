//! How several clicks share one lead or sale (rule C3), and how their money is divided.
//!
//! Invariant: the parts add up to exactly the whole.

use crate::rules::Model;

/// Rule C3: a touch that is so much older gets half the share, milliseconds.
const HALF_LIFE: u64 = 7 * 86_400_000;
/// One, in the fixed point of time decay.
const ONE: u64 = 1 << 32;

/// The weight of each of the clicks at these times (UTC milliseconds, in order); 0 for those that get nothing.
pub fn weights(model: Model, times: &[i64]) -> Vec<u64> {
    let count = times.len();
    let only = |chosen: usize| (0..count).map(|i| u64::from(i == chosen)).collect();
    match model {
        Model::LastClick => only(count.saturating_sub(1)),
        Model::FirstClick => only(0),
        Model::Linear => vec![1; count],
        Model::PositionBased => {
            let between = count.saturating_sub(2) as u64;
            let is_end = |i: usize| i == 0 || i + 1 == count;
            // Those between weigh 1 each and 20 % together; an end's 40 % weigh twice their number.
            let ends = 2 * between.max(1);
            (0..count).map(|i| if is_end(i) { ends } else { 1 }).collect()
        }
        Model::TimeDecay => {
            let latest = times.last().copied().unwrap_or_default();
            times.iter().map(|at| decay(latest.abs_diff(*at))).collect()
        }
    }
}

/// `2^(-age / HALF_LIFE)` in whole numbers, so that every machine finds the same.
fn decay(age: u64) -> u64 {
    let halvings = age / HALF_LIFE;
    if halvings >= 32 {
        return 0;
    }
    let mut weight = ONE >> halvings;
    // The rest of the age, bit by bit below one half-life; each bit is worth the root of the one before.
    let mut rest = (age % HALF_LIFE) << 1;
    let mut factor = (ONE << 31).isqrt();
    for _ in 0..24 {
        if rest >= HALF_LIFE {
            weight = (weight * factor) >> 32;
            rest -= HALF_LIFE;
        }
        rest <<= 1;
        factor = (factor << 32).isqrt();
    }
    weight
}

/// Divides money between shares: each would earn `wholes[i]` alone and has `weights[i]` of it. What all together get
/// is rounded once, half away from zero, and divided by largest remainder (rule F5).
pub fn divide(wholes: &[i64], weights: &[u64]) -> Vec<i64> {
    let sum: i128 = weights.iter().map(|w| i128::from(*w)).sum();
    if sum == 0 {
        return vec![0; wholes.len()];
    }
    let exact = wholes
        .iter()
        .zip(weights)
        .map(|(whole, weight)| i128::from(*whole) * i128::from(*weight));
    let mut parts: Vec<(i128, i128, usize)> = exact
        .enumerate()
        .map(|(i, product)| (product.div_euclid(sum), product.rem_euclid(sum), i))
        .collect();
    let rest: i128 = parts.iter().map(|(_, rest, _)| rest).sum();
    let negative = parts
        .iter()
        .map(|(whole, rest, _)| whole * sum + rest)
        .sum::<i128>()
        < 0;
    // Half away from zero: of a negative sum, exactly half goes down.
    let left = (2 * rest + sum - i128::from(negative)).div_euclid(2 * sum);
    parts.sort_by(|a, b| b.1.cmp(&a.1).then(a.2.cmp(&b.2)));
    for part in parts.iter_mut().take(usize::try_from(left).unwrap_or_default()) {
        part.0 += 1;
    }
    parts.sort_by_key(|part| part.2);
    parts
        .into_iter()
        .map(|part| i64::try_from(part.0).unwrap_or_default())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const DAY: i64 = 86_400_000;

    #[test]
    fn each_model_has_its_weights() {
        assert_eq!(weights(Model::LastClick, &[1, 2, 3]), [0, 0, 1]);
        assert_eq!(weights(Model::FirstClick, &[1, 2, 3]), [1, 0, 0]);
        assert_eq!(weights(Model::Linear, &[1, 2]), [1, 1]);
        assert_eq!(weights(Model::PositionBased, &[1]), [2]);
        assert_eq!(weights(Model::PositionBased, &[1, 2]), [2, 2]);
        // 40, 20, 40 and 40, 10, 10, 40
        assert_eq!(weights(Model::PositionBased, &[1, 2, 3]), [2, 1, 2]);
        assert_eq!(weights(Model::PositionBased, &[1, 2, 3, 4]), [4, 1, 1, 4]);
        assert_eq!(
            weights(Model::TimeDecay, &[0, 7 * DAY, 14 * DAY]),
            [ONE / 4, ONE / 2, ONE]
        );
        assert_eq!(weights(Model::TimeDecay, &[0, 400 * DAY]), [0, ONE]);
        for model in [
            Model::LastClick,
            Model::FirstClick,
            Model::PositionBased,
            Model::TimeDecay,
        ] {
            assert_eq!(weights(model, &[]), [0; 0]);
        }
    }

    #[test]
    fn decay_follows_the_power_of_two() {
        for hours in 0..2000_u64 {
            let exact = (-(hours as f64) / 168.0).exp2();
            let found = decay(hours * 3_600_000) as f64 / ONE as f64;
            assert!(
                (found - exact).abs() < 1e-6,
                "{hours} hours: {found} is not {exact}"
            );
        }
    }

    #[test]
    fn shares_add_up_to_what_is_rounded_once() {
        assert_eq!(divide(&[100, 100, 100], &[1, 1, 1]), [34, 33, 33]);
        assert_eq!(divide(&[1, 1], &[1, 1]), [1, 0]);
        assert_eq!(divide(&[1000, 500], &[1, 1]), [500, 250]);
        assert_eq!(divide(&[5, 0], &[1, 1]), [3, 0]); // 2.5
        assert_eq!(divide(&[-5, 0], &[1, 1]), [-3, 0]);
        assert_eq!(divide(&[1, 0], &[1, 1]), [1, 0]); // 0.5
        assert_eq!(divide(&[-2, 1], &[1, 1]), [-1, 0]); // -0.5, of both signs
        assert_eq!(divide(&[5], &[0]), [0]);
    }

    proptest! {
        #[test]
        fn equal_wholes_are_divided_without_rest(whole in -100_000i64..100_000, weights in prop::collection::vec(0u64..ONE, 1..8)) {
            let parts = divide(&vec![whole; weights.len()], &weights);
            let sum: u64 = weights.iter().sum();
            prop_assert_eq!(parts.iter().sum::<i64>(), if sum == 0 { 0 } else { whole });
            for (part, weight) in parts.iter().zip(&weights) {
                let exact = whole as f64 * *weight as f64 / sum.max(1) as f64;
                prop_assert!((*part as f64 - exact).abs() <= 1.0);
            }
        }
    }
}
