"""The generated module as text: kernels, named by what they compute, and the programs that call them.

The text is one readable module. What runs is the same text in pieces: a file for each kernel and each program, named by
a hash of its content, so that a kernel is compiled once however many programs and models share it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from dlc.compiler.codegen.arena import Extent, Place, ProgramTable, Tables
from dlc.compiler.codegen.forms import prepare
from dlc.compiler.codegen.fuse import Group
from dlc.compiler.codegen.host.machine import Dtype
from dlc.compiler.codegen.kernels import Kernel, Target
from dlc.compiler.codegen.layout import count_text, size_of, sizes_of
from dlc.compiler.codegen.memory import Buffer, Persistent
from dlc.compiler.codegen.program import Program, ProgramWriter
from dlc.compiler.codegen.standalone import standalone_text
from dlc.compiler.codegen.text import BUILT_IN, comment, identifier
from dlc.compiler.codegen.values import Role, role
from dlc.compiler.dims import Dim, Symbol
from dlc.compiler.dims.poly import Atom
from dlc.compiler.ir import Graph

KERNEL_SIGNATURE = "void(intp, intp, intp)"
PROGRAM_SIGNATURE = "void(intp, intp, intp, intp)"

HOST_IMPORTS = {
    "address": ("float32_at", "float64_at", "int64_at"),
    "kernels": ("address_of", "declared", "kernel"),
    "launch": ("launch",),
    "mathfn": (
        "erf", "exp", "log", "maximum", "minimum", "normal01_float32", "normal01_float64", "sigmoid", "softplus",
        "tanh", "uniform01_float32", "uniform01_float64",
    ),
}  # fmt: skip


HOST_FUNCTIONS = (
    ("tile", "plain", ("matmul_panel", "strided_panel", "transpose")),
    ("convolution", "plain_convolution", ("convolve_rows", "filter_gradient_rows", "input_gradient_rows")),
    ("pooling", "plain_windows", ("pool_gradient_rows", "pool_rows")),
)
"""Functions that exist as vector code and as plain loops, with the files of both."""

CHOICES = ("choice_beam", "choice_begin", "choice_finish", "choice_follow", "choice_greedy", "choice_sample")
"""Functions that only generators need."""


@dataclass(frozen=True)
class Piece:
    """One function of the module. `above` are the definitions it needs, `needs` the kernels that it calls."""

    name: str
    text: str
    above: tuple[str, ...] = ()
    needs: tuple[str, ...] = ()


@dataclass(frozen=True)
class Module:
    """The generated module. `kernels` and `programs` are its pieces by name; `header` stands above each of them,
    `opening` (the docstring) above all."""

    name: str
    opening: str
    header: str
    kernels: Mapping[str, Piece]
    programs: Mapping[str, Piece]
    plans: Mapping[str, Program]
    persistent: Persistent
    dtype: Dtype
    check: bool

    def of(self, title: str) -> Module:
        """The module that has a program: this one."""
        return self

    @property
    def source(self) -> str:
        """The whole module, to be read; it imports dlc's host files."""
        above = dict.fromkeys(line for piece in self.kernels.values() for line in piece.above)
        parts = [piece.text for piece in [*self.kernels.values(), *self.programs.values()]]
        return "\n\n".join([self.opening + "\n" + self.header + "\n".join(above) + "\n", *parts])

    @property
    def standalone(self) -> str:
        """The whole module as a file that needs Numba and NumPy alone."""
        return standalone_text(self)

    @property
    def tables(self) -> Tables:
        """The memory plan as plain data."""
        programs = {
            title: ProgramTable(
                {name: place_of(buffer) for name, buffer in program.plan.inputs.items()},
                {root: place_of(buffer) for root, buffer in program.plan.results.items()},
                dict(program.numbers),
                extent(program.plan.size.dim, "M"),
            )
            for title, program in self.plans.items()
        }
        return tables_of(self.persistent, self.dtype, programs)

    def file_text(self, piece: Piece) -> str:
        """A piece as a file of its own. It knows the kernels that it calls by their symbols."""
        needs = "".join(f'{name} = declared("{self.symbols[name]}")\n' for name in piece.needs)
        above = "".join(f"{line}\n" for line in piece.above)
        return f"{self.header}\n{needs}{above}\n\n{piece.text}"

    @cached_property
    def symbols(self) -> Mapping[str, str]:
        """The symbol of each kernel: its name, with a hash of all that it is compiled from."""
        return {name: self.symbol(piece) for name, piece in self.kernels.items()}

    def symbol(self, piece: Piece) -> str:
        digest = hashlib.sha256(self.file_text(piece).encode()).hexdigest()
        return f"dlc_{piece.name[:60]}_{digest[:16]}"


