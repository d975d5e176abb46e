//! Results on standard output: tables for people, JSON for programs, from the same rows.
//!
//! A report is named columns and rows of JSON values; both forms are made from it, so they cannot drift apart.

use std::io::{self, IsTerminal, Write};

use comfy_table::{Cell, CellAlignment, ContentArrangement, Table, presets};
use serde_json::{Map, Value};

use crate::arguments::{OutputArguments, OutputFormat};
use crate::failure::Failure;

/// Rows under named columns.
#[derive(Debug)]
pub(crate) struct Report {
    columns: Vec<&'static str>,
    rows: Vec<Vec<Value>>,
}

impl Report {
    /// A report without rows yet.
    pub(crate) fn new(columns: &[&'static str]) -> Self {
        Report { columns: columns.to_vec(), rows: Vec::new() }
    }

    /// Adds a row: one value per column.
    pub(crate) fn row<const N: usize>(&mut self, values: [Value; N]) {
        assert_eq!(N, self.columns.len(), "one value per column");
        self.rows.push(values.to_vec());
    }

    /// Whether it has no rows.
    pub(crate) fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// The rows as JSON objects.
    pub(crate) fn to_json(&self) -> Value {
        let object = |row: &Vec<Value>| {
            let fields = self.columns.iter().map(|column| (*column).to_owned()).zip(row.iter().cloned());
            Value::Object(fields.collect::<Map<_, _>>())
        };
        Value::Array(self.rows.iter().map(object).collect())
    }

    /// The rows as a table. Columns of numbers are aligned to the right.
    pub(crate) fn to_table(&self) -> String {
        let mut table = Table::new();
        table.load_style(presets::NOTHING);
        table.set_content_arrangement(ContentArrangement::Dynamic);
        if !io::stdout().is_terminal() {
            table.set_content_arrangement(ContentArrangement::Disabled);
        }
        table.set_header(self.columns.iter().map(|column| column.to_uppercase().replace('_', " ")));
        for (place, _) in self.columns.iter().enumerate() {
            let is_number = |row: &Vec<Value>| row[place].is_number();
            if let Some(column) = table.column_mut(place) {
                column.set_padding((0, 2));
                if !self.rows.is_empty() && self.rows.iter().all(is_number) {
                    column.set_cell_alignment(CellAlignment::Right);
                }
            }
        }
        for row in &self.rows {
            table.add_row(row.iter().map(|value| Cell::new(text(value))));
        }
        let lines = table.to_string();
        lines.lines().map(|line| line.trim_end().to_owned() + "\n").collect()
    }

    /// Writes it in the wanted form.
    pub(crate) fn print(&self, output: OutputArguments) -> Result<(), Failure> {
        match output.output {
            OutputFormat::Json => print_json(&self.to_json()),
            OutputFormat::Table => print_text(&self.to_table()),
        }
    }
}

/// A value as a person reads it.
fn text(value: &Value) -> String {
    match value {
        Value::Null => "-".to_owned(),
        Value::String(text) => text.clone(),
        Value::Array(items) => items.iter().map(text).collect::<Vec<_>>().join(","),
        other => other.to_string(),
    }
}

/// Writes JSON with a line break at its end.
pub(crate) fn print_json(value: &Value) -> Result<(), Failure> {
    print_text(&format!("{value:#}\n"))
}

/// Writes text to standard output.
pub(crate) fn print_text(text: &str) -> Result<(), Failure> {
    let mut stdout = io::stdout().lock();
    let written = stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush());
    written.map_err(|error| Failure::io("standard output", &error))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn one_report_is_a_table_for_people_and_objects_for_programs() {
        let mut report = Report::new(&["topic", "end_offset", "replicas"]);
        report.row([json!("flights"), json!(336776), json!([1, 2])]);
        report.row([json!("a"), json!(7), Value::Null]);
        let table = report.to_table();
        let lines: Vec<&str> = table.lines().collect();
        assert_eq!(
            lines,
            ["TOPIC    END OFFSET  REPLICAS", "flights      336776  1,2", "a                 7  -"]
        );
        assert_eq!(report.to_json()[1], json!({"topic": "a", "end_offset": 7, "replicas": null}));
    }
}
