"""Lowers the small language of kernels to LLVM: assignments, loops over ranges, conditions, calls, memory by pointer.

Numba's front end infers types over the whole of Python, and takes longer for a kernel than LLVM does. In a kernel each
variable has one type and the type of everything follows from its parts, so one walk over the syntax tree suffices. What
an operation or a call means is Numba's business all the same: its typing says which overload it is, and its
implementation writes the code. Whatever is not in the small language raises `Unsupported`, and takes Numba's own way.
"""

from __future__ import annotations

import ast
import builtins
import inspect
import operator
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import errors
from numba.core.dispatcher import Dispatcher
from numba.core.extending import _Intrinsic as Intrinsic
from numba.core.funcdesc import ExternalFunctionDescriptor

__all__ = ["Overloads", "Unsupported", "lower"]

OPERATORS: Mapping[type[ast.AST], Any] = {
    ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul, ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv, ast.Mod: operator.mod, ast.Pow: operator.pow, ast.LShift: operator.lshift,
    ast.RShift: operator.rshift, ast.BitAnd: operator.and_, ast.BitOr: operator.or_, ast.BitXor: operator.xor,
    ast.Eq: operator.eq, ast.NotEq: operator.ne, ast.Lt: operator.lt, ast.LtE: operator.le, ast.Gt: operator.gt,
    ast.GtE: operator.ge, ast.USub: operator.neg, ast.UAdd: operator.pos, ast.Not: operator.not_,
    ast.Invert: operator.invert,
}  # fmt: skip
CALLED = (Intrinsic, types.ExternalFunction, Dispatcher, np.ufunc, type)
"""What is called: the host's functions, kernels, jitted helpers, NumPy's functions, and types, which convert."""
WORD = ir.IntType(64)


class Unsupported(Exception):
    """The function is not written in the small language."""


class Typed(NamedTuple):
    """A value with its Numba type. `known` is the Python object where it is one: a number of the text, or what a
    global name stands for; functions have no code."""

    type: Any
    code: Any
    known: Any = None


class Overloads:
    """What Numba makes of a function or an operator for types of arguments, looked up once each."""

    def __init__(self, typing: Any, context: Any) -> None:
        self.typing, self.context = typing, context
        self.found: dict[tuple[Any, tuple[Any, ...]], tuple[Any, Callable[..., Any]]] = {}

    def find(self, function: Any, arguments: tuple[Any, ...]) -> tuple[Any, Callable[..., Any]]:
        """The signature, and what writes the code. Raises Unsupported."""
        key = function, arguments
        if key not in self.found:
            try:
                kind = self.typing.resolve_value_type(function)
                signature = self.typing.resolve_function_type(kind, arguments, {})
                if signature is None:
                    raise Unsupported(f"{function} of {arguments}")
                self.found[key] = signature, self.context.get_function(kind, signature)
            except (errors.NumbaError, NotImplementedError, ValueError) as problem:
                raise Unsupported(f"{function} of {arguments}") from problem
        return self.found[key]


def lower(
    function: Callable[..., Any], definition: ast.FunctionDef, name: str, overloads: Overloads, library: Any
) -> Any:
    """The module of a function of int64 arguments, `name` in it, by Numba's calling convention. Raises Unsupported."""
    context = overloads.context
    module = library.create_ir_module(name)
    with context.push_code_library(library):
        try:
            LoweredFunction(function, definition, name, overloads, module)
        except (errors.NumbaError, NotImplementedError) as problem:
            raise Unsupported(str(problem)) from problem
    context.post_lowering(module, library)
    return module


