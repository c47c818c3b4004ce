"""Clients: who is connected is told, and a connection is cut off."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from memq.commands.dialogue import Dialogue
    from memq.wire.extensions import Kill


def kill(dialogue: Dialogue, command: Kill) -> None:
    """Cut a connection off; what it has open goes back."""
    peer = dialogue.host.kill(command.number)
    if peer is not None:
        dialogue.remark(client=peer)
    done = dialogue.session.answered(peer is not None)
    dialogue.expect(done, partial(dialogue.render, command.form))
