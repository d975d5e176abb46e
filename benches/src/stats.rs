//! Medians, spreads and latency percentiles.

use hdrhistogram::Histogram;

/// The middle of some figures and how far they reach.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize)]
pub(crate) struct Spread {
    pub(crate) median: f64,
    pub(crate) min: f64,
    pub(crate) max: f64,
}

/// The spread of `figures`; `None` when there are none.
pub(crate) fn spread(figures: impl IntoIterator<Item = f64>) -> Option<Spread> {
    let mut sorted: Vec<f64> = figures.into_iter().collect();
    sorted.sort_by(f64::total_cmp);
    let (first, last) = (*sorted.first()?, *sorted.last()?);
    let middle = sorted.len() / 2;
    let median =
        if sorted.len() % 2 == 1 { sorted[middle] } else { (sorted[middle - 1] + sorted[middle]) / 2.0 };
    Some(Spread { median, min: first, max: last })
}

/// Latencies in nanoseconds, from 1 µs to 10 minutes with three digits.
#[derive(Debug)]
pub(crate) struct Latencies(Histogram<u64>);

impl Latencies {
    /// An empty set.
    pub(crate) fn new() -> Self {
        // The bounds are constants that the histogram accepts.
        Self(Histogram::new_with_bounds(1_000, 600_000_000_000, 3).expect("valid histogram bounds"))
    }

    /// Enters one latency.
    pub(crate) fn record(&mut self, latency: std::time::Duration) {
        self.0.saturating_record(latency.as_nanos() as u64);
    }

    /// The latency that `percent` of the entries do not exceed, in microseconds.
    pub(crate) fn percentile_us(&self, percent: f64) -> f64 {
        self.0.value_at_percentile(percent) as f64 / 1_000.0
    }

    /// Takes the latencies of another set in.
    pub(crate) fn merge(&mut self, other: &Latencies) {
        // Both have the same bounds.
        self.0.add(&other.0).expect("equal histogram bounds");
    }

    /// How many there are.
    pub(crate) fn count(&self) -> u64 {
        self.0.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_of_an_even_number_of_figures_is_between_the_middle_two() {
        let all = spread([4.0, 1.0, 3.0, 2.0]).unwrap();
        assert_eq!(all, Spread { median: 2.5, min: 1.0, max: 4.0 });
        assert_eq!(spread([]), None);
    }
}
