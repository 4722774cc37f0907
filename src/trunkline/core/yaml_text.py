"""YAML from outside, read safely: plain values, no aliases, no numbers without end."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import yaml
from yaml.composer import Composer
from yaml.constructor import ConstructorError, SafeConstructor
from yaml.resolver import Resolver

from trunkline.core.text import cut

_PARSER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # libyaml where PyYAML has it: ten times as fast
_MOST_BITS = 1024  # of a whole number, as large as the largest float


def documents(text: str) -> list[tuple[yaml.Node, Any]]:
    """The documents of a text: the node, which knows its lines, and the value. Empty documents are passed over.

    Raises:
        yaml.YAMLError: When it is not YAML, or has aliases.
        RecursionError: When it is nested too deep.
    """
    return [(node, value) for node, value in _Loader(text).documents() if value is not None]


class _Loader(Composer, SafeConstructor, Resolver):
    """Plain values without aliases: a file from outside may not blow up ("billion laughs")."""

    def __init__(self, text: str) -> None:
        self._parser = _PARSER(text)
        Composer.__init__(self)
        SafeConstructor.__init__(self)
        Resolver.__init__(self)

    def check_event(self, *kinds: Any) -> bool:
        return bool(self._parser.check_event(*kinds))

    def peek_event(self) -> Any:
        return self._parser.peek_event()

    def get_event(self) -> Any:
        return self._parser.get_event()

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.events.AliasEvent):
            raise ConstructorError(None, None, "aliases (*name) are not taken", self.peek_event().start_mark)
        return super().compose_node(parent, index)

    def construct_object(self, node: Any, deep: bool = False) -> Any:
        try:
            value = super().construct_object(node, deep)
            if isinstance(value, int) and value.bit_length() > _MOST_BITS:  # Python does not even print it
                raise ValueError("too large")
            return value
        except (ValueError, LookupError, AttributeError, TypeError, ArithmeticError) as error:
            # a date with a 13th month, `!!int x`: PyYAML lets through whatever Python raises
            kind = node.tag.rpartition(":")[2]
            raise ConstructorError(None, None, f"{cut(str(node.value))!r} is no {kind}", node.start_mark) from error

    def documents(self) -> Iterator[tuple[yaml.Node, Any]]:
        while self.check_node():
            node: Any = self.get_node()
            yield node, self.construct_document(node)


# YAML 1.1 takes `1e-3` for text: there, a number with an exponent needs a point and the exponent's sign.
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"[-+]?(?:\d+\.?\d*|\.\d+)[eE][-+]?\d+$"), list("-+.0123456789")
)
