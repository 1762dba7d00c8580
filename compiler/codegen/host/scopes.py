"""Tells LLVM that what a kernel's pointers reach lies apart, so that it makes vectors without asking at run time.

The buffers of a kernel are disjoint pieces of the memory plan, and what is written over an operand has the operand's
name (`body.Arguments.one`); but LLVM sees addresses that it knows nothing of. Where a loop has many of them it checks
that each pair does not overlap before it begins, or gives up. Here every load and store through a pointer gets a scope
of its own, and the word that it meets none of the others (LLVM language reference, "noalias" and "alias.scope").
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir

__all__ = ["keep_apart"]


def keep_apart(function: ir.Function) -> None:
    """Marks what a function reads and writes, by the address that its pointer was made from."""
    accesses: dict[Any, list[Any]] = {}
    for block in function.blocks:
        for instruction in block.instructions:
            place = _place(instruction)
            base = _base(place) if place is not None else None
            if base is not None:
                accesses.setdefault(base, []).append(instruction)
    if len(accesses) < 2:
        return
    module = function.module
    domain = module.add_metadata([f"memory of {function.name}"])
    scopes = [module.add_metadata([f"pointer {number}", domain]) for number in range(len(accesses))]
    for number, instructions in enumerate(accesses.values()):
        own = module.add_metadata([scopes[number]])
        others = module.add_metadata([scope for scope in scopes if scope is not scopes[number]])
        for instruction in instructions:
            instruction.set_metadata("alias.scope", own)
            instruction.set_metadata("noalias", others)


def _place(instruction: Any) -> Any:
    """Where an instruction reads or writes."""
    if isinstance(instruction, ir.LoadInstr):
        return instruction.operands[0]
    return instruction.operands[1] if isinstance(instruction, ir.StoreInstr) else None


def _base(place: Any) -> Any:
    """The conversion from an address that a place is reckoned from; None for places on the stack."""
    while isinstance(place, ir.GEPInstr) or (isinstance(place, ir.CastInstr) and place.opname == "bitcast"):
        place = place.operands[0]
    return place if isinstance(place, ir.CastInstr) and place.opname == "inttoptr" else None