def write_module(
    programs: Mapping[str, Graph],
    *,
    name: str,
    source_name: str,
    target: Target,
    shared: Persistent,
    notes: Iterable[str] = (),
) -> Module:
    """Generate the module of a model's programs."""
    kernels = _Kernels()
    written: dict[str, Program] = {}
    for title, graph in programs.items():
        written[title] = ProgramWriter(title, prepare(graph), shared, target, kernels).write()
    pieces = kernels.pieces
    header = header_text(
        target,
        "".join(line for piece in pieces.values() for line in piece.above),
        [name for name in CHOICES if any(f" {name}(" in piece.text for piece in pieces.values())],
    )
    program_pieces = {title: _program_piece(program, source_name) for title, program in written.items()}
    opening = docstring(name, source_name, programs, shared, target, notes)
    return Module(name, opening, header, pieces, program_pieces, written, shared, target.dtype, target.check)


def tables_of(shared: Persistent, dtype: Dtype, programs: dict[str, ProgramTable]) -> Tables:
    """The persistent part as plain data, with the tables of programs."""
    tensors = {key: place_of(buffer) for key, buffer in shared.tensors.items()}
    return Tables(dtype, shared.bytes, dict(shared.numbers), tensors, programs)


def place_of(buffer: Buffer) -> Place:
    assert buffer.layout is not None
    shape = tuple(extent(size_of(size).dim) for size in buffer.layout.sizes)
    strides = tuple(extent(Dim.of(stride)) for stride in buffer.layout.strides)
    return Place(buffer.part, buffer.kind, extent(buffer.offset.dim, "M"), shape, strides)


def extent(dim: Dim, m: str = "m") -> Extent:
    """A dimension as plain data."""

    def factor(atom: Atom) -> object:
        if isinstance(atom, Symbol):
            return m if atom.kind == "batch" else atom.name
        return atom.op, extent(atom.p, m), extent(atom.q, m)

    return tuple(
        (int(coefficient), tuple(factor(atom) for atom, exponent in monomial for _ in range(exponent)))
        for monomial, coefficient in dim.terms.items()
    )


class _Kernels:
    """All kernels of a module; texts that are equal but for the names of what they compute are one kernel."""

    def __init__(self) -> None:
        self.pieces: dict[str, Piece] = {}
        self.known: dict[tuple[object, ...], str] = {}
        self.variables: set[str] = set()

    def name(self, group: Group, kernel: Kernel) -> str:
        return self.host(kernel_name(group), describe(group), kernel)

    def host(self, wish: str, says: str, kernel: Kernel) -> str:
        key = (kernel.without_names, kernel.panels)
        if key not in self.known:
            made = self.known[key] = identifier(wish, {*self.pieces, *self.variables, *BUILT_IN, *TITLES})
            lines = [f'    """{says}"""', *(f"    {line}" for line in kernel.body)]
            text = f"@kernel(apart=True)\ndef {made}(args, first, last):\n" + "\n".join(lines) + "\n"
            self.pieces[made] = Piece(made, text, tuple(definition for _, definition in kernel.panels))
        return self.known[key]


def _program_piece(program: Program, source_name: str) -> Piece:
    lines = [line and f"    {line}" for line in program.lines]
    while lines and not lines[-1]:
        lines.pop()
    text = f'@kernel("{PROGRAM_SIGNATURE}")\ndef {program.name}(persistent, transient, m, pool):\n'
    text += f'    """{TITLES.get(program.name, program.name)}"""\n' + "\n".join(lines) + "\n"
    return Piece(program.name, text, needs=tuple(dict.fromkeys(call.name for call in program.calls)))


TITLES = {
    "forward": "The prediction.",
    "backward": "The loss, and its gradient with respect to every parameter.",
    "update": "The optimizer: new parameters from gradients.",
    "train": "One training step: forward, backward, update.",
    "evaluate": "Sums over the examples, from which the metrics come.",
}


# --- names and descriptions ------------------------------------------------------------------------------------


