//! What a benchmark prints: figures on standard output, remarks on standard error.

use std::fmt::Display;
use std::io::Write as _;

use crate::proc;

/// One figure: `name value unit`.
pub fn figure(name: &str, value: impl Display, unit: &str) {
    writeln!(std::io::stdout().lock(), "{name} {value} {unit}").ok();
}

/// A figure with decimals.
pub fn decimal(name: &str, value: f64, decimals: usize, unit: &str) {
    figure(name, format_args!("{value:.decimals$}"), unit);
}

/// Ours divided by theirs.
pub fn ratio(name: &str, ours: f64, theirs: f64) {
    if theirs > 0.0 && ours.is_finite() {
        decimal(&format!("ratio.{name}"), ours / theirs, 3, "x");
    }
}

/// A check; false if it does not hold.
pub fn check(name: &str, held: bool) -> bool {
    figure(name, if held { "ok" } else { "WRONG" }, "-");
    held
}

/// A remark that is no figure.
pub fn note(text: &str) {
    writeln!(std::io::stderr().lock(), "# {text}").ok();
}

/// What every list of figures begins with.
pub fn machine() {
    figure(
        "cpus",
        std::thread::available_parallelism().map_or(0, usize::from),
        "cores",
    );
    figure("load_before", proc::load(), "-");
}

/// The value below which the share `q` of the sorted values lies.
pub fn percentile(sorted: &[f64], q: f64) -> f64 {
    let last = sorted.len().saturating_sub(1);
    sorted
        .get((sorted.len() as f64 * q) as usize)
        .or(sorted.get(last))
        .copied()
        .unwrap_or(f64::NAN)
}

/// The middle of some values.
pub fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    match (sorted.get(middle), sorted.get(middle.wrapping_sub(1))) {
        (Some(high), Some(low)) if sorted.len().is_multiple_of(2) => f64::midpoint(*low, *high),
        (Some(value), _) => *value,
        _ => f64::NAN,
    }
}

/// Prints p50, p99 and the largest of latencies in milliseconds, and gives p99.
pub fn latencies(name: &str, millis: &mut [f64]) -> f64 {
    millis.sort_by(f64::total_cmp);
    figure(&format!("{name}.samples"), millis.len(), "-");
    for (label, q) in [("p50", 0.5), ("p99", 0.99), ("max", 1.0)] {
        decimal(&format!("{name}.{label}"), percentile(millis, q), 1, "ms");
    }
    percentile(millis, 0.99)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_and_medians() {
        let values: Vec<f64> = (1..=100).map(f64::from).collect();
        assert_eq!(percentile(&values, 0.5), 51.0);
        assert_eq!(percentile(&values, 0.99), 100.0);
        assert_eq!(percentile(&values, 1.0), 100.0);
        assert!(percentile(&[], 0.5).is_nan());
        assert_eq!(median(&[3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(&[4.0, 1.0, 2.0, 3.0]), 2.5);
        assert!(median(&[]).is_nan());
    }
}
