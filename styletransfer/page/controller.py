"""The actions of the page, without its looks: make an instant picture; start, stop, continue, open and show a run."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from styletransfer import config as configs
from styletransfer.config import Config
from styletransfer.page import choices, progress, runs, status_html
from styletransfer.page.choices import Choices
from styletransfer.page.instant_pictures import InstantPictures
from styletransfer.page.job_queue import JobQueue, Status
from styletransfer.page.thumbnails import Thumbnails
from styletransfer.page.uploads import Uploads
from styletransfer.pictures import images
from styletransfer.session import picture_sizes
from styletransfer.session.curves import Curve
from styletransfer.session.output_folder import CONFIG
from styletransfer.support.errors import UserError
from styletransfer.sweeps import names

_AT_WORK = ("waiting", "running", "stopping")


@dataclass(frozen=True)
class Preview:
    """An instant picture with its photograph."""

    picture: Path
    photograph: Path
    title: str


@dataclass(frozen=True)
class View:
    """The visible state of a run.

    Attributes
    ----------
    status : str
        HTML.
    picture : Path, or None
        The newest.
    compared : pair of Path, or None
        The photograph and the picture, of the same size; None while the picture is being made.
    downloads : pair of (Path, or None)
        The picture and its config, under names of their own; no picture while it is being made.
    """

    status: str = status_html.NOTHING
    picture: Path | None = None
    curve: Curve | None = None
    compared: tuple[Path, Path] | None = None
    downloads: tuple[Path | None, Path | None] = (None, None)
    can_stop: bool = False
    can_go_on: bool = False


class PageController:
    """The actions of the page.

    Parameters
    ----------
    queue : JobQueue
    instant : InstantPictures
    cache : Path
        An existing folder for thumbnails and copies; removed with the server.
    arrivals : Path
        The folder in which the server puts uploads.
    """

    def __init__(self, queue: JobQueue, instant: InstantPictures, cache: Path, arrivals: Path) -> None:
        self.queue, self._instant = queue, instant
        self.thumbnails = Thumbnails(cache)
        self.uploads = Uploads(arrivals, queue.folder)
        self._cache = cache

    def start(self, chosen: Choices) -> str:
        """Put a new run in line and return its name.

        Raises UserError if something has not been chosen or cannot be used, or too many runs wait.
        """
        name = self._new_name(chosen)
        config = choices.to_config(chosen, self._folder(name))
        picture_sizes.read_sizes(config)
        self.queue.add(name, config)
        return name

    def instant(self, chosen: Choices, tab: str) -> Preview | None:
        """Make an instant picture; None if the tab has asked for another meanwhile.

        Raises UserError if something has not been chosen or cannot be used.
        """
        request = choices.to_instant_request(chosen)
        picture = self._instant.make(request, tab)
        title = runs.title(chosen.content, chosen.styles if chosen.trained is None else [chosen.trained])
        return None if picture is None else Preview(picture, Path(request["content"]), title)

    def forget_instant(self, tab: str) -> None:
        """Make the picture obsolete that a tab is waiting for."""
        self._instant.forget(tab)

    def go_on(self, name: str, chosen: Choices) -> str:
        """Go on with a run; return the name of the run that does.

        One that was stopped continues from its state if nothing but the number of steps has been changed. Else a new
        run starts from its present picture, and it is stopped if it is still being made.

        Raises UserError as for :meth:`start`, or if the run has no picture yet, or is being made as it is.
        """
        state, config = self._state(name), self.queue.config(name)
        before = choices.from_config(config.model_dump(mode="json"))
        same = _goes_on(chosen) == _goes_on(before)
        if state.name == "stopped" and same:
            stop = config.stop
            if chosen.steps != before.steps:
                stop = stop.model_copy(update={"max_iterations": chosen.steps})
            self.queue.resume(name, config.model_copy(update={"stop": stop}))
            return name
        if state.name in _AT_WORK and same and chosen.steps == before.steps:
            raise UserError("this run is still being made; change a setting first")
        picture = runs.newest(self.queue.folder / name)
        if state.name == "waiting" or picture is None:
            raise UserError("this run has no picture yet to continue from")
        edge = max(images.size(picture))
        new = self._new_name(chosen)
        config = choices.to_config(chosen, self._folder(new), edge)
        self.queue.add(new, config, start_from=self.queue.folder / name, first=state.name in _AT_WORK)
        self.queue.stop(name)
        return new

    def stop(self, name: str) -> None:
        """Stop a run, or take it out of the line."""
        self.queue.stop(name)

    def choices_of(self, name: str) -> Choices:
        """The settings of a run, to make another.

        Raises UserError if they cannot be read.
        """
        return choices.from_config(self.queue.config(name).model_dump(mode="json"))

    def view(self, name: str | None, preview: Preview | None) -> View:
        """Collect what the page shows of a run, or without one of an instant picture, which a run starts from."""
        state = self.queue.status(name) if name else None
        if name is None or state is None:
            return self._view_of(preview) if preview else View()
        config = self.queue.config(name)
        folder = self.queue.folder / name
        now = progress.read(folder, config)
        at_work = state.name in _AT_WORK
        before = ""
        if state.name == "waiting":
            ahead = [*self.queue.waiting[: state.place - 1][-1:], self.queue.current]
            before = self.title(ahead[0]) if ahead[0] else ""
        return View(
            status_html.status(self.title(name), state, now, before),
            now.picture or (preview.picture if preview else None),
            now.curve,
            None if at_work else self._compared(config.content.image, now.picture),
            (None, None) if at_work else self._downloads(name, folder, now.picture),
            can_stop=state.name in ("waiting", "running"),
            can_go_on=now.picture is not None and state.name not in ("waiting", "stopping"),
        )

    def _view_of(self, preview: Preview) -> View:
        return View(
            status_html.instant(preview.title),
            preview.picture,
            compared=self._compared(str(preview.photograph), preview.picture),
            downloads=(self._named(preview.picture, names.safe_name(preview.title) or "picture"), None),
        )

    def line(self) -> str:
        """The runs in line, as HTML."""
        current = self.queue.current
        return status_html.line(self.title(current) if current else "", map(self.title, self.queue.waiting))

    def title(self, name: str) -> str:
        """The title of a run."""
        try:
            config = self.queue.config(name)
            return runs.title(config.content.image, config.style.images or ()) or name
        except UserError:
            return name

    def gallery(self) -> list[runs.Run]:
        """The runs that can be opened, the newest first."""
        at_work = {self.queue.current, *self.queue.waiting}
        return [run for run in runs.list_runs(self.queue.folder) if run.name not in at_work]

    def estimate(self, chosen: Choices) -> str:
        """Estimate memory and time of a run, or say why it cannot be made; empty if something is missing."""
        if not chosen.content and not chosen.styles:
            return ""
        try:
            config = choices.to_config(chosen, self._folder("estimate"))
            return status_html.estimate(*progress.estimate(config, self._seconds_of_a_pixel(config)))
        except UserError as error:
            return str(error)

    def _seconds_of_a_pixel(self, config: Config) -> float | None:
        """The time of a step per pixel in the last finished run with the same network, optimiser and precision."""
        for earlier in self._configs():
            kinds = [(each.model, each.optimizer.name, each.precision) for each in (config, earlier)]
            if kinds[0] == kinds[1]:
                seconds = progress.seconds_of_a_pixel(Path(earlier.output.folder), earlier)
                if seconds is not None:
                    return seconds
        return None

    def _configs(self) -> Iterator[Config]:
        for run in self.gallery()[:10]:
            if run.finished:
                try:
                    yield self.queue.config(run.name)
                except UserError:
                    continue

    def _compared(self, content: str | None, picture: Path | None) -> tuple[Path, Path] | None:
        if picture is None or content is None:
            return None
        try:
            copy = self.thumbnails.resized(configs.find_input(content), *images.size(picture))
            return copy, picture
        except (OSError, UserError):  # the photograph is gone, or is none any more
            return None

    def _downloads(self, name: str, folder: Path, picture: Path | None) -> tuple[Path | None, Path | None]:
        config = folder / CONFIG
        if picture is None or not config.exists():
            return None, None
        return self._named(picture, Path(name).name), self._named(config, Path(name).name)

    def _named(self, path: Path, name: str) -> Path | None:
        """A copy, so that what is saved from the browser has a name that tells what it is; None if the file is gone."""
        try:
            place = self._cache / f"{path.stat().st_mtime_ns}" / f"{name}{path.suffix}"
            if not place.exists():
                place.parent.mkdir(exist_ok=True)
                shutil.copyfile(path, place)
        except OSError:
            return None
        return place

    def _state(self, name: str) -> Status:
        state = self.queue.status(name)
        if state is None:
            raise UserError("this run is gone")
        return state

    def _new_name(self, chosen: Choices) -> str:
        return runs.new_name(self.queue.folder, chosen.content, chosen.styles)

    def _folder(self, name: str) -> str:
        return str(self.queue.folder / name)


def _goes_on(chosen: Choices) -> Choices:
    """The choices that make another run of one that goes on: all but the number of steps, and where it started."""
    return dataclasses.replace(
        chosen, content=choices.place(chosen.content), styles=choices.places(chosen.styles), base={}, steps=0,
        strength=0.0, trained=None,
    )  # fmt: skip
