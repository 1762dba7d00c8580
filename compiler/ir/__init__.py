"""The intermediate representation: nodes, graphs, the builder, the verifier."""

from dlc.compiler.ir.builder import Builder, rebuild
from dlc.compiler.ir.node import Graph, Node, topological

__all__ = ["Builder", "Graph", "Node", "rebuild", "topological"]
