"""YAML read with the line of every value, so that an error can say where it stands."""

import re
from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field
from typing import Any

import yaml

Location = tuple[Hashable, ...]


class TextError(ValueError):
    """A text that is no YAML, or gives a key twice. `line` counts from 1."""

    def __init__(self, line: int, problem: str) -> None:
        super().__init__(problem)
        self.line = line


@dataclass
class Document:
    """What a YAML text says, and on which line each part of it begins."""

    content: Any = None
    lines: dict[Location, int] = field(default_factory=dict)

    def line(self, location: Location) -> int:
        """The line of a part, or of the innermost part around it that the text has."""
        while location and location not in self.lines:
            location = location[:-1]
        return self.lines.get(location, 1)


class _Loader(yaml.SafeLoader):
    """The plain scalars of YAML 1.2: `no` and 2013-01-01 are texts, which 1.1 takes for more."""


_KEPT_TAGS = {"int", "float", "null"}
_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag.rpartition(":")[2] in _KEPT_TAGS]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
for _word, _letters in (("true", "tT"), ("false", "fF")):
    for _letter in _letters:
        _Loader.yaml_implicit_resolvers.setdefault(_letter, []).append(
            ("tag:yaml.org,2002:bool", re.compile(rf"^(?i:{_word})$"))
        )


def read(text: str) -> Document:
    """Read a YAML text. Raises TextError."""
    loader = _Loader(text)
    try:
        node = loader.get_single_node()
        document = Document()
        if node is not None:
            document.content = _content(loader, node, (), document)
        return document
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        raise TextError(mark.line + 1 if mark else 1, str(error.problem)) from error
    finally:
        loader.dispose()


def _content(loader: _Loader, node: yaml.Node, location: Location, document: Document) -> Any:
    document.lines[location] = node.start_mark.line + 1
    if isinstance(node, yaml.MappingNode):
        return _mapping(loader, node, location, document)
    if isinstance(node, yaml.SequenceNode):
        return [
            _content(loader, item, (*location, index), document)
            for index, item in enumerate(node.value)
        ]
    return loader.construct_object(node)


def _mapping(
    loader: _Loader, node: yaml.MappingNode, location: Location, document: Document
) -> Mapping[str, Any]:
    content: dict[str, Any] = {}
    for key_node, value_node in node.value:
        # A key is the text that stands there, `null` too.
        key = str(key_node.value)
        if key in content:
            raise TextError(key_node.start_mark.line + 1, f'"{key}" is given twice')
        content[key] = _content(loader, value_node, (*location, key), document)
        document.lines[(*location, key)] = key_node.start_mark.line + 1
    return content
