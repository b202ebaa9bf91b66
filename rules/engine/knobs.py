"""The docstrings below the fields of a model become their descriptions, when somebody asks for them.

pydantic can do the same while it makes a class (`use_attribute_docstrings`); it reads and parses the source each time,
which is most of what loading the rules would cost a training that never shows a description.
"""

from __future__ import annotations

import ast
import inspect
import textwrap
from typing import TypeVar

from pydantic import BaseModel

M = TypeVar("M", bound=BaseModel)


_described: set[type[BaseModel]] = set()


def described(model: type[M]) -> type[M]:
    """The same model, whose fields and JSON schema now have their docstrings as descriptions.

    A description that was given with `Field(description=...)` stays. Source that cannot be read has none.
    """
    if model in _described:
        return model
    texts: dict[str, str] = {}
    for cls in reversed(model.__mro__):
        if issubclass(cls, BaseModel) and cls is not BaseModel:
            texts.update(_docstrings(cls))
    for name, field in model.model_fields.items():
        if field.description is None:
            field.description = texts.get(name)
    model.model_rebuild(force=True)
    _described.add(model)
    return model


def _docstrings(cls: type) -> dict[str, str]:
    """The string below each annotated name in the body of a class."""
    try:
        body = ast.parse(textwrap.dedent(inspect.getsource(cls))).body[0]
    except (OSError, TypeError, SyntaxError, IndexError):
        return {}
    if not isinstance(body, ast.ClassDef):
        return {}
    found = {}
    for line, below in zip(body.body, body.body[1:], strict=False):
        match line, below:
            case ast.AnnAssign(target=ast.Name(id=name)), ast.Expr(value=ast.Constant(value=str(text))):
                found[name] = inspect.cleandoc(text)
    return found
