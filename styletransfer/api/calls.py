"""Style transfer from Python: :func:`transfer` for the result, :func:`steps` for what happens on the way."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Generator, Iterator, Sequence
from typing import Any

from styletransfer.api.arguments import ConfigLike, Output, PictureLike, Request, Styles, understood
from styletransfer.api.results import Diverged, Result, Step, Stopped, to_pillow
from styletransfer.optimization.loop import Record
from styletransfer.run import interrupts
from styletransfer.run.prepared import PreparedRun, prepared
from styletransfer.run.recorders import ProgressRecorder, Recorder
from styletransfer.run.recording import Recording
from styletransfer.support import commands, errors
from styletransfer.support.errors import StyleTransferError, UserError


def transfer(
    content: PictureLike | None = None,
    style: Styles | None = None,
    *,
    config: ConfigLike | None = None,
    output: Output | None = None,
    force: bool = False,
    resume: bool = False,
    progress: bool | Callable[[Step], object] = True,
    **keys: Any,
) -> Result:
    """Make a picture of the content of a photograph in the style of a painting.

    The result is that of the command with the same config, pixel by pixel.

    Parameters
    ----------
    content : path, PIL image or array
        The photograph. An array is (H, W, 3), (H, W) in grey, or (H, W, 4) with opacity: uint8 (0..255), uint16, bool,
        or float (0..1). It may be left out where `config` names one or ``content__weight=0``.
    style : the same, several in a list, a list of (picture, weight), or a dict {path: weight}
        The painting, or several to blend.
    config : path, dict or Config, optional
        What to start from: a config file, its keys, or the `config` of an earlier result. Keywords override it.
    output : path or dict, optional
        The output folder, or the keys of the section `output`. Files are written only if a folder is named here.
    force : bool
        Whether a finished output folder may be overwritten.
    resume : bool
        Whether to go on from the checkpoint in the output folder.
    progress : bool or function
        True for a bar on a terminal and in a notebook, elsewhere a line in the log now and then; False for none; or a
        function that is called with every step.
    **keys
        Any config key (docs/config.md): ``size=800``, ``style__weight=400`` for `style.weight`, or a whole section,
        ``optimizer={"name": "adam", "learning_rate": 3}``.

    Returns
    -------
    Result

    Raises
    ------
    UserError
        If something is wrong with the arguments, the pictures, or the output folder, or memory runs out; one line.
    Diverged
        If the optimisation left its course and could not be brought back; it has the best result.
    Stopped
        In place of KeyboardInterrupt, of which it is a kind; it has the result so far. A second Ctrl-C while the step
        at hand is finished acts at once.
    """
    with _plain_errors():
        request = understood("transfer", content, style, config, output, keys)
        with _prepared(request, force, resume) as run:
            bars = [ProgressRecorder(run.steps, run.done, own_terminal=False)] if progress is True else []
            with contextlib.closing(_records(run, request, bars)) as records:
                for record in records:
                    if callable(progress):
                        progress(Step.of(record, run))
            return _result(run, request)


def steps(
    content: PictureLike | None = None,
    style: Styles | None = None,
    *,
    config: ConfigLike | None = None,
    output: Output | None = None,
    force: bool = False,
    resume: bool = False,
    **keys: Any,
) -> Generator[Step, None, Result]:
    """Make a picture step by step.

    To stop, leave the loop, or close the generator: the memory is free again then, and in an output folder there is a
    checkpoint to go on from. A step, with its image, outlasts the run.

    The parameters and errors are those of :func:`transfer`; mistakes in the arguments are raised at once.

    Yields
    ------
    Step
        The first is the initial image. The image of the last is the result, except with L-BFGS-B that stops within a
        round: its steps are trials, and the result is the best of them.

    Returns
    -------
    Result
        Of the generator, which ``yield from`` and StopIteration have.
    """
    with _plain_errors():
        request = understood("steps", content, style, config, output, keys)
    return _steps(request, force, resume)


def _steps(request: Request, force: bool, resume: bool) -> Generator[Step, None, Result]:
    with (
        _plain_errors(),
        _prepared(request, force, resume) as run,
        contextlib.closing(_records(run, request)) as records,
    ):
        for record in records:
            yield Step.of(record, run)
        return _result(run, request)


def _prepared(request: Request, force: bool, resume: bool) -> contextlib.AbstractContextManager[PreparedRun]:
    if not request.recorded and (force or resume):
        raise UserError(f"{'force' if force else 'resume'}=True: name the folder too: output=...")
    recording = Recording(request.config, force, resume) if request.recorded else None
    return prepared(request.config, request.sources, recording)


def _records(run: PreparedRun, request: Request, recorders: Sequence[Recorder] = ()) -> Generator[Record, None, None]:
    """The records of a run. An exception that ends it has the result, and its traceback does not hold the memory."""
    ended: Diverged | Stopped | None = None
    stopped: list[int] = []
    with contextlib.closing(run.records(recorders, stopped)) as records:
        while ended is None:
            try:
                with interrupts.collected(interrupts.keyboard(), stopped):
                    record = next(records, None)
            except errors.Diverged as error:
                ended = Diverged(str(error), _result(run, request))
            except errors.Interrupted as error:
                ended = Stopped(_in_python(error), _result(run, request))
            else:
                if record is None:
                    return
                yield record
    raise ended


def _result(run: PreparedRun, request: Request) -> Result:
    return Result(to_pillow(run.picture()), run.losses.by_column(), request.config, run.folder)


@contextlib.contextmanager
def _plain_errors() -> Iterator[None]:
    """Errors that are expected have one line, that of the command in the words of Python."""
    try:
        yield
    except StyleTransferError as error:
        error.args = (_in_python(error),)
        raise
    except Exception as error:
        if not commands.is_out_of_memory(error):
            raise
        error.__traceback__ = None  # which holds what took the memory
        raise UserError(commands.OUT_OF_MEMORY) from None


def _in_python(error: Exception) -> str:
    """The message of an error as the command says it, with keywords in place of options."""
    return re.sub(r"--(force|resume)\b", r"\1=True", commands.one_line(commands.as_called(str(error))))
