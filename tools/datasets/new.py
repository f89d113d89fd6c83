"""Make a dataset of a sample: `make dataset NAME=orders SAMPLE=orders.csv`."""

import argparse
import shutil
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

from tools.datasets.__main__ import PROJECT, wanted, write
from tools.datasets.drafting import Choices, Draft, draft
from tools.datasets.inferring import QuestionError
from tools.datasets.names import check_name, suggested
from tools.datasets.reading import SPEC, Folder, SpecError, read_folder, read_folders
from tools.datasets.rendering import Rendering
from tools.datasets.resources import MarkersMissingError
from tools.datasets.sampling import Sample, SampleError, beginning, read_sample

# The example case that is made of the sample, and how many of its rows that has.
CASE = "examples/beginning_of_a_sample/in"
EXAMPLE_ROWS = 20


def make(project: Path, name: str, sample: Sample, choices: Choices) -> Draft:
    """Write the dataset's folder, and what follows from it.

    Raises SampleError, QuestionError, SpecError, MarkersMissingError; nothing is written then.
    """
    root = project / "sql/datasets"
    taken = {table for folder in read_folders(root) for table in folder.dataset.tables}
    made = draft(name, sample, choices, taken)
    with tempfile.TemporaryDirectory() as folder:
        trial = Path(folder, name)
        trial.mkdir()
        (trial / SPEC).write_text(made.text, encoding="utf-8")
        _check_size(read_folder(trial), sample)
    target = root / name
    target.mkdir()
    try:
        (target / SPEC).write_text(made.text, encoding="utf-8")
        example, content = beginning(sample, EXAMPLE_ROWS)
        (target / CASE).mkdir(parents=True)
        (target / CASE / example).write_bytes(content)
        files = wanted(project)
    except BaseException:
        shutil.rmtree(target)
        raise
    for path in (SPEC, f"{CASE}/{example}"):
        print(f"sql/datasets/{name}/{path}: written")
    write(project, files)
    return made


def _check_size(folder: Folder, sample: Sample) -> None:
    """Raises SampleError for SQL that the Data API does not take."""
    if fault := Rendering(folder).size_fault():
        raise SampleError(f"{sample.path}: {fault}")


def answered(question: QuestionError, choices: Choices) -> Choices:
    """The choices with an answer from the terminal. Raises SampleError where there is none."""
    answers = "; ".join(f"{answer}: {meaning}" for answer, meaning in question.answers.items())
    if not sys.stdin.isatty():
        options = " or ".join(f"{question.option}={answer}" for answer in question.answers)
        raise SampleError(f"{question}. Say {options} ({answers})")
    print(f"{question}.")
    given = ""
    while given not in question.answers:
        given = input(f"{answers}. Which one? ").strip().upper()
    return replace(choices, **{question.option.lower(): given})


def check_free(project: Path, name: str) -> None:
    """Raises SampleError for a name that cannot be a new dataset's."""
    try:
        check_name(name)
    except ValueError as error:
        raise SampleError(
            f"NAME is the dataset's, and part of names in SQL: {error}: NAME={suggested(name)}"
        ) from None
    if (project / "sql/datasets" / name).exists():
        raise SampleError(
            f"sql/datasets/{name} is there already, and is not written over: take another NAME, or"
            " delete the folder first"
        )


def said(name: str, sample: Path, made: Draft) -> str:
    """What to do now."""
    count = made.open_questions
    looks = f"{count} place{'s'[: count - 1]} marked `# Look:`, and " if count else ""
    views = " and ".join(f"mart.{table}" for table in made.tables)
    return (
        f"\nLook at sql/datasets/{name}/{SPEC}: {looks}the bounds.\n"
        "After a change: make datasets\n"
        "\nThen deploy: make up, make redeploy where that runs, or make deploy ENV=dev.\n"
        "Upload the file (the deployment says what RawBucketName is):\n"
        f"  aws s3 cp {sample} \\\n"
        f"    s3://<RawBucketName>/raw/{name}/{sample.name}\n"
        f"Its rows come into {views}.\n"
        f"\nThe first {EXAMPLE_ROWS} rows are an example case; see that they hold nothing secret.\n"
        "This writes what comes of them beside them, to be looked at and committed:\n"
        f'  make test ARGS="tests/datasets -k {name} --write-examples"'
    )


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tools.datasets.new", description=__doc__)
    parser.add_argument("name", help="the dataset's: small letters, digits and _")
    parser.add_argument("sample", type=Path, help="CSV, JSON lines or Parquet")
    parser.add_argument("--key", choices=["replace", "append"], default="replace")
    parser.add_argument("--dates", choices=["DMY", "MDY"], help="what 02.11.2026 is")
    parser.add_argument("--decimal", choices=[".", ","], help="what stands before decimals")
    parser.add_argument("--delimiter", help="what stands between fields")
    parser.add_argument("--header", choices=["exact", "none"])
    parser.add_argument("--project", type=Path, default=PROJECT, help=argparse.SUPPRESS)
    return parser.parse_args()


def main() -> int:
    arguments = _arguments()
    project, name = arguments.project, arguments.name
    choices = Choices(arguments.key, arguments.dates, arguments.decimal)
    header = None if arguments.header is None else arguments.header == "exact"
    try:
        check_free(project, name)
        sample = read_sample(arguments.sample, arguments.delimiter, header)
        while True:
            try:
                made = make(project, name, sample, choices)
                break
            except QuestionError as question:
                choices = answered(question, choices)
    except (SampleError, SpecError, MarkersMissingError) as error:
        print(error, file=sys.stderr)
        return 1
    print(said(name, arguments.sample, made))
    return 0


if __name__ == "__main__":
    sys.exit(main())
