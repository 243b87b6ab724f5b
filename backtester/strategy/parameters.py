"""What can be set on a strategy, as rows for people."""

from __future__ import annotations

import ast
import inspect
import json
import re
import textwrap
from itertools import pairwise
from typing import Annotated, Any, get_args, get_origin

import msgspec

from backtester.strategy.base import Strategy, StrategyParams


class ParamRow(msgspec.Struct, frozen=True, kw_only=True):
    """One parameter: `default` as it is written in `--params` (JSON), `required` where there is none."""

    name: str
    type: str
    default: str
    doc: str


def describe(strategy: type[Strategy]) -> list[ParamRow]:
    """The parameters of a strategy in their order; `doc` is the text that stands below the field in `Params`."""
    docs: dict[str, str] = {}
    for cls in reversed(strategy.Params.__mro__):
        if issubclass(cls, StrategyParams):
            docs.update(_field_docs(cls))
    return [
        ParamRow(name=field.name, type=_type_text(field.type), default=_default_text(field), doc=docs.get(field.name, ""))
        for field in msgspec.structs.fields(strategy.Params)
    ]


def _field_docs(cls: type[StrategyParams]) -> dict[str, str]:
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(cls)))
    except (OSError, TypeError, SyntaxError):
        return {}  # a class without source, such as one made in a prompt, has no texts to show
    if not (tree.body and isinstance(tree.body[0], ast.ClassDef)):
        return {}
    body = tree.body[0].body
    docs: dict[str, str] = {}
    for field, after in pairwise(body):
        if not (isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name) and isinstance(after, ast.Expr)):
            continue
        if isinstance(after.value, ast.Constant) and isinstance(after.value.value, str):
            docs[field.target.id] = " ".join(after.value.value.split())
    return docs


def _type_text(kind: Any) -> str:
    if get_origin(kind) is Annotated:
        kind = get_args(kind)[0]
    if isinstance(kind, type) and get_origin(kind) is None:
        return kind.__name__
    return re.sub(r"\b(?:\w+\.)+(\w+)", r"\1", str(kind))


def _default_text(field: msgspec.structs.FieldInfo) -> str:
    if field.default is not msgspec.NODEFAULT:
        value = field.default
    elif field.default_factory is not msgspec.NODEFAULT:
        value = field.default_factory()
    else:
        return "required"
    return json.dumps(msgspec.to_builtins(value))
