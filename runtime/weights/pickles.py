"""A pickle machine that cannot do anything: it knows the opcodes and the names of tensors, and nothing else.

A pickle is a program. Python's own reader imports whatever module it names and calls whatever function it finds there,
so a file of weights from a stranger may do anything at all. This one builds numbers, texts, lists and dicts; the few
globals that tensors are made of stand for records of ours, and no other is looked at. Nothing is imported or called.

The opcodes are those of the Python library's `pickletools`, protocols 2 to 5, as far as `torch.save` writes them.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, BinaryIO

LARGEST_PICKLE = 8_000_000
"""Bytes: names, shapes and strides of about fifty thousand tensors."""
LONGEST_NAME = 200
LONGEST_INTEGER = 16
"""Bytes of one; sizes have eight, and the number that marks a file of torch has ten."""


class Refused(Exception):
    """The pickle asks for something that no tensor needs. The text ends a sentence about the file."""


class Broken(Exception):
    """The pickle breaks off, or makes no sense. The text ends a sentence about the file."""


@dataclass(frozen=True, slots=True)
class Global:
    """A name that the pickle looks up in a module; here it is a word."""

    module: str
    name: str

    def __str__(self) -> str:
        return f"{self.module}.{self.name}"


class _Mark:
    """Where a tuple, list or dict begins on the stack."""


MARK = _Mark()
Reduce = Callable[[Global, tuple[Any, ...]], Any]
Persistent = Callable[[Any], Any]
_Handler = Callable[["Machine"], object]


class Machine:
    """Reads one pickle from a stream.

    `known` are the globals that may be named, `reduce` says what a call of one of them is worth, `persistent` what an
    identifier of something outside the pickle stands for. Both may raise `Refused` and `Broken`.
    """

    def __init__(self, stream: BinaryIO, known: frozenset[str], reduce: Reduce, persistent: Persistent) -> None:
        self._stream, self._known, self._reduce, self._persistent = stream, known, reduce, persistent
        self._left = LARGEST_PICKLE
        self._stack: list[Any] = []
        self._memo: dict[int, Any] = {}

    def load(self) -> Any:
        """The object. Raises `Refused` and `Broken`."""
        while (code := self.take(1)[0]) != STOP:
            handler = _OPCODES.get(code)
            if handler is None:
                raise Refused(f"uses the pickle opcode {code:#04x}, which no tensor needs")
            handler(self)
        value = self.pop()
        if self._stack:
            raise Broken("is damaged: its pickle leaves something over")
        return value

    # --- the stream and the stack --------------------------------------------------------------------------------

    def take(self, count: int) -> bytes:
        if count > self._left:
            raise Broken(f"is damaged, or has a pickle of more than {LARGEST_PICKLE:,} bytes")
        self._left -= count
        found = self._stream.read(count)
        if len(found) < count:
            raise Broken("is cut off inside its pickle")
        return found

    def number(self, form: str) -> Any:
        return struct.unpack(form, self.take(struct.calcsize(form)))[0]

    def line(self) -> str:
        """A text up to the end of its line."""
        found = bytearray()
        while (byte := self.take(1)) != b"\n":
            found += byte
            if len(found) > LONGEST_NAME:
                raise Broken("is damaged: a name in its pickle has no end")
        return _text(bytes(found))

    def push(self, value: Any) -> None:
        self._stack.append(value)

    def pop(self) -> Any:
        if not self._stack or self._stack[-1] is MARK:
            raise Broken("is damaged: its pickle takes from an empty stack")
        return self._stack.pop()

    def top(self, kind: type) -> Any:
        """What lies on top, which must be of this kind."""
        value = self.pop()
        self.push(value)
        if type(value) is not kind:
            raise Refused(f"changes a {kind_of(value)} as if it were a {kind.__name__}")
        return value

    def pop_mark(self) -> list[Any]:
        """All that lies above the last mark."""
        for at in range(len(self._stack) - 1, -1, -1):
            if self._stack[at] is MARK:
                found = self._stack[at + 1 :]
                del self._stack[at:]
                return found
        raise Broken("is damaged: its pickle ends what it did not begin")

    # --- what opcodes do -----------------------------------------------------------------------------------------

    def remember(self, at: int) -> None:
        value = self.pop()
        self.push(value)
        self._memo[at] = value

    def memoize(self) -> None:
        self.remember(len(self._memo))

    def recall(self, at: int) -> None:
        if at not in self._memo:
            raise Broken("is damaged: its pickle recalls what it did not keep")
        self.push(self._memo[at])

    def integer(self, length: int) -> None:
        if length > LONGEST_INTEGER:
            raise Broken(f"is damaged: a whole number of {length:,} bytes")
        self.push(int.from_bytes(self.take(length), "little", signed=True))

    def text(self, length: int) -> None:
        self.push(_text(self.take(length)))

    def tuple_of(self, count: int) -> None:
        items = [self.pop() for _ in range(count)]
        self.push(tuple(reversed(items)))

    def append(self) -> None:
        value = self.pop()
        self.top(list).append(value)

    def extend(self) -> None:
        values = self.pop_mark()
        self.top(list).extend(values)

    def set_item(self) -> None:
        value, key = self.pop(), self.pop()
        _store(self.top(dict), [key, value])

    def set_items(self) -> None:
        pairs = self.pop_mark()
        _store(self.top(dict), pairs)

    def dict_of_mark(self) -> None:
        made: dict[Any, Any] = {}
        _store(made, self.pop_mark())
        self.push(made)

    def find(self, module: Any, name: Any) -> None:
        if not isinstance(module, str) or not isinstance(name, str):
            raise Broken("is damaged: a name in its pickle is none")
        found = Global(module, name)
        if str(found) not in self._known:
            raise Refused(f"asks for {str(found)[:LONGEST_NAME]}")
        self.push(found)

    def stack_global(self) -> None:
        name, module = self.pop(), self.pop()
        self.find(module, name)

    def call(self) -> None:
        arguments, function = self.pop(), self.pop()
        if not isinstance(function, Global) or not isinstance(arguments, tuple):
            raise Refused(f"calls a {kind_of(function)}")
        self.push(self._reduce(function, arguments))

    def build(self) -> None:
        """The attributes of a dict (`_metadata` of a state dict: versions of modules) are dropped."""
        state = self.pop()
        self.top(dict)
        if not isinstance(state, dict):
            raise Refused(f"gives a dict a {kind_of(state)} for its attributes")

    def outside(self) -> None:
        self.push(self._persistent(self.pop()))


def _store(into: dict[Any, Any], flat: list[Any]) -> None:
    """Keys and values in turn."""
    if len(flat) % 2:
        raise Broken("is damaged: a key of a dict in its pickle has no value")
    for key, value in zip(flat[::2], flat[1::2], strict=True):
        if not isinstance(key, str | int | float | None):
            raise Refused(f"has a {kind_of(key)} for the key of a dict")
        into[key] = value


def _text(content: bytes) -> str:
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError:
        raise Broken("is damaged: a text in its pickle is not UTF-8") from None


def kind_of(value: Any) -> str:
    """What a value of a pickle is, in a few words."""
    return str(value)[:LONGEST_NAME] if isinstance(value, Global) else type(value).__name__


def _fixed(value: Any) -> _Handler:
    return lambda machine: machine.push(value)


def _number(form: str) -> _Handler:
    return lambda machine: machine.push(machine.number(form))


def _sized(form: str, then: Callable[[Machine, int], None]) -> _Handler:
    """An opcode whose argument is a length or a place, by `struct`'s name of its type."""
    return lambda machine: then(machine, machine.number(form))


