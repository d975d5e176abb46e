//! What was counted: records, bytes, requests and latencies.

use std::time::Duration;

use hdrhistogram::Histogram;

/// From 1 µs to 10 minutes, with three digits.
const LATENCY_NS: (u64, u64) = (1_000, 600_000_000_000);

/// Counts and latencies of a run, or of a part of it.
#[derive(Debug, Clone)]
pub struct Tally {
    /// Records.
    pub records: u64,
    /// Bytes of record batches, as they are on the wire.
    pub bytes: u64,
    /// Requests answered.
    pub requests: u64,
    /// Latencies that there should be: what was due while it was measured.
    pub(crate) awaited: u64,
    latencies: Histogram<u64>,
}

impl Default for Tally {
    fn default() -> Self {
        let latencies = Histogram::new_with_bounds(LATENCY_NS.0, LATENCY_NS.1, 3);
        // The bounds are constants that the histogram accepts.
        let latencies = latencies.expect("valid histogram bounds");
        Self { records: 0, bytes: 0, requests: 0, awaited: 0, latencies }
    }
}

impl Tally {
    /// Counts what one request carried.
    pub(crate) fn carried(&mut self, records: u64, bytes: u64) {
        self.records += records;
        self.bytes += bytes;
        self.requests += 1;
    }

    /// Enters a latency.
    pub(crate) fn took(&mut self, latency: Duration) {
        self.latencies.saturating_record(u64::try_from(latency.as_nanos()).unwrap_or(u64::MAX));
    }

    /// Adds another tally.
    pub(crate) fn add(&mut self, other: &Tally) {
        self.records += other.records;
        self.bytes += other.bytes;
        self.requests += other.requests;
        self.awaited += other.awaited;
        self.latencies += &other.latencies;
    }

    /// How many latencies were entered.
    pub fn latency_count(&self) -> u64 {
        self.latencies.len()
    }

    /// What was due and never answered, or not even sent because the sender was held up. Final once the run is over.
    pub fn unanswered(&self) -> u64 {
        self.awaited.saturating_sub(self.latency_count())
    }

    /// The latency that `percent` of the entries do not exceed; none without entries.
    pub fn percentile(&self, percent: f64) -> Option<Duration> {
        let is_known = self.latency_count() > 0;
        is_known.then(|| Duration::from_nanos(self.latencies.value_at_percentile(percent)))
    }

    /// The longest latency; none without entries.
    pub fn longest(&self) -> Option<Duration> {
        self.percentile(100.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tallies_add_up_and_without_entries_there_is_no_percentile() {
        let mut one = Tally::default();
        assert_eq!(one.percentile(50.0), None);
        one.carried(3, 100);
        one.awaited += 3;
        one.took(Duration::from_millis(1));
        let mut two = Tally::default();
        two.took(Duration::from_millis(9));
        one.add(&two);
        assert_eq!((one.records, one.bytes, one.requests, one.latency_count()), (3, 100, 1, 2));
        assert_eq!(one.unanswered(), 1);
        assert!(one.longest().unwrap().abs_diff(Duration::from_millis(9)) < Duration::from_micros(10));
    }
}
