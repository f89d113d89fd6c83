"""What `sam build` makes suits either processor, so that Architecture changes no package."""

from pathlib import Path

# What programs begin with on Linux, on macOS (two ways) and on Windows.
MACHINE_CODE = (b"\x7fELF", b"\xcf\xfa\xed\xfe", b"\xca\xfe\xba\xbe", b"MZ")


def test_nothing_in_the_artifacts_is_compiled(build_folder: Path) -> None:
    files = [path for path in build_folder.glob("*Function/**/*") if path.is_file()]

    assert files
    assert [path for path in files if path.read_bytes().startswith(MACHINE_CODE)] == []


def test_packages_in_the_artifacts_are_for_any_platform(build_folder: Path) -> None:
    wheels = list(build_folder.glob("*Function/*.dist-info/WHEEL"))
    tags = {line for path in wheels for line in path.read_text().splitlines() if "Tag:" in line}

    assert wheels
    assert [tag for tag in tags if not tag.endswith("-none-any")] == []
