"""The policies that a cluster needs for the rules in a configuration file.

They are told as lines for a shell: RabbitMQ lets only its own administrators set
policies, and a server asks whether they are in force.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from memq.config.file import DEFAULT, findConfig
from memq.rabbitmq.policies import wanted

if TYPE_CHECKING:
    import argparse

    from memq.commandline.arguments import Add, Tell


def addCommands(add: Add) -> None:
    """Add the subcommand."""
    does = "Print the rabbitmqctl lines that set the policies that rules need."
    parser = add("rabbitmq-policies", help=does, description=does, allow_abbrev=False)
    parser.add_argument(
        "--config",
        metavar="FILE",
        help=f"the configuration file (default: {DEFAULT} when it is there)",
    )
    parser.add_argument(
        "--vhost",
        metavar="NAME",
        help="RabbitMQ's virtual host (default: that of the file's URL, else /)",
    )
    parser.set_defaults(run=_run)


def _run(options: argparse.Namespace, tell: Tell) -> int:
    config = findConfig(options.config)
    vhost, address = options.vhost, config.server.get("rabbitmq")
    if vhost is None and address is not None:
        vhost = address.name
    for each in wanted(config.queues):
        print(each.policy.command(vhost))
    return 0