class LoweredFunction:
    """The lowering of one function.

    A name that the text assigns once stands for its value, in the block that it was assigned in and inside it, and so
    does the variable of a loop. Any other variable is a place on the stack.
    """

    def __init__(
        self,
        function: Callable[..., Any],
        definition: ast.FunctionDef,
        name: str,
        overloads: Overloads,
        module: ir.Module,
    ) -> None:
        self.overloads, self.context, self.module = overloads, overloads.context, module
        seen = inspect.getclosurevars(function)
        self.globals: dict[str, Any] = {**vars(builtins), **function.__globals__, **seen.nonlocals}
        self.values: dict[str, Typed] = {}
        self.places: dict[str, Typed] = {}
        self.loops: list[tuple[ir.Block, ir.Block]] = []
        """Where `continue` and `break` go."""
        self.assigned = assignments(definition)
        parameters = [argument.arg for argument in definition.args.args]
        kind = self.context.call_conv.get_function_type(types.void, [types.intp] * len(parameters))
        self.function = ir.Function(module, kind, name)
        self.builder = ir.IRBuilder(self.function.append_basic_block())
        for parameter, code in zip(parameters, self.function.args[2:], strict=True):
            self.assign(parameter, Typed(types.intp, code))
        self.block(definition.body)
        self.builder.ret(ir.Constant(ir.IntType(32), 0))

    # --- statements --------------------------------------------------------------------------------------------

    def block(self, statements: Sequence[ast.stmt]) -> None:
        """Statements whose names are their own."""
        before = dict(self.values)
        for statement in statements:
            if self.builder.block.is_terminated:
                break
            self.statement(statement)
        self.values = before

    def statement(self, statement: ast.stmt) -> None:
        match statement:
            case ast.Assign(targets, value):
                self.assign_to(targets, value)
            case ast.AugAssign(target, op, value):
                self.add_to(target, OPERATORS.get(type(op)), value)
            case ast.For(ast.Name(name), ast.Call(ast.Name("range"), arguments, []), body, []):
                self.count(name, [self.value(argument) for argument in arguments], body)
            case ast.While(test, body, []):
                self.repeat(test, body)
            case ast.If(test, body, orelse):
                with self.builder.if_else(self.truth(self.value(test))) as (then, otherwise):
                    with then:
                        self.block(body)
                    with otherwise:
                        self.block(orelse)
            case ast.Expr(ast.Constant(str())) | ast.Pass():
                pass
            case ast.Expr(value):
                self.value(value)
            case ast.Return(None):
                self.builder.ret(ir.Constant(ir.IntType(32), 0))
            case ast.Continue():
                self.builder.branch(self.loops[-1][0])
            case ast.Break():
                self.builder.branch(self.loops[-1][1])
            case _:
                raise Unsupported(ast.unparse(statement))

    def assign_to(self, targets: Sequence[ast.expr], value: ast.expr) -> None:
        """`a = b = ...` and `a, b = ..., ...`: everything is computed before anything is stored."""
        if not isinstance(value, ast.Tuple):
            made = self.value(value)
            for target in targets:
                self.store(target, made)
            return
        several = [self.value(element) for element in value.elts]
        for target in targets:
            if not isinstance(target, ast.Tuple) or len(target.elts) != len(several):
                raise Unsupported(ast.unparse(target))
            for each, made in zip(target.elts, several, strict=True):
                self.store(each, made)

    def store(self, target: ast.expr, value: Typed) -> None:
        match target:
            case ast.Name(name):
                self.assign(name, value)
            case ast.Subscript(pointer, index):
                self.call(operator.setitem, [self.value(pointer), self.value(index), value])
            case _:
                raise Unsupported(ast.unparse(target))

    def add_to(self, target: ast.expr, function: Any, value: ast.expr) -> None:
        """`a += ...`, `p[i] += ...`, and the like."""
        match target:
            case ast.Name(name):
                self.assign(name, self.call(function, [self.named(name), self.value(value)]))
            case ast.Subscript(pointer, index):
                place = [self.value(pointer), self.value(index)]
                made = self.call(function, [self.call(operator.getitem, place), self.value(value)])
                self.call(operator.setitem, [*place, made])
            case _:
                raise Unsupported(ast.unparse(target))

    def assign(self, name: str, value: Typed) -> None:
        kind = types.unliteral(value.type)
        if value.code is None:
            raise Unsupported(f"{name} = a function")
        if self.assigned[name] <= 1:
            self.values[name] = Typed(kind, value.code)
            return
        if name not in self.places:
            with self.builder.goto_entry_block():
                self.places[name] = Typed(kind, self.builder.alloca(value.code.type))
        if self.places[name].type != kind:
            raise Unsupported(f"{name} has two types")
        self.builder.store(value.code, self.places[name].code)

    def count(self, name: str, limits: Sequence[Typed], body: Sequence[ast.stmt]) -> None:
        """`for name in range(...)`: limits are int64, and the step is known."""
        if any(types.unliteral(limit.type) != types.int64 for limit in limits) or name in self.values:
            raise Unsupported(f"for {name} in range")
        zero = ir.Constant(WORD, 0)
        start, stop = (zero, limits[0].code) if len(limits) == 1 else (limits[0].code, limits[1].code)
        step = limits[2].known if len(limits) == 3 else 1
        if not isinstance(step, int) or step == 0:
            raise Unsupported(f"the step of {name}")
        builder = self.builder
        before = builder.block
        head, inside, following, after = (builder.append_basic_block() for _ in range(4))
        builder.branch(head)
        builder.position_at_end(head)
        index = builder.phi(WORD)
        index.add_incoming(start, before)
        builder.cbranch(builder.icmp_signed("<" if step > 0 else ">", index, stop), inside, after)
        builder.position_at_end(inside)
        with self.loop(following, after):
            kept, self.values = self.values, dict(self.values)
            self.assign(name, Typed(types.int64, index))
            self.block(body)
            self.values = kept
        builder.position_at_end(following)
        index.add_incoming(builder.add(index, ir.Constant(WORD, step), flags=["nsw"]), following)
        builder.branch(head)
        builder.position_at_end(after)

    def repeat(self, test: ast.expr, body: Sequence[ast.stmt]) -> None:
        """`while test:`"""
        builder = self.builder
        head, inside, after = (builder.append_basic_block() for _ in range(3))
        builder.branch(head)
        builder.position_at_end(head)
        builder.cbranch(self.truth(self.value(test)), inside, after)
        builder.position_at_end(inside)
        with self.loop(head, after):
            self.block(body)
        builder.position_at_end(after)

    @contextmanager
    def loop(self, following: ir.Block, after: ir.Block) -> Iterator[None]:
        self.loops.append((following, after))
        yield
        self.loops.pop()
        if not self.builder.block.is_terminated:
            self.builder.branch(following)

    # --- values ------------------------------------------------------------------------------------------------

    def value(self, expression: ast.expr) -> Typed:
        match expression:
            case ast.Name(name):
                return self.named(name)
            case ast.Constant(bool() | int() | float() as number):
                return self.number(number)
            case ast.BinOp(_, ast.Pow(), ast.Constant(int())):
                raise Unsupported("a power that Numba multiplies out")
            case ast.BinOp(left, op, right):
                return self.call(OPERATORS.get(type(op)), [self.value(left), self.value(right)])
            case ast.UnaryOp(ast.USub(), ast.Constant(int() | float() as number)):
                return self.number(-number)
            case ast.UnaryOp(op, operand):
                return self.call(OPERATORS.get(type(op)), [self.value(operand)])
            case ast.Compare(left, ops, others):
                return self.comparison(left, ops, others)
            case ast.BoolOp(op, values):
                return self.both(isinstance(op, ast.And), [partial(self.value, value) for value in values])
            case ast.IfExp(test, body, orelse):
                chosen = self.truth(self.value(test))
                return self.choice(chosen, lambda: self.value(body), lambda: self.value(orelse))
            case ast.Subscript(pointer, index):
                return self.call(operator.getitem, [self.value(pointer), self.value(index)])
            case ast.Call(function, arguments, []):
                called, given = self.value(function), [self.value(argument) for argument in arguments]
                if called.known in (min, max):
                    return self.extreme(called.known is min, given)
                if not isinstance(called.known, CALLED):
                    raise Unsupported(ast.unparse(function))
                return self.call(called.known, given)
            case _:
                raise Unsupported(ast.unparse(expression))

    def number(self, number: Any) -> Typed:
        kind = types.boolean if isinstance(number, bool) else types.int64 if isinstance(number, int) else types.float64
        return Typed(kind, self.context.get_constant(kind, number), number)

    def named(self, name: str) -> Typed:
        if name in self.values:
            return self.values[name]
        if name in self.places:
            place = self.places[name]
            return Typed(place.type, self.builder.load(place.code))
        if name in self.assigned or name not in self.globals:
            raise Unsupported(f"{name} is not assigned here")
        found = self.globals[name]
        if callable(found) or isinstance(found, types.Type):
            return Typed(None, None, found)
        kind = types.unliteral(self.overloads.typing.resolve_value_type(found))
        if not isinstance(kind, types.Number | types.Boolean):
            raise Unsupported(f"{name} is no number")
        return Typed(kind, self.context.get_constant(kind, found), found)

    def comparison(self, left: ast.expr, ops: Sequence[ast.cmpop], others: Sequence[ast.expr]) -> Typed:
        """`a < b <= c`: each operand is computed once, the later ones only if need be."""
        first, second = self.value(left), self.value(others[0])
        made = self.call(OPERATORS.get(type(ops[0])), [first, second])
        if len(ops) == 1:
            return made
        if len(ops) > 2:
            raise Unsupported("a chain of three comparisons")

        def last() -> Typed:
            return self.call(OPERATORS.get(type(ops[1])), [second, self.value(others[1])])

        return self.choice(self.truth(made), last, lambda: self.number(False))

    def both(self, every: bool, values: Sequence[Callable[[], Typed]]) -> Typed:
        """`and`, or `or`, of truth values."""
        first = values[0]()
        if first.type != types.boolean:
            raise Unsupported("and, or of other values than truth values")
        if len(values) == 1:
            return first

        def rest() -> Typed:
            return self.both(every, values[1:])

        def settled() -> Typed:
            return self.number(not every)

        return self.choice(first.code, rest, settled) if every else self.choice(first.code, settled, rest)

    def choice(self, test: ir.Typed, then: Callable[[], Typed], otherwise: Callable[[], Typed]) -> Typed:
        """One of two values of the same type; only that one is computed."""
        with self.builder.if_else(test) as (first, second):
            with first:
                one = then()
                one_end = self.builder.block
            with second:
                other = otherwise()
                other_end = self.builder.block
        if one.code is None or other.code is None or types.unliteral(one.type) != types.unliteral(other.type):
            raise Unsupported("one of two types")
        made = self.builder.phi(one.code.type)
        made.add_incoming(one.code, one_end)
        made.add_incoming(other.code, other_end)
        return Typed(one.type, made)

    def extreme(self, least: bool, values: Sequence[Typed]) -> Typed:
        """`min` or `max` of integers."""
        if len(values) < 2 or any(value.type != types.int64 for value in values):
            raise Unsupported("min and max of other values than integers")
        made = values[0].code
        for value in values[1:]:
            taken = self.builder.icmp_signed("<" if least else ">", value.code, made)
            made = self.builder.select(taken, value.code, made)
        return Typed(types.int64, made)

    def truth(self, value: Typed) -> ir.Typed:
        if value.code is None:
            raise Unsupported("a function as a condition")
        return self.context.is_true(self.builder, value.type, value.code)

    def call(self, function: Any, arguments: Sequence[Typed]) -> Typed:
        """A call as Numba means it, or one of another kernel by its symbol."""
        if isinstance(function, types.ExternalFunction):
            return self.external(function, arguments)
        if function is None:
            raise Unsupported("an operator")
        literal = isinstance(function, Intrinsic)
        given = tuple(kind_of(argument, literal) for argument in arguments)
        signature, write = self.overloads.find(function, given)
        wanted = list(signature.args)
        codes = [argument.code for argument in arguments]
        if wanted and isinstance(wanted[-1], types.StarArgTuple | types.StarArgUniTuple):
            plain = len(wanted) - 1
            codes[plain:] = [self.context.make_tuple(self.builder, wanted[-1], codes[plain:])]
        else:
            codes = [self.cast(code, kind, want) for code, kind, want in zip(codes, given, wanted, strict=True)]
        return Typed(signature.return_type, write(self.builder, codes))

    def cast(self, code: Any, kind: Any, wanted: Any) -> Any:
        if kind == wanted or isinstance(kind, types.ExternalFunction):
            return self.context.get_dummy_value() if code is None else code
        return self.context.cast(self.builder, code, kind, wanted)

    def external(self, function: Any, arguments: Sequence[Typed]) -> Typed:
        wanted = function.sig.args
        if len(arguments) != len(wanted) or any(argument.code is None for argument in arguments):
            raise Unsupported(f"a call of {function.symbol}")
        codes = [
            self.context.cast(self.builder, argument.code, argument.type, want)
            for argument, want in zip(arguments, wanted, strict=True)
        ]
        described = ExternalFunctionDescriptor(function.symbol, function.sig.return_type, wanted)
        declared = self.context.declare_external_function(self.module, described)
        made = self.context.call_external_function(self.builder, declared, wanted, codes)
        return Typed(function.sig.return_type, made)


def kind_of(value: Typed, literal: bool) -> Any:
    """The type by which Numba looks for an overload; intrinsics may want to know the number itself."""
    if isinstance(value.known, types.Type):
        return value.known
    if value.type is None:
        raise Unsupported("a function as an argument")
    if literal and type(value.known) is int:
        return types.literal(value.known)
    return types.unliteral(value.type)


def assignments(definition: ast.FunctionDef) -> Counter[str]:
    """How often each name is assigned. The variable of a loop counts once for all loops, unless they are nested or it
    is assigned otherwise, too."""
    found = Counter(argument.arg for argument in definition.args.args)
    loops: set[str] = set()

    def visit(node: ast.AST, around: frozenset[str]) -> None:
        if isinstance(node, ast.For) and isinstance(node.target, ast.Name):
            name = node.target.id
            found[name] += 2 if name in around else name not in loops
            loops.add(name)
            around |= {name}
            children: Sequence[ast.AST] = [node.iter, *node.body]
        else:
            children = list(ast.iter_child_nodes(node))
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            found[node.id] += 1
        if isinstance(node, ast.AugAssign) and isinstance(node.target, ast.Name):
            found[node.target.id] += 1
        for child in children:
            visit(child, around)

    visit(definition, frozenset())
    return found