STOP = ord(".")
_OPCODES: dict[int, _Handler] = {
    0x80: lambda machine: machine.number("<B"),  # the protocol
    0x95: lambda machine: machine.number("<Q"),  # the length of a frame
    ord("("): lambda machine: machine.push(MARK),
    ord("0"): lambda machine: machine.pop(),
    ord("1"): lambda machine: machine.pop_mark(),
    ord("N"): _fixed(None),
    0x88: _fixed(True),
    0x89: _fixed(False),
    ord("J"): _number("<i"),
    ord("K"): _number("<B"),
    ord("M"): _number("<H"),
    ord("G"): _number(">d"),
    0x8A: _sized("<B", Machine.integer),
    0x8B: _sized("<I", Machine.integer),
    ord("X"): _sized("<I", Machine.text),
    0x8C: _sized("<B", Machine.text),
    0x8D: _sized("<Q", Machine.text),
    ord("U"): _sized("<B", Machine.text),
    ord("T"): _sized("<I", Machine.text),
    ord(")"): lambda machine: machine.push(()),
    0x85: lambda machine: machine.tuple_of(1),
    0x86: lambda machine: machine.tuple_of(2),
    0x87: lambda machine: machine.tuple_of(3),
    ord("t"): lambda machine: machine.push(tuple(machine.pop_mark())),
    ord("]"): lambda machine: machine.push([]),
    ord("l"): lambda machine: machine.push(machine.pop_mark()),
    ord("a"): Machine.append,
    ord("e"): Machine.extend,
    ord("}"): lambda machine: machine.push({}),
    ord("d"): Machine.dict_of_mark,
    ord("s"): Machine.set_item,
    ord("u"): Machine.set_items,
    ord("q"): _sized("<B", Machine.remember),
    ord("r"): _sized("<I", Machine.remember),
    0x94: Machine.memoize,
    ord("h"): _sized("<B", Machine.recall),
    ord("j"): _sized("<I", Machine.recall),
    ord("c"): lambda machine: machine.find(machine.line(), machine.line()),
    0x93: Machine.stack_global,
    ord("R"): Machine.call,
    ord("b"): Machine.build,
    ord("Q"): Machine.outside,
}
