"""Completion: scripts for shells, made of the tables of options.

Bash, zsh and fish ask their script for the words that may follow.  Names of queues are
those that ``memq stat`` tells; FILE and DIR are paths; COMMAND is a command with words
of its own.
"""

from __future__ import annotations

import argparse
from shlex import quote
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from memq.commandline.arguments import Add, Tell

#: Tells the queues, without the title of their column.
_QUEUES = "memq stat 2>/dev/null | sed 1d | cut -f1"
#: Metavars, and what a shell completes for them.
_KINDS = {"QUEUE": "queue", "PATTERN": "queue", "FILE": "file", "DIR": "directory"}


class Option(NamedTuple):
    """An option of a subcommand.

    :ivar names: with their dashes.
    :ivar takesValue: whether a word follows.
    :ivar kind: what it completes to: ``queue``, ``file``, ``directory``, or nothing.
    :ivar choices: the words that may follow.
    """

    names: tuple[str, ...]
    does: str
    takesValue: bool
    kind: str
    choices: tuple[str, ...]


class Command(NamedTuple):
    """A subcommand: its options, and what its other words are."""

    name: str
    does: str
    options: tuple[Option, ...]
    kind: str
    choices: tuple[str, ...]


def addCommands(add: Add) -> None:
    """Add the subcommand."""
    does = "Print the script that completes memq's words in a shell."
    parser = add("completion", help=does, description=does, allow_abbrev=False)
    parser.add_argument("shell", choices=tuple(SHELLS), metavar="SHELL")
    parser.set_defaults(run=_run)


def _run(options: argparse.Namespace, tell: Tell) -> int:
    # The tables of all subcommands; memq.cli, which has them, is what runs this.
    print(SHELLS[options.shell](list(commands(options.makeParser()))), end="")
    return 0


def commands(parser: argparse.ArgumentParser) -> Iterator[Command]:
    """Yield the subcommands of a parser."""
    (subparsers,) = (
        action
        for action in parser._actions
        if isinstance(action, argparse._SubParsersAction)
    )
    for choice in subparsers._choices_actions:
        command = subparsers.choices[choice.dest]
        actions = command._actions
        options = [_option(action) for action in actions if action.option_strings]
        words = [action for action in actions if not action.option_strings]
        kind = next((_kind(action) for action in words), "")
        choices = tuple(word for each in words for word in each.choices or ())
        yield Command(choice.dest, choice.help or "", tuple(options), kind, choices)


def _option(action: argparse.Action) -> Option:
    takesValue = action.nargs != 0
    choices = tuple(map(str, action.choices or ()))
    names = tuple(action.option_strings)
    return Option(names, action.help or "", takesValue, _kind(action), choices)


def _kind(action: argparse.Action) -> str:
    return _KINDS.get(str(action.metavar).partition("=")[0], "")


def bash(found: list[Command]) -> str:
    """Return the script for bash."""
    names = " ".join(command.name for command in found)
    cases = "".join(map(_bashCase, found))
    return f"""\
# Completion of memq for bash; made by `memq completion bash`.
# compgen -W would carry out what a name of a queue says.
_memq_queues() {{
    local name
    COMPREPLY=()
    while IFS= read -r name; do
        case $name in
        "$1"*) COMPREPLY+=("$(printf %q "$name")") ;;
        esac
    done < <({_QUEUES})
}}
_memq() {{
    local word=${{COMP_WORDS[COMP_CWORD]}} before=${{COMP_WORDS[COMP_CWORD-1]}}
    local words= kind=
    if [ "$COMP_CWORD" = 1 ]; then
        words={quote(names + " --help --version")}
    else
        case ${{COMP_WORDS[1]}} in
{cases}        esac
    fi
    case $kind in
    queue) _memq_queues "$word"; return ;;
    file) compopt -o default; COMPREPLY=(); return ;;
    directory) compopt -o dirnames; COMPREPLY=(); return ;;
    esac
    COMPREPLY=($(compgen -W "$words" -- "$word"))
}}
complete -F _memq memq
"""


