"""What keeps the promise, taken away one by one: each time, a test goes red.

`make mutations` breaks a copy of the project and runs the test that is named here;
`make mutations ARGS=lock` does it for the mutations whose name holds the word.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

PROJECT = Path(__file__).parents[2]
DOCUMENT = PROJECT / "docs" / "faults.md"
BEGIN = "<!-- tests/faults/mutations.py says what follows -->"
END = "<!-- and no more -->"
NOT_COPIED = shutil.ignore_patterns(".git", ".venv", "build", ".*_cache", "__pycache__", ".aws-sam")
# pytest's exit code for tests that ran, and of which some failed.
TESTS_FAILED = 1


@dataclass(frozen=True)
class Mutation:
    """A guard, the edits that take it away in one file, and the test that notices.

    An edit is what is there, once, and what takes its place.
    """

    guard: str
    path: str
    edits: tuple[tuple[str, str], ...]
    test: str

    def apply(self, project: Path) -> None:
        """Raises ValueError where the file is no longer what the edits are about."""
        file = project / self.path
        text = file.read_text()
        for old, new in self.edits:
            if text.count(old) != 1:
                raise ValueError(f"{self.guard}: {text.count(old)} times in {self.path}: {old!r}")
            text = text.replace(old, new)
        file.write_text(text)


CONCURRENCY = "tests/faults/test_concurrency.py::"
DIVIDED = "tests/pipeline/test_divided_batches.py::"
RERUN = "tests/pipeline/test_rerun.py::"
PRIVILEGES = "tests/sql/test_privileges.py::"
TURNS = "tests/sql/test_turns.py::"
OWN_INPUT = "tests/statemachine/test_own_input.py::"
LEDGER = "tests/sql/test_ledger.py::"
MUTATIONS = (
    Mutation(
        "the ledger check: a file that is in the ledger is skipped",
        "sql/procedures/register_files.sql",
        (("where batch.file_id not in (select ledger.file_id from ledger)", ""),),
        RERUN + "test_file_that_comes_again_in_another_batch_is_skipped",
    ),
    Mutation(
        "the LOCK of a dataset, and the update that is its hedge",
        "sql/datasets/flights/load_flights.sql",
        (
            ("    lock table etl.flights_lock;\n", ""),
            ("    update etl.flights_lock set is_held = true;\n", ""),
        ),
        CONCURRENCY + "test_loads_of_one_dataset_take_turns_and_those_of_two_do_not",
    ),
    Mutation(
        "the LOCK alone: waiting begins before any snapshot",
        "sql/datasets/flights/load_flights.sql",
        (("    lock table etl.flights_lock;\n", ""),),
        TURNS + "test_load_waits_for_the_lock_before_it_does_anything",
    ),
    Mutation(
        "the update of the lock's row alone: a snapshot from before the turn is a conflict",
        "sql/datasets/flights/load_flights.sql",
        (("    update etl.flights_lock set is_held = true;\n", ""),),
        TURNS + "test_load_whose_snapshot_is_older_than_its_turn_ends_in_a_conflict",
    ),
    Mutation(
        "the sequencers in the order of versions",
        "sql/procedures/register_files.sql",
        (("                    rpad(candidates.sequencer, 64, '0') desc,\n", ""),),
        CONCURRENCY + "test_versions_of_one_second_are_ordered_by_their_sequencers",
    ),
    Mutation(
        "the recorded answer of a load that is in the ledger",
        "sql/procedures/finish_load.sql",
        (("if v_recorded_loads > 0 then", "if v_recorded_loads < 0 then"),),
        RERUN + "test_rerun_of_a_load_that_is_in_the_ledger_gives_its_recorded_answer",
    ),
    Mutation(
        "the refusal of other files under a load_id that is in the ledger",
        "sql/procedures/finish_load.sql",
        (("if v_bad_files > 0 or v_given_files <> v_recorded_files then", "if 1 = 0 then"),),
        LEDGER + "test_load_that_is_in_the_ledger_takes_no_other_files",
    ),
    Mutation(
        "the one entry that counts of a file that is given twice",
        "sql/procedures/register_files.sql",
        (("        where numbered.occurrence = 1\n", ""),),
        LEDGER + "test_file_that_is_given_twice_counts_once",
    ),
    Mutation(
        "the dot behind keys, without which trailing blanks do not count",
        "sql/procedures/register_files.sql",
        (
            (
                "object_key || '.' in (select batch.object_key || '.' from",
                "object_key in (select batch.object_key from",
            ),
            ("partition by candidates.object_key || '.'", "partition by candidates.object_key"),
        ),
        "tests/sql/test_versions.py::test_keys_that_differ_in_trailing_blanks_are_two_files",
    ),
    Mutation(
        "the question before a statement that may have nothing to change",
        "sql/procedures/finish_load.sql",
        (("    if v_replaced_files > 0 then\n", "    if v_replaced_files >= 0 then\n"),),
        "tests/sql/test_thrift.py::test_load_of_what_is_in_the_ledger_records_itself_alone",
    ),
    Mutation(
        "the search path that a procedure with its owner's rights pins",
        "sql/procedures/finish_load.sql",
        (("security definer\nset search_path to pg_catalog;", "security definer;"),),
        PRIVILEGES + "test_procedures_with_their_owners_rights_pin_their_search_path",
    ),
    Mutation(
        "the schema before a system view, which keeps a caller's temporary table out of the way",
        "sql/procedures/create_lake_schema.sql",
        (("from pg_catalog.svv_external_schemas", "from svv_external_schemas"),),
        PRIVILEGES + "test_temporary_table_of_the_callers_stands_before_nothing",
    ),
    Mutation(
        "the password that each deployment gives the loader",
        "sql/deployment/0002_etl_loader_login.sql",
        (("alter user etl_loader password '${LoaderPasswordHash}';\n", ""),),
        "tests/pipeline/test_bring_your_own.py::test_stack_of_another_name_takes_the_warehouse_over",
    ),
    Mutation(
        "the schema `lake` over the deployment's own Glue database",
        "sql/deployment/0005_lake.sql",
        (
            ("        and databasename = '${GlueDatabase}'\n", ""),
            ("        and strpos(esoptions, '\"${SpectrumRoleArn}\"') > 0\n", ""),
        ),
        "tests/pipeline/test_bring_your_own.py::test_stack_of_another_name_takes_the_warehouse_over",
    ),
    Mutation(
        "the retry of a load that is refused its login during a rotation",
        "statemachine/load.asl.yaml",
        (("/password authentication failed/", "/no such text/"),),
        "tests/pipeline/test_rotation.py::test_load_that_is_refused_its_login_meanwhile_is_tried_again",
    ),
    Mutation(
        "the VersionId with which a raw file is deleted",
        "statemachine/load.asl.yaml",
        (("{'ETag': etag} : {'VersionId': version_id}", "{'ETag': etag} : {}"),),
        RERUN + "test_newer_version_uploaded_during_the_load_is_not_deleted",
    ),
    Mutation(
        "the deterministic name of a load",
        "functions/start_loads/core.py",
        (
            ("import hashlib\n", "import hashlib\nimport secrets\n"),
            ("_sha256(json.dumps([file.file_id for file in self.files]))", "secrets.token_hex(12)"),
        ),
        RERUN + "test_second_delivery_of_an_event_makes_no_load_and_no_noise",
    ),
    Mutation(
        "the copy to the archive before the raw file is deleted",
        "statemachine/load.asl.yaml",
        (
            ("    Next: ArchiveFiles\n", "    Next: IsNews\n"),
            ("    Next: IsNews\n\n  IsNews", "    Next: DropPartition\n\n  IsNews"),
            (
                'count($delete_errors) = 0 %}"\n        Next: DropPartition',
                'count($delete_errors) = 0 %}"\n        Next: ArchiveFiles',
            ),
        ),
        "tests/pipeline/test_load.py::test_any_key_loads_like_any_other",
    ),
    Mutation(
        "the way back to the queue of a load whose turn did not come",
        "statemachine/load.asl.yaml",
        (("{% $turn = 'waits' and (", "{% false and ("),),
        RERUN + "test_load_that_waits_for_its_turn_is_tried_again_and_mails_nobody",
    ),
    Mutation(
        "the way back to the queue of a load that a full warehouse refuses",
        "statemachine/load.asl.yaml",
        (("$failure.state = 'SubmitLoad' and $turn != 'waits'", "false"),),
        RERUN + "test_load_that_a_full_warehouse_refuses_is_tried_again_and_mails_nobody",
    ),
    Mutation(
        "the standing aside of files that cannot be staged",
        "statemachine/load.asl.yaml",
        (
            (
                "$count($unstaged_files) = $count($states.context.Execution.Input.files) and ",
                "$count($unstaged_files) > 0 or ",
            ),
        ),
        DIVIDED + "test_file_in_glacier_stands_aside_and_the_mail_names_it",
    ),
    Mutation(
        "the split of a batch whose error no row knows",
        "statemachine/load.asl.yaml",
        (("            $outcome = 'OperatorError'\n", "            false\n"),),
        DIVIDED + "test_error_that_no_row_knows_keeps_no_neighbour_waiting",
    ),
    Mutation(
        "the condition that lets one load alone write an incident",
        "statemachine/load.asl.yaml",
        (('      IfNoneMatch: "*"\n', ""),),
        DIVIDED + "test_one_cause_makes_one_mail_and_a_rerun_another",
    ),
    Mutation(
        "the look at who wrote an incident that is there",
        "statemachine/load.asl.yaml",
        (("{% $told_by = $states.context.Execution.Id %}", "{% false %}"),),
        DIVIDED + "test_fault_of_the_incident_keeps_no_mail_away",
    ),
    Mutation(
        "the attempt in the ClientToken of a statement",
        "statemachine/load.asl.yaml",
        (("$states.context.Execution.Id & ' ' & $load_attempt", "$states.context.Execution.Id"),),
        "tests/statemachine/test_client_token.py::test_further_attempt_is_another_statement",
    ),
    Mutation(
        "the check that a file has its own file_id",
        "statemachine/load.asl.yaml",
        (("              and $file.file_id = $id\n", ""),),
        OWN_INPUT + "test_crafted_input_is_refused",
    ),
    Mutation(
        "the check that a copy goes to the file's own place in the archive",
        "statemachine/load.asl.yaml",
        (("and $substring($file.archive_key, 0, $length($folder)) = $folder", ""),),
        OWN_INPUT + "test_crafted_input_is_refused",
    ),
    Mutation(
        "the load machine's refusal of times to come",
        "statemachine/load.asl.yaml",
        (("              and $file.uploaded_at <= $fromMillis($millis() + 900000)\n", ""),),
        OWN_INPUT + "test_crafted_input_is_refused",
    ),
    Mutation(
        "the comparison of inputs before an execution counts as a duplicate",
        "functions/start_loads/core.py",
        (
            (
                'and _identity(_document(execution.get("input"))) == ',
                "and True or ",
            ),
        ),
        "tests/unit/start_loads/test_start_loads_core.py"
        "::test_execution_under_a_load_s_name_with_another_input_is_no_duplicate",
    ),
)


def main() -> int:
    """1 if a mutation went unnoticed."""
    parser = argparse.ArgumentParser(prog="make mutations", description=__doc__)
    parser.add_argument("word", nargs="?", default="", help="of the mutations' names; all if none")
    word = parser.parse_args().word
    chosen = [mutation for mutation in MUTATIONS if word in mutation.guard]
    unnoticed = [mutation for mutation in chosen if not noticed(mutation)]
    for mutation in unnoticed:
        print(f"UNNOTICED: {mutation.guard}", flush=True)
    return int(bool(unnoticed))


def noticed(mutation: Mutation) -> bool:
    """Whether the test fails in a copy of the project without the guard."""
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / PROJECT.name
        shutil.copytree(PROJECT, copy, ignore=NOT_COPIED)
        mutation.apply(copy)
        run = subprocess.run(
            [sys.executable, "-m", "pytest", "--exitfirst", mutation.test],
            cwd=copy,
            env={**os.environ, "PYTEST_DEBUG_TEMPROOT": folder},
            capture_output=True,
            text=True,
            check=False,
        )
    # With the path, since a log that a test prints has lines that begin with ERROR, too.
    words = ("E  ", "FAILED tests/", "ERROR tests/")
    said = [line for line in run.stdout.splitlines() if line.startswith(words)]
    print(f"without {mutation.guard}:", *said[:1], *said[-1:], sep="\n  ", flush=True)
    return run.returncode == TESTS_FAILED and not any(line.startswith("ERROR") for line in said)


def table() -> str:
    """The mutations as Markdown."""
    lines = ["| What is taken away | Where | The test that goes red |", "|---|---|---|"]
    lines += [f"| {m.guard} | `{m.path}` | `{m.test}` |" for m in MUTATIONS]
    return "\n".join(lines)


if __name__ == "__main__":
    raise SystemExit(main())
