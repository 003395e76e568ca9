"""Mutants of a module's text: each a small mistake that a test should notice.

Kinds (after the operators that mutmut, cosmic-ray and PIT share): comparisons, `and`/`or`, `not`, arithmetic, numbers one more and
one less (from a hundred on twice and half: of a capacity of a thousand nobody can miss one), booleans, `min`/`max` and `any`/`all`,
conditions always true and always false, loops over nothing, `break`/`continue`, results lost, statements that have an effect left
out. Left alone: docstrings and other words, what is logged, annotations, `__all__`, decorators and a class's keywords, imports,
assertions (`strict` of `zip` is one), type aliases, `del` of a name, and 0 as what a time in nanoseconds is at first or is compared with: one nanosecond more.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Final

COMPARISONS: Final[dict[type[ast.cmpop], tuple[type[ast.cmpop], ...]]] = {
    ast.Lt: (ast.LtE, ast.GtE),
    ast.LtE: (ast.Lt, ast.Gt),
    ast.Gt: (ast.GtE, ast.LtE),
    ast.GtE: (ast.Gt, ast.Lt),
    ast.Eq: (ast.NotEq,),
    ast.NotEq: (ast.Eq,),
    ast.Is: (ast.IsNot,),
    ast.IsNot: (ast.Is,),
    ast.In: (ast.NotIn,),
    ast.NotIn: (ast.In,),
}
ARITHMETIC: Final[dict[type[ast.operator], type[ast.operator]]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Div,
    ast.Div: ast.Mult,
    ast.FloorDiv: ast.Mult,
    ast.Mod: ast.Mult,
    ast.Pow: ast.Mult,
    ast.BitOr: ast.BitAnd,
    ast.BitAnd: ast.BitOr,
    ast.BitXor: ast.BitAnd,
    ast.LShift: ast.RShift,
    ast.RShift: ast.LShift,
}
OPPOSITES: Final = {"min": "max", "max": "min", "any": "all", "all": "any"}
LOGGERS: Final = frozenset({"log", "logger", "logging"})
NEWLINE: Final = "\n"
LARGE: Final = 100
"""Numbers from this on are changed by half, others by one."""
UNTOUCHED: Final = (ast.Import, ast.ImportFrom, ast.Assert, ast.Global, ast.Nonlocal, ast.JoinedStr)


@dataclass(frozen=True)
class Mutant:
    """One change of one module."""

    path: str
    kind: str
    line: int
    """Of the text that is changed."""
    statement: int
    """Line of the innermost statement of a function that holds it; 0 for what runs when the module is imported."""
    start: int
    """First byte of what is replaced."""
    end: int
    after: str
    """What stands there instead."""
    default: bool = False
    """Whether it is in the default of an argument: used where the function runs, and made where it is defined."""

    @property
    def at_import(self) -> bool:
        """Whether it runs when the module is imported: changing functions that are there already changes nothing of it."""
        return not self.statement or self.default

    def applied(self, text: str) -> str:
        """The module with the mistake in it."""
        whole = text.encode()
        return (whole[: self.start] + self.after.encode() + whole[self.end :]).decode()

    def told(self, text: str) -> str:
        """One line for a report: place, kind, what stands there and what stood."""
        before = " ".join(text.encode()[self.start : self.end].decode().split())
        return f"{self.path}:{self.line}: {self.kind}: {before} -> {' '.join(self.after.split())}"


def mutants_of(path: str, text: str) -> list[Mutant]:
    """All mutants of a module, in the order of its text."""
    return sorted(_Finder(path, text).module(), key=lambda m: (m.start, m.end, m.kind, m.after))


class _Finder:
    def __init__(self, path: str, text: str) -> None:
        self.path = path
        self.tree = ast.parse(text)
        self.instants = {id(zero) for node in ast.walk(self.tree) for zero in _instants(node)}
        self.begins = [0]
        for row in text.encode().split(b"\n"):
            self.begins.append(self.begins[-1] + len(row) + 1)

    def module(self) -> Iterator[Mutant]:
        for child in self.tree.body:
            yield from self.visit(child, 0)

    def visit(self, node: ast.AST, statement: int) -> Iterator[Mutant]:
        """What can go wrong in a node and below it."""
        if isinstance(node, UNTOUCHED) or _is_words(node) or _is_for_types(node, statement):
            return
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield from self._of_function(node, statement)
            return
        if isinstance(node, ast.stmt):
            statement = node.lineno if statement else 0
            yield from self._of_statement(node, statement)
            yield from self._of_control(node, statement)
        elif isinstance(node, ast.expr):
            yield from self._of_operator(node, statement)
            yield from self._of_value(node, statement)
        for part in [*node.body] if isinstance(node, ast.ClassDef) else _parts(node):
            yield from self.visit(part, statement)

    def _of_function(self, node: ast.FunctionDef | ast.AsyncFunctionDef, statement: int) -> Iterator[Mutant]:
        # A default is used where the function runs: whoever runs it can notice.
        first = node.body[1 if len(node.body) > 1 and _is_words(node.body[0]) else 0]
        for default in [*node.args.defaults, *(d for d in node.args.kw_defaults if d is not None)]:
            found = self.visit(default, statement or first.lineno)
            yield from found if statement else (replace(m, default=True) for m in found)
        for child in node.body:
            yield from self.visit(child, child.lineno)

    def _of_statement(self, node: ast.stmt, statement: int) -> Iterator[Mutant]:
        match node:
            case ast.Return(value=ast.expr() as value):
                if not _is_none(value):
                    yield self._put(value, statement, "result lost", "None")
            case ast.Expr(value=ast.Yield(value=value)):
                # A bare one parts a context manager's two halves.
                if value is not None:
                    yield self._put(node, statement, "statement left out", "yield from ()")
            case ast.Delete(targets=targets) if all(isinstance(t, ast.Name) for t in targets):
                pass
            case ast.Raise() | ast.Expr() | ast.Delete() | ast.Assign(targets=[ast.Attribute() | ast.Subscript()]):
                yield self._put(node, statement, "statement left out", "pass")
            case ast.AugAssign():
                yield self._put(node, statement, "statement left out", "pass")
                other = ast.AugAssign(node.target, ARITHMETIC[type(node.op)](), node.value)
                yield self._put(node, statement, "arithmetic", ast.unparse(other))
            case _:
                pass

    def _of_control(self, node: ast.stmt, statement: int) -> Iterator[Mutant]:
        match node:
            case ast.Break():
                yield self._put(node, statement, "loop", "continue")
            case ast.Continue():
                yield self._put(node, statement, "loop", "break")
            case ast.For():
                yield self._put(node.iter, statement, "loop over nothing", "()")
            case ast.If():
                yield self._put(node.test, statement, "condition", "True")
                yield self._put(node.test, statement, "condition", "False")
            case ast.While() if not isinstance(node.test, ast.Constant):
                yield self._put(node.test, statement, "condition", "False")
            case _:
                pass

    def _of_operator(self, node: ast.expr, statement: int) -> Iterator[Mutant]:
        match node:
            case ast.Compare():
                for n, op in enumerate(node.ops):
                    for other in COMPARISONS[type(op)]:
                        ops = [*node.ops[:n], other(), *node.ops[n + 1 :]]
                        yield self._swap(node, statement, "comparison", ast.Compare(node.left, ops, node.comparators))
            case ast.BoolOp():
                junction = ast.Or() if isinstance(node.op, ast.And) else ast.And()
                yield self._swap(node, statement, "and/or", ast.BoolOp(junction, node.values))
            case ast.UnaryOp(op=ast.Not() | ast.USub()):
                yield self._swap(node, statement, "sign", node.operand)
            case ast.BinOp() if type(node.op) in ARITHMETIC:
                sum_ = ast.BinOp(node.left, ARITHMETIC[type(node.op)](), node.right)
                yield self._swap(node, statement, "arithmetic", sum_)
            case _:
                pass

    def _of_value(self, node: ast.expr, statement: int) -> Iterator[Mutant]:
        match node:
            case ast.IfExp():
                yield self._put(node.test, statement, "condition", "True")
                yield self._put(node.test, statement, "condition", "False")
            case ast.Constant(value=bool() as truth):
                yield self._put(node, statement, "boolean", str(not truth))
            case ast.Constant(value=int() | float() as number) if id(node) not in self.instants:
                other = (number + 1, number - 1) if number < LARGE else (2 * number, type(number)(number // 2))
                yield self._put(node, statement, "number", str(other[0]))
                yield self._put(node, statement, "number", f"({other[1]})")
            case ast.Call(func=ast.Name(id=name)) if name in OPPOSITES:
                yield self._put(node.func, statement, "opposite", OPPOSITES[name])
            case ast.ListComp() | ast.SetComp() | ast.DictComp() | ast.GeneratorExp():
                for wanted in (test for part in node.generators for test in part.ifs):
                    yield self._put(wanted, statement, "condition", "True")
            case _:
                pass

    def _swap(self, node: ast.expr, statement: int, kind: str, other: ast.expr) -> Mutant:
        return self._put(node, statement, kind, f"({ast.unparse(other)})")

    def _put(self, node: ast.expr | ast.stmt, statement: int, kind: str, after: str) -> Mutant:
        assert node.end_lineno is not None
        assert node.end_col_offset is not None
        start = self.begins[node.lineno - 1] + node.col_offset
        end = self.begins[node.end_lineno - 1] + node.end_col_offset
        if lost := node.end_lineno - node.lineno:  # what follows stays on its line
            after = f"({after}{lost * NEWLINE})" if isinstance(node, ast.expr) else after + lost * NEWLINE
        return Mutant(self.path, kind, node.lineno, statement, start, end, after)


def _parts(node: ast.AST) -> Iterator[ast.AST]:
    """What a node is made of, without annotations, and without `strict` of `zip`, which is an assertion."""
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "zip":
        yield from node.args
        return
    for name, value in ast.iter_fields(node):
        if name not in {"annotation", "returns"}:
            yield from (part for part in (value if isinstance(value, list) else [value]) if isinstance(part, ast.AST))


def _instants(node: ast.AST) -> Iterator[ast.expr]:
    """Zeros that are a time in nanoseconds, as names say: what it is at first, or is compared with."""
    match node:
        case ast.Assign(targets=named, value=value):
            parts = [value]
        case ast.AnnAssign(target=target, value=ast.expr() as value):
            named, parts = [target], [value]
        case ast.Compare(left=left, comparators=others):
            parts = [left, *others]
            named = [part for part in parts if not isinstance(part, ast.Constant)]
        case _:
            return
    if named and all(ast.unparse(n).endswith("_ns") for n in named):
        yield from (part for part in parts if isinstance(part, ast.Constant) and part.value == 0)


def _is_none(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and node.value is None


def _is_words(node: ast.AST) -> bool:
    """A text that stands alone (docstring), `...`, or a line for the log."""
    if not isinstance(node, ast.Expr):
        return False
    if isinstance(node.value, ast.Constant):
        return True
    called = node.value.func if isinstance(node.value, ast.Call) else None
    while isinstance(called, ast.Attribute):
        called = called.value
    return isinstance(called, ast.Name) and called.id.strip("_").lower() in LOGGERS


def _is_for_types(node: ast.AST, statement: int) -> bool:
    """Names that are exported, unions of types, what only a type checker reads."""
    if isinstance(node, ast.If):
        return ast.unparse(node.test) in {"TYPE_CHECKING", "__name__ == '__main__'"}
    if isinstance(node, ast.Assign):
        return any(isinstance(t, ast.Name) and t.id in {"__all__", "__slots__"} for t in node.targets)
    if isinstance(node, ast.AnnAssign):
        return "TypeAlias" in ast.unparse(node.annotation)
    return statement == 0 and isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitOr)