def kernel_name(group: Group) -> str:
    """What a kernel computes: `matmul_add_max_784_512`."""
    words = [node.op for node in group.members if role(node) is not Role.INLINE or node is group.anchor]
    words += [node.op for node in [*group.totals, *group.sums]]
    if not words:
        words = ["copy"]
    kept = list(dict.fromkeys(words))
    shown = kept if len(kept) <= 5 else [*kept[:3], *kept[-2:]]
    return identifier("_".join([*shown, *map(str, sizes_of_group(group))]))


def sizes_of_group(group: Group) -> Sequence[str]:
    rows, inner = group.domain
    words = [*map(count_text, inner)] if rows is None else [*map(count_text, inner), count_text(rows)]
    if group.kind == "contraction" and group.anchor is not None:
        return [count_text(sizes_of(group.anchor.inputs[0].type)[-1]), *words]
    return words


def describe(group: Group) -> str:
    """One line: what is computed, on what."""
    rows, inner = group.domain
    count = count_text(rows)
    shape = f"{count} rows of {' x '.join(map(count_text, inner))}" if inner else f"{count} numbers"
    ops = ", ".join(dict.fromkeys(node.op for node in group.members)) or "copy"
    added = [node.op for node in [*group.totals, *group.sums]]
    totals = f"; adds up {', '.join(added)}" if added else ""
    return comment(f"{ops}: {shape}{totals}")


def header_text(target: Target, above: str, choices: Sequence[str] = ()) -> str:
    """The imports, and the names that make the text the same for both precisions. `above` are the definitions that
    kernels need, by the host's functions that are imported for them; `choices` those of generators."""
    vector = target.path == "tile" and not target.check
    lines = [
        "import numpy as np",
        "from numpy import ceil, cos, floor, float64, isnan, sign, sin, sqrt",
        f"from numpy import {target.dtype} as real",
        "",
    ]
    for file, functions in HOST_IMPORTS.items():
        lines += wrapped(f"from dlc.compiler.codegen.host.{file} import ", functions)
    for fast, plain, functions in HOST_FUNCTIONS:
        used = [name for name in functions if f"= {name}(" in above]
        names = used if vector else [f"{name}_plain as {name}" for name in used]
        lines += wrapped(f"from dlc.compiler.codegen.host.{fast if vector else plain} import ", names) if used else []
    lines += wrapped("from dlc.compiler.codegen.host.choice import ", choices) if choices else []
    lines += wrapped("from dlc.compiler.codegen.support import ", ("inside", "pack", "scratch"))
    lines += [
        f"from dlc.compiler.codegen.host.address import {target.dtype}_at as real_at",
        "",
        "INF, NAN = real(np.inf), real(np.nan)",
        "",
    ]
    return "\n".join(lines)


def wrapped(start: str, names: Iterable[str]) -> list[str]:
    """An import, broken over lines where it is long."""
    line = start + ", ".join(names)
    if len(line) <= 118:
        return [line]
    return [f"{start}("] + [f"    {name}," for name in names] + [")"]


def docstring(
    name: str,
    source_name: str,
    programs: Mapping[str, Graph],
    shared: Persistent,
    target: Target,
    notes: Iterable[str],
) -> str:
    """The module's opening: what it is, its tensors, its programs."""
    lines = [f"{comment(name)}, from {comment(source_name)}: generated by dlc. Everything is {target.dtype}.", ""]
    said = [comment(note) for note in notes]
    lines += [*said, ""] if said else []
    rows = [(kind, key, shared.types[kind, key], buffer) for (kind, key), buffer in shared.tensors.items()]
    if rows:
        lines.append(
            "Tensors (offsets in bytes in the persistent part; a matrix is stored by columns, see row length):"
        )
        lines.append("")
        for kind, key, type, buffer in rows:
            length = buffer.layout.row_length if buffer.layout is not None else 1
            lines.append(
                comment(f"    {key:<24} {kind:<10} {type!s:<16} at {buffer.offset.fixed:<10} row length {length}")
            )
        lines.append("")
    lines.append(
        "Programs, called with the addresses of the two parts, the number of examples and a pool of threads (or 0):"
    )
    lines.append("")
    lines += [f"    {title:<10} {TITLES.get(title, '')}" for title in programs]
    text = "\n".join(line.replace("\\", "/").replace('"""', "'''").rstrip() for line in lines)
    return f'"""{text}\n"""\n'
