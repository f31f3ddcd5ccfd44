"""Style transfer from Python: :func:`transfer` returns the result, :func:`steps` yields every step."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Generator, Iterator, Sequence
from threading import Event
from typing import Any

from models.threads import InvalidSetting
from styletransfer.api.arguments import ConfigLike, Output, PictureLike, Request, Styles, understood
from styletransfer.api.results import Diverged, Result, Step, Stopped, to_pillow
from styletransfer.engines import is_out_of_memory
from styletransfer.optimization.loop import Record
from styletransfer.session import interrupts, recorders
from styletransfer.session.picture import PictureTask
from styletransfer.session.recorders import Recorder
from styletransfer.session.recording import Recording, Unrecorded
from styletransfer.session.session import Session, opened
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
    """Make a picture with the content of a photograph in the style of a painting.

    The picture is the same as that of the command with the same config, pixel by pixel.

    Parameters
    ----------
    content : path, PIL image or array
        The photograph. An array is (H, W, 3), (H, W) in grey, or (H, W, 4) with opacity: uint8 (0..255), uint16, bool,
        or float (0..1). Not needed if `config` names one, or with ``content__weight=0``.
    style : the same, several in a list, a list of (picture, weight), or a dict {path: weight}
        The painting, or several to blend.
    config : path, dict or Config, optional
        A config file, config keys, or the `config` of an earlier result. Keywords override it.
    output : path or dict, optional
        The output folder, or the keys of the section `output`. Files are written only if a folder is named here.
    force : bool
        Whether a finished output folder may be overwritten.
    resume : bool
        Whether to resume from the checkpoint in the output folder.
    progress : bool or function
        True: a bar on a terminal or in a notebook, otherwise occasional lines in the log. False: nothing. A function
        is called with every step.
    **keys
        Any config key (docs/config.md): ``size=800``, ``style__weight=400`` for `style.weight`, or a whole section,
        ``optimizer={"name": "adam", "learning_rate": 3}``.

    Returns
    -------
    Result

    Raises
    ------
    UserError
        If the arguments, the pictures or the output folder are invalid, or memory runs out; one line.
    Diverged
        If the optimisation diverged and could not recover; it contains the best result.
    Stopped
        After Ctrl-C: a KeyboardInterrupt that contains the result so far, raised after the current step. A second
        Ctrl-C has an immediate effect.
    """
    with plain_errors():
        request = understood("transfer", content, style, config, output, keys)
        with _opened(request, force, resume) as session:
            bars = []
            if progress is True:
                bars.append(recorders.progress(session.task.steps, session.done, redirect_log=False))
            with contextlib.closing(_records(session, request, bars)) as records:
                for record in records:
                    if callable(progress):
                        progress(Step.from_record(record, session))
            return _result(session, request)


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

    To stop, leave the loop or close the generator; its memory is then released, and with an output folder a checkpoint
    is saved. The steps and their images remain valid.

    The parameters and errors are those of :func:`transfer`. Invalid arguments are reported by the call itself.

    Yields
    ------
    Step
        The first is the initial image. The image of the last one is the result, unless L-BFGS-B stops within a round:
        its steps are trials, and the result is the best one.

    Returns
    -------
    Result
        The return value of the generator, for ``yield from``.
    """
    with plain_errors():
        request = understood("steps", content, style, config, output, keys)
    return _steps(request, force, resume)


def _steps(request: Request, force: bool, resume: bool) -> Generator[Step, None, Result]:
    with (
        plain_errors(),
        _opened(request, force, resume) as session,
        contextlib.closing(_records(session, request)) as records,
    ):
        for record in records:
            yield Step.from_record(record, session)
        return _result(session, request)


def _opened(request: Request, force: bool, resume: bool) -> contextlib.AbstractContextManager[Session]:
    if not request.recorded and (force or resume):
        raise UserError(f"{'force' if force else 'resume'}=True: name the folder too: output=...")
    task = PictureTask(request.config, request.sources)
    return opened(Recording(task, force, resume, request.read) if request.recorded else Unrecorded(task))


def _records(session: Session, request: Request, more: Sequence[Recorder] = ()) -> Generator[Record, None, None]:
    """The records of a session; exceptions contain the result, and their tracebacks do not keep its memory."""
    ended: Diverged | Stopped | None = None
    stopped = Event()
    with contextlib.closing(session.records(more, stopped)) as records:
        while ended is None:
            try:
                with interrupts.setting(stopped, interrupts.keyboard()):
                    record = next(records, None)
            except errors.Diverged as error:
                ended = Diverged(str(error), _result(session, request))
            except errors.Interrupted as error:
                ended = Stopped(_in_python(error), _result(session, request))
            else:
                if record is None:
                    return
                yield record
    raise ended


def _result(session: Session, request: Request) -> Result:
    return Result(to_pillow(session.picture()), session.losses.by_column(), request.config, session.folder)


@contextlib.contextmanager
def plain_errors() -> Iterator[None]:
    """Give expected errors the one line of the command, with keywords in place of options."""
    try:
        yield
    except StyleTransferError as error:
        error.args = (_in_python(error),)
        raise
    except InvalidSetting as error:
        raise UserError(commands.one_line(str(error))) from None
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        error.__traceback__ = None  # its frames refer to the large arrays
        raise UserError(commands.OUT_OF_MEMORY) from None


def _in_python(error: Exception) -> str:
    """The message of an error as the command says it, with keywords in place of options."""
    return re.sub(r"--(force|resume)\b", r"\1=True", commands.one_line(commands.as_called(str(error))))