def _bashCase(command: Command) -> str:
    values = "".join(
        f"            {'|'.join(option.names)}) {_bashWords(option)} ;;\n"
        for option in command.options
        if option.takesValue
    )
    names = " ".join(name for option in command.options for name in option.names)
    return f"""\
        {command.name})
            case $before:$word in
            *:-*) words={quote(names)} ;;
            *) case $before in
{values}            *) {_bashWords(command)} ;;
            esac ;;
            esac ;;
"""


def _bashWords(value: Option | Command) -> str:
    if value.choices:
        return f"words={quote(' '.join(value.choices))}"
    return f"kind={value.kind}"


def zsh(found: list[Command]) -> str:
    """Return the script for zsh."""
    names = "\n".join(
        f"        {quote(f'{command.name}:{command.does}')}" for command in found
    )
    cases = "".join(map(_zshCase, found))
    return f"""\
#compdef memq
# Completion of memq for zsh; made by `memq completion zsh`.
_memq_queues() {{
    local -a queues
    queues=(${{(f)"$({_QUEUES})"}})
    compadd -a queues
}}
_memq() {{
    local -a commands=(
{names}
    )
    if (( CURRENT == 2 )); then
        _describe command commands
        return
    fi
    shift words
    (( CURRENT-- ))
    case $words[1] in
{cases}    esac
}}
_memq "$@"
"""


def _zshCase(command: Command) -> str:
    lines = []
    for option in command.options:
        does = option.does
        for old, new in (("\\", "\\\\"), ("[", "\\["), ("]", "\\]"), (":", "\\:")):
            does = does.replace(old, new)
        value = f":value:{_zshWords(option)}" if option.takesValue else ""
        lines += [quote(f"*{name}[{does}]{value}") for name in option.names]
    lines.append(quote(f"*:word:{_zshWords(command)}"))
    return f"    {command.name}) _arguments \\\n        " + (
        " \\\n        ".join(lines) + " ;;\n"
    )


def _zshWords(value: Option | Command) -> str:
    if value.choices:
        return f"({' '.join(value.choices)})"
    kinds = {"queue": "_memq_queues", "file": "_files", "directory": "_files -/"}
    return kinds.get(value.kind, " ")


def fish(found: list[Command]) -> str:
    """Return the script for fish."""
    lines = [
        "# Completion of memq for fish; made by `memq completion fish`.",
        "complete -c memq -f",
        "complete -c memq -n __fish_use_subcommand -l version -d 'Print the version'",
    ]
    for command in found:
        lines.append(
            f"complete -c memq -n __fish_use_subcommand -a {command.name} "
            f"-d {_fishQuoted(command.does)}"
        )
        here = f"complete -c memq -n '__fish_seen_subcommand_from {command.name}'"
        if words := _fishWords(command):
            lines.append(f"{here} {words}")
        for option in command.options:
            names = " ".join(map(_fishName, option.names))
            only = "-r" if option.kind == "file" else "-x"
            value = f" {only} {_fishWords(option)}" if option.takesValue else ""
            does = _fishQuoted(option.does)
            lines.append(f"{here} {names}{value.rstrip()} -d {does}")
    return "\n".join(lines) + "\n"


def _fishName(name: str) -> str:
    return f"-l {name[2:]}" if name.startswith("--") else f"-s {name[1:]}"


def _fishWords(value: Option | Command) -> str:
    if value.choices:
        return f"-a {_fishQuoted(' '.join(value.choices))}"
    kinds = {
        "queue": f"-a {_fishQuoted(f'({_QUEUES})')}",
        "file": "-F",
        "directory": "-a '(__fish_complete_directories)'",
    }
    return kinds.get(value.kind, "")


def _fishQuoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"


SHELLS: dict[str, Callable[[list[Command]], str]] = {
    "bash": bash,
    "zsh": zsh,
    "fish": fish,
}
