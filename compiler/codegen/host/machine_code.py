"""From a Python function to an object file: LLVM code by `lowering.py`, or by Numba's front end, and LLVM once.

Numba's own way to a C callback optimises a function three times over, makes a wrapper that can raise Python's
exceptions, and keeps what it has found out about types, pickled, beside the machine code. A kernel needs none of it.
"""

# mypy: allow-subclassing-any

from __future__ import annotations

import ast
import functools
import inspect
import textwrap
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from llvmlite import ir
from numba import types
from numba.core import codegen, compiler, config, cpu, registry, sigutils, typed_passes, untyped_passes
from numba.core.compiler_lock import global_compiler_lock
from numba.core.compiler_machinery import PassManager

from dlc.compiler.codegen.host.lowering import Overloads, Unsupported, lower
from dlc.compiler.codegen.host.scopes import keep_apart

__all__ = ["machine_code"]

INNER = "kernel"
"""The function inside the entry, where Numba has not named it."""
INTERPRETER = ("Py", "_Py", "numba_", "NRT_")
"""How the symbols of Python and of Numba's run time begin: a kernel must not call them."""


def machine_code(
    function: Callable[..., Any],
    signature: str,
    symbol: str,
    fastmath: Iterable[str],
    text: ast.FunctionDef | None = None,
    *,
    apart: bool = False,
) -> bytes:
    """The object file that defines `symbol` as a C function of int64 arguments and no result.

    `text` is the function's syntax tree; it is found by the function where that is possible. `apart` says that its
    pointers reach different memory (`scopes.py`). Raises Numba's errors for what it cannot type, and ValueError for a
    function that would call the interpreter.
    """
    arguments, result = sigutils.normalize_signature(signature)
    if result != types.void or any(argument != types.intp for argument in arguments):
        raise ValueError(f"a kernel takes intp alone and gives nothing; {symbol} is {signature}")
    target = registry.cpu_target
    with global_compiler_lock, compiling():
        target.typing_context.refresh()
        target.target_context.refresh()
        try:
            overloads = overloads_under(frozenset(fastmath))
            library = OneObject(target.target_context.codegen(), function.__name__)
            definition = definition_of(function) if text is None else text
            made = lower(function, definition, INNER, overloads, library)
            if apart:
                keep_apart(made.get_global(INNER))
            library.add_ir_module(made)
            inner = INNER
        except Unsupported:
            library = OneObject(target.target_context.codegen(), function.__name__)
            made = compiler.compile_extra(
                target.typing_context, target.target_context, function, arguments, result, flags(fastmath), {},
                library=library, pipeline_class=Front,
            )  # fmt: skip
            inner = made.fndesc.llvm_func_name
        library.add_ir_module(entry(symbol, inner, len(arguments)))
        library.symbol = symbol
        library.finalize()
    return library.code


def definition_of(function: Callable[..., Any]) -> ast.FunctionDef:
    """The syntax tree of a function. Raises Unsupported where its text is not known."""
    try:
        found = ast.parse(textwrap.dedent(inspect.getsource(function))).body[0]
    except (OSError, TypeError, SyntaxError) as problem:
        raise Unsupported(str(problem)) from problem
    if not isinstance(found, ast.FunctionDef):
        raise Unsupported(function.__name__)
    return found


@functools.cache
def overloads_under(fastmath: frozenset[str]) -> Overloads:
    target = registry.cpu_target
    context = compiler._make_subtarget(target.target_context, flags(fastmath))
    return Overloads(target.typing_context, context)


@contextmanager
def compiling() -> Iterator[None]:
    """NUMBA_DISABLE_JIT is for looking into one's own functions. Kernels work on addresses and cannot run as Python."""
    before, config.DISABLE_JIT = config.DISABLE_JIT, 0
    try:
        yield
    finally:
        config.DISABLE_JIT = before


def flags(fastmath: Iterable[str]) -> Any:
    made = compiler.Flags()
    made.no_cpython_wrapper = made.no_cfunc_wrapper = made.no_compile = True
    made.enable_pyobject = made.nrt = False
    made.error_model = "numpy"
    made.fastmath = cpu.FastMathOptions(set(fastmath))
    return made


class Front(compiler.CompilerBase):
    """The passes of Numba that generated code needs: it has no closures, no exceptions, no arrays to rewrite, and no
    references to count."""

    def define_pipelines(self) -> list[Any]:
        passes = PassManager("kernel")
        passes.add_pass(untyped_passes.TranslateByteCode, "read the bytecode")
        passes.add_pass(untyped_passes.FixupArgs, "arguments")
        passes.add_pass(untyped_passes.IRProcessing, "find loops and lives of variables")
        passes.add_pass(untyped_passes.ReconstructSSA, "a variable may have another type further down")
        passes.add_pass(typed_passes.NopythonTypeInference, "infer types")
        passes.add_pass(typed_passes.PreLowerStripPhis, "phi nodes to assignments")
        passes.add_pass(typed_passes.NativeLowering, "write LLVM code")
        passes.add_pass(typed_passes.NoPythonBackend, "done")
        passes.finalize()
        return [passes]


class OneObject(codegen.JITCodeLibrary):
    """The code of one kernel, optimised once, as a whole, and not linked into this process."""

    symbol = ""
    code = b""

    def add_llvm_module(self, module: Any) -> None:
        module.data_layout = self._codegen._data_layout
        self._final_module.link_in(module)

    def _optimize_final_module(self) -> None:
        module = self._final_module
        inner = [value for value in (*module.functions, *module.global_variables) if not value.is_declaration]
        for number, value in enumerate(inner):
            if value.name != self.symbol:
                value.linkage = "internal"
            if value.name.startswith("_Z"):  # Numba's names count what it has compiled in this process
                value.name = f"inner_{number}"
        super()._optimize_final_module()
        for function in module.functions:
            if function.is_declaration and function.name.startswith(INTERPRETER):
                raise ValueError(f"{self.symbol} calls {function.name}: a kernel does without the interpreter")

    def _finalize_final_module(self) -> None:
        self.code = self._codegen._tm.emit_object(self._final_module)
        self._finalized = True


def entry(symbol: str, inner: str, count: int) -> ir.Module:
    """A module with the C function that calls what Numba has made. Numba's functions return a status and take places
    for a result and for an exception besides their arguments; there is neither."""
    word, pointer = ir.IntType(64), ir.IntType(8).as_pointer()
    module = ir.Module(symbol)
    called = ir.Function(module, ir.FunctionType(ir.IntType(32), [pointer.as_pointer()] * 2 + [word] * count), inner)
    function = ir.Function(module, ir.FunctionType(ir.VoidType(), [word] * count), symbol)
    builder = ir.IRBuilder(function.append_basic_block())
    builder.call(called, [builder.alloca(pointer), builder.alloca(pointer), *function.args])
    builder.ret_void()
    return module
