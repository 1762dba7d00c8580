"""The intermediate representation: nodes, graphs, the builder, the verifier."""

from dlc.compiler.ir.builder import Builder, bodies, rebuild, substituted, through_bodies
from dlc.compiler.ir.node import Body, Graph, Node, topological

__all__ = ["Body", "Builder", "Graph", "Node", "bodies", "rebuild", "substituted", "through_bodies", "topological"]
