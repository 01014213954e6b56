"""Gives every node a name."""

from __future__ import annotations

from pydantic import Field

from graphc.api import Model, Pass, PassConfig, PassContext, PassResult, register_pass


class Config(PassConfig):
    prefix: str = Field(default="node", description="what names begin with")


@register_pass
class NameNodes(Pass[Config]):
    """Gives every node without a name one.

    What it does:
        Counts through the nodes.

    Why:
        Messages name nodes.

    Example:
        passes:
          - name_nodes: {prefix: op}

    Limits:
        Names that exist stay.
    """

    name = "name_nodes"
    Config = Config

    def run(self, model: Model, config: Config, context: PassContext) -> PassResult:
        unnamed = [n for n in model.graph.nodes if not n.name]
        for index, node in enumerate(unnamed):
            node.name = f"{config.prefix}_{index}"
        return PassResult(model, counts={"named": len(unnamed)})
