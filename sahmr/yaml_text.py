"""YAML as settings need it: a tree of plain values whose size its text bounds."""

from __future__ import annotations

from typing import Any

import yaml

MOST_CHARACTERS = 1 << 20  # of a file; params.yaml has 7 kB
_MOST_NODES = 100_000  # counted as often as an alias repeats them
_DEEPEST = 32  # levels
_LONGEST_NUMBER = 40  # characters


def load_yaml(text: str) -> Any:
    """The plain value of a YAML document.

    Raises:
        ValueError: if it is no YAML, too large, nested too deeply, repeats itself without end, or has a key twice.
    """
    if len(text) > MOST_CHARACTERS:
        raise ValueError(f"{len(text):,} characters, allowed: {MOST_CHARACTERS:,}")
    try:
        return yaml.load(text, Loader=_BoundedLoader)
    except yaml.YAMLError as problem:
        raise ValueError(str(problem)) from None
    except Exception as problem:  # of its constructors: an IndexError for an empty number, and others
        raise ValueError(f"{type(problem).__name__}: {problem}") from None


class _BoundedLoader(yaml.SafeLoader):
    """A safe loader that counts what aliases stand for, and knows each key once."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self._sizes: dict[int, int] = {}  # of finished nodes, by identity; the document keeps them alive
        self._depth = 0

    def compose_node(self, parent: Any, index: Any) -> Any:
        is_alias, where = self.check_event(yaml.AliasEvent), self.get_mark()
        self._depth += 1
        if self._depth > _DEEPEST:
            raise _error(f"nested deeper than {_DEEPEST} levels", where)
        node = super().compose_node(parent, index)
        self._depth -= 1
        if is_alias and id(node) not in self._sizes:
            raise _error("an alias inside of what it stands for", where)
        if not is_alias:
            self._sizes[id(node)] = self._size(node)
        if self._sizes[id(node)] > _MOST_NODES:
            raise _error(f"more than {_MOST_NODES:,} values", where)
        return node

    def _size(self, node: Any) -> int:
        if isinstance(node, yaml.MappingNode):
            keys = [key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode) and key.value != "<<"]
            if twice := sorted(set(keys) - _once(keys)):
                raise _error(f"key {twice[0][:40]!r} is given twice", node.start_mark)
            return 1 + sum(self._sizes[id(part)] for pair in node.value for part in pair)
        if isinstance(node, yaml.SequenceNode):
            return 1 + sum(self._sizes[id(part)] for part in node.value)
        if node.tag == "tag:yaml.org,2002:int" and len(node.value) > _LONGEST_NUMBER:
            raise _error(f"a number of {len(node.value):,} characters", node.start_mark)
        return 1


def _error(problem: str, where: Any) -> yaml.MarkedYAMLError:
    return yaml.MarkedYAMLError(problem=problem, problem_mark=where)


def _once(keys: list[str]) -> set[str]:
    seen, twice = set[str](), set[str]()
    for key in keys:
        (twice if key in seen else seen).add(key)
    return seen - twice
