"""tools/packages.py: a template names the version that was built, and no other."""

import io
import zipfile
from pathlib import Path
from typing import Any

import pytest

from tools import packages
from tools.stacks import StackError

BUILT = {"handler.py": b"def handler(): ...", "sql/a.sql": b"select 1"}
TEMPLATE = """\
Resources:
  Sweep:
    Type: AWS::Serverless::Function
    Properties: {{CodeUri: {code}, Role: !GetAtt Role.Arn}}
  Load:
    Type: AWS::Serverless::StateMachine
    Properties: {{DefinitionUri: {definition}}}
  Role: {{Type: AWS::IAM::Role}}
"""


class Bucket:
    """An S3 of one bucket."""

    def __init__(self, version: str = "v1") -> None:
        self.bodies: dict[str, bytes] = {}
        self._version = version

    def get_object(self, Bucket: str, Key: str) -> dict[str, Any]:
        return {"Body": io.BytesIO(self.bodies[Key]), "VersionId": self._version}


def zipped(files: dict[str, bytes]) -> bytes:
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w") as archive:
        for name, body in files.items():
            archive.writestr(name, body)
    return target.getvalue()


def pinned(bucket: Bucket, folder: Path) -> dict[str, packages.Package]:
    for name, body in BUILT.items():
        file = folder / "Sweep" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(body)
    (folder / "load.yaml").write_bytes(b"States: {}")
    built, packaged = folder / "template.yaml", folder / "packaged.yaml"
    built.write_text(TEMPLATE.format(code="Sweep", definition="load.yaml"))
    packaged.write_text(TEMPLATE.format(code="s3://b/1", definition="{Bucket: b, Key: '2'}"))
    return packages.pin(bucket, built, packaged, folder / "pinned.json")


def test_versions_and_digests_are_of_what_was_built(tmp_path: Path) -> None:
    bucket = Bucket()
    bucket.bodies = {"1": zipped(BUILT), "2": b"States: {}"}
    found = pinned(bucket, tmp_path)

    assert packages.versions((tmp_path / "pinned.json").read_text()) == {
        "Sweep": {"Bucket": "b", "Key": "1", "Version": "v1"},
        "Load": {"Bucket": "b", "Key": "2", "Version": "v1"},
    }
    assert len({one.sha256 for one in found.values()}) == 2


@pytest.mark.parametrize(
    ("code", "definition"),
    [
        (zipped({**BUILT, "handler.py": b"steal()"}), b"States: {}"),
        (zipped({**BUILT, "sitecustomize.py": b"steal()"}), b"States: {}"),
        (zipped({"handler.py": BUILT["handler.py"]}), b"States: {}"),
        (b"no archive", b"States: {}"),
        (zipped(BUILT), b"States: {Other: {}}"),
    ],
    ids=["changed", "added", "missing", "no archive", "definition"],
)
def test_what_was_not_built_is_refused(tmp_path: Path, code: bytes, definition: bytes) -> None:
    bucket = Bucket()
    bucket.bodies = {"1": code, "2": definition}

    with pytest.raises(StackError, match="is not what was built"):
        pinned(bucket, tmp_path)


def test_bucket_without_versions_is_refused(tmp_path: Path) -> None:
    bucket = Bucket("null")
    bucket.bodies = {"1": zipped(BUILT), "2": b"States: {}"}

    with pytest.raises(StackError, match="keeps no versions"):
        pinned(bucket, tmp_path)


@pytest.mark.parametrize("code", ["s3://b/1", "{Bucket: b, Key: '1'}"])
def test_package_without_a_version_is_refused(code: str) -> None:
    loose = TEMPLATE.format(code=code, definition="{Bucket: b, Key: k, Version: v}")

    with pytest.raises(StackError, match="Sweep: its package has no version"):
        packages.versions(loose)
