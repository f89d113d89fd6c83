"""Pin what a template deploys: of each package the very version that was uploaded.

SAM names a package after what it was built from and leaves the name in the template, so that who
may write to the bucket could put something else there, before SAM uploads (it passes over names
that are taken) or after the changes were shown. Here the version is part of the template, once what
lies there was found to be what was built.
"""

import hashlib
import io
import json
import re
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from samtranslator.yaml_helper import yaml_parse  # type: ignore[import-untyped]  # it has no types

from tools.stacks import StackError

# The property that holds a package, by the kinds of resources that have one.
PACKAGED = {
    "AWS::Serverless::Function": "CodeUri",
    "AWS::Serverless::StateMachine": "DefinitionUri",
}
URI = re.compile(r"s3://([^/]+)/(.+)")

Template = dict[str, Any]


@dataclass(frozen=True)
class Package:
    """A version of an object, and the SHA-256 of what it holds."""

    bucket: str
    key: str
    version: str
    sha256: str

    def as_property(self) -> dict[str, str]:
        return {"Bucket": self.bucket, "Key": self.key, "Version": self.version}


def pin(s3: Any, built: Path, packaged: Path, pinned: Path) -> dict[str, Package]:
    """Write a packaged template anew with its packages pinned; these by logical id.

    `built` is the template that it was packaged from. Raises StackError where an object is not what
    was built, or has no version; and botocore's errors.
    """
    template, sources = yaml_parse(packaged.read_text()), yaml_parse(built.read_text())
    found = {}
    for logical_id, name in _packaged(template):
        properties = template["Resources"][logical_id]["Properties"]
        source = built.parent / sources["Resources"][logical_id]["Properties"][name]
        found[logical_id] = _found(s3, logical_id, _place(properties[name]), source)
        properties[name] = found[logical_id].as_property()
    pinned.write_text(json.dumps(template))
    return found


def versions(template: str | Mapping[str, Any]) -> dict[str, Any]:
    """What a template says of its packages, by logical id. Raises StackError where one is loose."""
    read = yaml_parse(template) if isinstance(template, str) else template
    found = {}
    for logical_id, name in _packaged(read):
        said = read["Resources"][logical_id]["Properties"].get(name)
        if not isinstance(said, dict) or not said.get("Version"):
            raise StackError(
                f"{logical_id}: its package has no version, so another may take its place."
            )
        found[logical_id] = dict(said)
    return found


def _packaged(template: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for logical_id, body in template["Resources"].items():
        if body["Type"] in PACKAGED:
            yield logical_id, PACKAGED[body["Type"]]


def _place(uploaded: Any) -> str:
    """SAM writes a function's package as a URI, and a machine's definition as bucket and key."""
    if isinstance(uploaded, dict):
        return f"s3://{uploaded['Bucket']}/{uploaded['Key']}"
    return str(uploaded)


def _found(s3: Any, logical_id: str, uri: str, source: Path) -> Package:
    match = URI.fullmatch(uri)
    if not match:
        raise StackError(f"{logical_id}: {uri} is no object that SAM has uploaded.")
    bucket, key = match.groups()
    answer = s3.get_object(Bucket=bucket, Key=key)
    body = answer["Body"].read()
    if not _is_built_from(body, source):
        raise StackError(f"{logical_id}: {uri} is not what was built. Who else writes to {bucket}?")
    version = answer.get("VersionId", "null")
    if version == "null":
        raise StackError(
            f"{bucket} keeps no versions, so another package may take the place of {key}."
        )
    return Package(bucket, key, version, hashlib.sha256(body).hexdigest())


def _is_built_from(body: bytes, source: Path) -> bool:
    if source.is_file():
        return body == source.read_bytes()
    files = {
        file.relative_to(source).as_posix(): file.read_bytes()
        for file in source.rglob("*")
        if file.is_file()
    }
    try:
        with zipfile.ZipFile(io.BytesIO(body)) as archive:
            names = [name for name in archive.namelist() if not name.endswith("/")]
            return len(names) == len(files) and all(
                files.get(name) == archive.read(name) for name in names
            )
    except zipfile.BadZipFile:
        return False
