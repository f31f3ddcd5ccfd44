"""Show the versions, the engine, the machine and the files in use, and how to get what is missing."""

from __future__ import annotations

import argparse
from collections.abc import Iterator

from styletransfer.cli.options import Parser

_WIDTH = 11  # characters of a label


def parser(program: str | None = None) -> argparse.ArgumentParser:
    return Parser(
        prog=program,
        description="Show the versions, the engine, the machine and the files in use, and how to get what is missing.",
        epilog="Exit status: 0 pictures can be made; 2 they cannot, for the reason in the line auto.",
    )


def main(arguments: list[str] | None = None, program: str | None = None) -> int:
    parser(program).parse_args(arguments)

    from styletransfer.cli.guard import guarded

    def examine() -> int:
        from styletransfer.engines import choose
        from styletransfer.support.commands import as_called
        from styletransfer.support.errors import UserError

        status = 0
        try:
            chosen = str(choose())
        except UserError as error:
            chosen, status = str(error), UserError.status
        for label, text in (*_software(), ("auto", chosen), *_machine(), *_places(), *_missing()):
            print(f"{label:{_WIDTH}}{as_called(text)}")
        return status

    return guarded(examine)


def _software() -> Iterator[tuple[str, str]]:
    import platform
    import sys
    from importlib import metadata

    from styletransfer.engines.choice import NAMES, installed
    from styletransfer.support.project import PROJECT_FOLDER, VERSION

    yield "nstyle", f"{VERSION}, {PROJECT_FOLDER}"
    yield "Python", f"{platform.python_version()}, {sys.executable}, on {platform.system()} {platform.machine()}"
    packages = metadata.packages_distributions()  # builds with CUDA have other names
    versions = [f"{name} {metadata.version(packages[name][0])}" for name in NAMES if installed(name)]
    yield "engines", ", ".join(versions) or "none"


def _machine() -> Iterator[tuple[str, str]]:
    from models.threads import threads, usable_cores
    from styletransfer.session import memory

    yield "cores", f"{usable_cores()}, computing with {threads()} threads (OMP_NUM_THREADS)"
    yield "memory", f"{memory.limit(None) / 1e9:.1f} GB are free for a run"


def _places() -> Iterator[tuple[str, str]]:
    import os

    from models.spec import WEIGHTS_FOLDER
    from styletransfer.support.project import PROJECT_FOLDER

    yield "configs", str(PROJECT_FOLDER / "configs")
    yield "weights", f"{WEIGHTS_FOLDER}{'' if os.access(WEIGHTS_FOLDER, os.W_OK) else ', not writable'}"


def _missing() -> Iterator[tuple[str, str]]:
    """What is optional and not there, each with the command that gets it."""
    import importlib.util

    from styletransfer.engines import installed
    from styletransfer.support.project import IS_INSTALLED, PROJECT_FOLDER
    from styletransfer.weights import sources

    if not installed("torch"):
        how = "pip install 'nstyle[torch]'" if IS_INSTALLED else "pip install -r requirements-torch.txt"
        yield "missing", f"PyTorch, for GPUs and bfloat16: {how}"
    if importlib.util.find_spec("gradio") is None and not (PROJECT_FOLDER / ".venv-page" / "installed").exists():
        how = "pip install 'nstyle[page]'" if IS_INSTALLED else "make page"
        yield "missing", f"what the page in the browser needs: {how}"
    for name, targets in sources.catalogue().items():
        absent = [target.sources[0].what for target in targets if not target.path.exists()]
        if absent:
            yield "missing", f"{', '.join(absent)}: python scripts/fetch.py {name}"
