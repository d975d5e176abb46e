//! The script of the comparison: every form of `kafka-consumer-groups.sh`, in an order in which later ones see what
//! earlier ones did.
//!
//! `PLAN` stands for a CSV file with offsets, `SINCE` for the duration from the middle of the records until now.

/// The time stamp of the first record of each partition: 2024-03-01T00:00:00Z. The others follow ten minutes apart.
pub(crate) const BASE_MS: u64 = 1_709_251_200_000;

/// One command.
pub(crate) struct Step {
    /// Its words, divided by single spaces, without the broker's address.
    pub(crate) words: &'static str,
}

impl Step {
    /// Whether the broker's address belongs to it.
    pub(crate) fn asks_broker(&self) -> bool {
        !self.words.starts_with("--validate-regex")
    }
}

const fn step(words: &'static str) -> Step {
    Step { words }
}

/// All of them.
pub(crate) const STEPS: &[Step] = &[
    step("--list"),
    step("--list --state"),
    step("--list --state stable,empty"),
    step("--list --type"),
    step("--list --type consumer"),
    step("--list --type classic --state empty"),
    step("--describe --all-groups"),
    step("--describe --all-groups --verbose"),
    step("--describe --all-groups --offsets"),
    step("--describe --all-groups --offsets --verbose"),
    step("--describe --all-groups --members"),
    step("--describe --all-groups --members --verbose"),
    step("--describe --all-groups --state"),
    step("--describe --all-groups --state --verbose"),
    step("--describe --group half"),
    step("--describe --group active --group modern"),
    step("--describe --group nobody"),
    step("--describe --group nobody --members"),
    step("--describe --group nobody --state"),
    step("--describe --group half --timeout 1000"),
    step("--validate-regex ^orders.*"),
    step("--validate-regex orders["),
    // Every scenario of a reset, first without doing it.
    step("--reset-offsets --group half --topic orders --dry-run --to-earliest"),
    step("--reset-offsets --group half --topic orders --dry-run --to-latest"),
    step("--reset-offsets --group half --topic orders --dry-run --to-current"),
    step("--reset-offsets --group half --topic orders --dry-run --to-offset 3"),
    step("--reset-offsets --group half --topic orders --dry-run --to-offset 99"),
    step("--reset-offsets --group half --topic orders --dry-run --shift-by 2"),
    step("--reset-offsets --group half --topic orders --dry-run --shift-by -2"),
    step("--reset-offsets --group half --topic orders --dry-run --shift-by 99"),
    step("--reset-offsets --group half --topic orders --dry-run --shift-by -99"),
    step("--reset-offsets --group half --topic orders --dry-run --to-datetime 2024-03-01T00:25:00.000"),
    step("--reset-offsets --group half --topic orders --dry-run --to-datetime 2024-03-01T02:25:00.000+02:00"),
    step("--reset-offsets --group half --topic orders --dry-run --to-datetime 2034-03-01T00:00:00.000"),
    step("--reset-offsets --group half --topic orders --dry-run --by-duration SINCE"),
    step("--reset-offsets --group half --topic orders --dry-run --by-duration PT1S"),
    step("--reset-offsets --group half --dry-run --from-file PLAN"),
    step("--reset-offsets --group half --topic orders:0,2 --dry-run --to-latest"),
    step("--reset-offsets --group two --all-topics --dry-run --to-earliest"),
    step("--reset-offsets --group two --topic orders --topic payments:1 --dry-run --shift-by 1"),
    step("--reset-offsets --group half --group two --all-topics --dry-run --to-earliest"),
    step("--reset-offsets --group half --topic orders --to-earliest --export"),
    step("--reset-offsets --group half --group two --all-topics --to-latest --export"),
    step("--reset-offsets --group half --topic orders --to-earliest"),
    step("--reset-offsets --group half --dry-run --to-earliest"),
    step("--reset-offsets --group half --topic orders:7 --dry-run --to-earliest"),
    step("--reset-offsets --group half --topic nothing --dry-run --to-earliest"),
    step("--reset-offsets --group nobody --topic orders --dry-run --to-current"),
    step("--reset-offsets --group active --topic orders --dry-run --to-earliest"),
    step("--reset-offsets --group modern --topic orders --execute --to-earliest"),
    step("--reset-offsets --all-groups --all-topics --dry-run --to-earliest"),
    // And done.
    step("--reset-offsets --group half --topic orders --execute --to-datetime 2024-03-01T00:25:00.000"),
    step("--describe --group half"),
    step("--reset-offsets --group half --topic orders:1 --execute --shift-by 4"),
    step("--reset-offsets --group half --execute --from-file PLAN"),
    step("--describe --group half --offsets"),
    step("--reset-offsets --group two --all-topics --execute --by-duration SINCE"),
    step("--describe --group two"),
    step("--reset-offsets --group fresh --topic orders --execute --to-latest"),
    step("--describe --group fresh --state"),
    step("--describe --group fresh"),
    // Offsets go.
    step("--delete-offsets --group two --topic payments"),
    step("--describe --group two"),
    step("--delete-offsets --group two --topic orders:1"),
    step("--delete-offsets --group two --topic orders:1"),
    step("--delete-offsets --group two --topic nothing"),
    step("--delete-offsets --group two --topic orders:9"),
    step("--delete-offsets --group nobody --topic orders"),
    step("--delete-offsets --group active --topic orders"),
    step("--delete-offsets --group modern --topic orders"),
    step("--delete-offsets --group active --topic payments"),
    step("--describe --all-groups"),
    // Groups go.
    step("--delete --group done"),
    step("--delete --group done"),
    step("--delete --group active"),
    step("--delete --group modern --group fresh"),
    step("--delete --group nobody --group half"),
    step("--delete --all-groups"),
    step("--list --state"),
];
