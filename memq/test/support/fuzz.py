"""Coverage-guided fuzzing: atheris searches for bytes that break memq.

``python -m memq.test.support.fuzz --help``; ``make fuzz`` runs it.  Each target of
fuzztargets.py runs in a process of its own.  Input that breaks something is left in a
file and shown; it belongs into CORPUS there.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import tempfile

from testkit.servers import ROOT

#: Inputs that reach new branches in a long run, and those that break something.
KEPT = os.path.join(ROOT, "var", "fuzz")
#: Bytes of the longest input.
LENGTH = 2048


def fuzz(target: str, *arguments: str) -> None:
    """Fuzz one target in this process, which that ends."""
    import atheris

    with atheris.instrument_imports(include=["memq"]):
        from memq.test.support import fuzztargets

    atheris.Setup([sys.argv[0], *arguments], fuzztargets.TARGETS[target])
    atheris.Fuzz()


def run(target: str, limit: str, seed: int, *kept: str) -> bool:
    """Fuzz one target in another process; return whether nothing was found.

    :param limit: the option of libFuzzer that says how long.
    :param kept: a directory for what reaches new branches, if it is to be kept.
    """
    from memq.test.support import fuzztargets
    from memq.test.support.torture import report

    for directory in (KEPT, *kept):
        os.makedirs(directory, exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch:
        words = os.path.join(scratch, "words")
        with open(words, "w", encoding="ascii") as file:
            for word in fuzztargets.WORDS:
                quoted = "".join(f"\\x{byte:02x}" for byte in word)
                file.write(f'"{quoted}"\n')
        corpus = os.path.join(scratch, "corpus")
        os.mkdir(corpus)
        for number, data in enumerate(fuzztargets.CORPUS[target]):
            with open(os.path.join(corpus, str(number)), "wb") as one:
                one.write(data)
        process = subprocess.run(
            [
                *(sys.executable, "-m", "memq.test.support.fuzz", "--target", target),
                *("--", f"-dict={words}", f"-artifact_prefix={KEPT}/{target}-", limit),
                *(f"-seed={seed}", f"-max_len={LENGTH}", "-timeout=60"),
                *("-rss_limit_mb=2048", *kept, corpus),
            ],
            cwd=ROOT,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
            check=False,
        )
    done = re.search(r"Done (\d+) runs in (\d+) second", process.stderr)
    if process.returncode or done is None:
        print(process.stderr[-6000:], file=sys.stderr)
        print(f"fuzz: {target}: broken, with seed {seed}; see {KEPT}", flush=True)
        return False
    inputs, seconds = map(int, done.groups())
    print(f"fuzz: {target}: {inputs} inputs in {seconds} s, nothing found", flush=True)
    report(f"fuzz {target}", inputs=inputs, seconds=seconds, seed=seed)
    return True


def main() -> int:
    """Fuzz all targets; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=5000, help="inputs for each")
    parser.add_argument("--seconds", type=int, help="how long for each, instead")
    parser.add_argument("--target", help=argparse.SUPPRESS)
    parser.add_argument("rest", nargs="*", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.target:
        fuzz(options.target, *options.rest)
    from memq.test.support.fuzztargets import TARGETS

    if options.seconds:
        # Others each time, from where the last time ended.
        limit = f"-max_total_time={options.seconds}"
        seed = int.from_bytes(os.urandom(3), "big") + 1
        fine = [run(each, limit, seed, os.path.join(KEPT, each)) for each in TARGETS]
    else:
        # The same inputs each time.
        limit = f"-runs={options.runs}"
        fine = [run(each, limit, 1) for each in TARGETS]
    return 0 if all(fine) else 1


if __name__ == "__main__":
    sys.exit(main())
