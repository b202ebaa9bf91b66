"""A script without its seeds: most people never set one, and the scripts of the corpus all do."""

from __future__ import annotations

import ast

_MAKERS = ("default_rng", "RandomState", "Random", "SeedSequence")
"""What makes a generator of its own, from a seed or from none."""
_SEEDERS = ("manual_seed", "manual_seed_all", "seed")
_MODULES = ("torch", "random", "np.random", "numpy.random", "torch.cuda")


def without_seeds(source: str) -> str:
    """Return `source` without the calls that seed a global generator, and with unseeded generators of its own.

    A seed that is a plain number stays where it makes a generator: a split that shall be the same each time.
    """
    return ast.unparse(ast.fix_missing_locations(_Unseed().visit(ast.parse(source))))


class _Unseed(ast.NodeTransformer):
    def visit_Expr(self, node: ast.Expr) -> ast.AST:
        call = node.value
        func = call.func if isinstance(call, ast.Call) else None
        if isinstance(func, ast.Attribute) and func.attr in _SEEDERS and ast.unparse(func.value) in _MODULES:
            return ast.Pass()
        return self.generic_visit(node)

    def visit_Call(self, node: ast.Call) -> ast.AST:
        self.generic_visit(node)
        name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        if name in _MAKERS and any(_names_a_seed(given) for given in node.args):
            node.args = []
        for keyword in node.keywords:
            if keyword.arg in ("random_state", "seed") and _names_a_seed(keyword.value):
                keyword.value = ast.Constant(None)
        makes_one = isinstance(node.func, ast.Attribute) and isinstance(node.func.value, ast.Call)
        if name == "manual_seed" and makes_one and any(_names_a_seed(given) for given in node.args):
            return ast.Constant(None)  # in place of a seeded torch.Generator: the default one
        return node


def _names_a_seed(node: ast.AST) -> bool:
    names = [getattr(one, "id", None) or getattr(one, "attr", None) for one in ast.walk(node)]
    return any("seed" in name.lower() for name in names if name)


def with_beginning(source: str, beginning: str) -> str:
    """Return `source` with `beginning` in front of its first statement, behind its docstring and future imports."""
    lines = source.splitlines(keepends=True)
    for node in ast.parse(source).body:
        is_docstring = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
        is_future = isinstance(node, ast.ImportFrom) and node.module == "__future__"
        if not (is_docstring or is_future):
            return "".join([*lines[: node.lineno - 1], beginning, *lines[node.lineno - 1 :]])
    return source + beginning
