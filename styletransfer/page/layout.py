"""The looks of the page; the only module that imports Gradio."""

from __future__ import annotations

import functools
import html
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import fastapi
import gradio as gr
import pandas as pd

from styletransfer.page import choices, samples
from styletransfer.page.choices import RANGES, Choices
from styletransfer.page.controller import PageController, View
from styletransfer.page.uploads import MOST_BYTES
from styletransfer.session.curves import Curve
from styletransfer.support.errors import UserError, reason_of

_STYLES = Path(__file__).parent / "page.css"
_EVERY = 1.0  # seconds between two looks at the runs
_CHOSEN = "✓ "
_COLORS = {
    "style": "of the painting",
    "keep": "of the photograph",
    "match": "matched to the photograph",
}
_LINES = {"total": "#64748b", "content": "#16a34a", "style": "#6366f1", "tv": "#d97706"}
_LEAST_SHOWN = 1e-3  # of the losses; the content loss of the photograph itself is 0 but for rounding
_SHOW_RESULT = """() => {
  const result = document.getElementById("result"), top = result.getBoundingClientRect().top;
  if (top < 0 || top > innerHeight / 2) result.scrollIntoView({behavior: "smooth"});
}"""
_NEVER = object()  # seen before
Updates = dict[Any, Any]  # the changes of the page, by component
_PRIVATE: Mapping[str, Any] = {"api_visibility": "private", "show_progress": "hidden"}


def application(controller: PageController) -> fastapi.FastAPI:
    """The page as a web application."""
    blocks = _Page(controller).blocks
    # What Gradio's own launch does: only files that a browser has sent, and those in the folders below, are taken.
    blocks.has_launched = True
    allowed = [controller.queue.folder, *(path.parent for path in samples.paths(samples.PHOTOGRAPHS)), samples.FOLDER]
    return gr.mount_gradio_app(
        fastapi.FastAPI(docs_url=None, redoc_url=None, openapi_url=None),
        blocks,
        path="/",
        allowed_paths=sorted({str(path.resolve()) for path in allowed}),
        max_file_size=MOST_BYTES,
        footer_links=[],
        run_history=False,
        ssr_mode=False,
        enable_monitoring=False,
        mcp_server=False,
        pwa=False,
        theme=_theme(),
        head=f"<style>{_STYLES.read_text()}</style>",  # as css, its selectors would not reach the page's frame
    )


def _theme() -> gr.themes.Base:
    """A theme with the fonts of the system, so that none is loaded from elsewhere."""
    fonts = ["system-ui", "sans-serif"]
    return gr.themes.Base(
        primary_hue="indigo", neutral_hue="slate", radius_size="md", font=fonts, font_mono=["ui-monospace", "monospace"]
    )


def _shown(error: UserError) -> gr.Error:
    return gr.Error(html.escape(str(error)), duration=12, title="That does not work", print_exception=False)


def _reported(function: Callable[..., Any]) -> Callable[..., Any]:
    """A handler whose UserError, or error of the system, is shown as one line."""

    @functools.wraps(function)
    def wrapper(*arguments: Any, **named: Any) -> Any:
        try:
            return function(*arguments, **named)
        except UserError as error:
            raise _shown(error) from None
        except OSError as error:
            raise _shown(UserError(f"{error.filename or 'the system'}: {reason_of(error)}")) from None

    return wrapper


class _Page:
    """The components of the page and what they do.

    What a browser tab has chosen is kept in its states: the photograph, the paintings with their weights, all paintings
    that are offered, the config that the settings change, the run that is shown, and what of it has been sent already.
    """

    def __init__(self, controller: PageController) -> None:
        self.controller = controller
        self.presets = samples.presets()
        self.photographs = samples.paths(samples.PHOTOGRAPHS)
        self.instant_styles = samples.instant_styles()
        with gr.Blocks(title="nstyle", analytics_enabled=False, fill_width=True, delete_cache=(3600, 86400)) as blocks:
            self.content, self.styles, self.base = gr.State(None), gr.State({}), gr.State({})
            self.offered = gr.State([str(path) for path in samples.paths(samples.PAINTINGS)])
            self.name, self.seen, self.arrived = gr.State(None), gr.State({}), gr.State(None)
            self.opened = gr.State([])
            gr.HTML("<h1>nstyle</h1><p>A photograph, painted in the style of a painting.</p>", elem_id="head")
            with gr.Row():
                with gr.Column(scale=4, min_width=280):
                    self._build_choices()
                with gr.Column(scale=6, min_width=280, elem_id="result"):
                    self._build_result()
            self.earlier = gr.HTML("<h2>Earlier pictures</h2>", visible=False, elem_id="earlier")
            self.gallery = gr.Gallery(
                show_label=False, columns=6, height="auto", object_fit="cover", allow_preview=False,
                interactive=False, buttons=[], elem_id="gallery", visible=False,
            )  # fmt: skip
            self.timer = gr.Timer(_EVERY)
            self._connect(blocks)
        self.blocks = blocks

    def _build_choices(self) -> None:
        def thumbnails(paths: list[Path]) -> list[tuple[str, str]]:
            return [(str(self.controller.thumbnails.small(path)), path.stem) for path in paths]

        options: dict[str, Any] = {
            "allow_preview": False, "interactive": False, "buttons": [], "object_fit": "cover", "height": "auto",
        }  # fmt: skip
        drop: dict[str, Any] = {"type": "filepath", "sources": ["upload", "clipboard"], "buttons": []}
        gr.HTML("<h2>Photograph</h2>")
        with gr.Column(elem_classes="part"):
            self.photo = gr.Image(
                show_label=False, height=240, elem_id="photo", placeholder="Drop a photograph here\n- or -\nclick",
                alt_text="the photograph", **drop,
            )  # fmt: skip
            self.photo_samples = gr.Gallery(
                thumbnails(self.photographs), show_label=False, columns=4, elem_id="photo-samples",
                elem_classes="samples", **options,
            )  # fmt: skip
        gr.HTML("<h2>Paintings <small>one, or several to blend</small></h2>")
        with gr.Column(elem_classes="part"):
            self.paintings = gr.Gallery(
                self._paintings(self.offered.value, {}), show_label=False, columns=4,
                elem_id="paintings", elem_classes="samples", **options,
            )  # fmt: skip
            self.painting = gr.Image(
                show_label=False, height=96, elem_id="painting", placeholder="Drop a painting of yours, or click",
                **drop,
            )  # fmt: skip
        if self.instant_styles:
            gr.HTML("<h2>Instant <small>the photograph in a trained style, in a few seconds</small></h2>")
        paintings = [style.painting for style in self.instant_styles]
        names = [f"Instant: {style.name.capitalize()}" for style in self.instant_styles]
        self.instant = gr.Gallery(
            [(picture, name) for (picture, _), name in zip(thumbnails(paintings), names)], show_label=False, columns=3,
            elem_id="instant", elem_classes="samples", visible=bool(self.instant_styles), **options,
        )  # fmt: skip
        gr.HTML("<h2>Settings</h2>")
        self.preset_samples = gr.Gallery(
            [(str(preset.picture), preset.name) for preset in self.presets], show_label=False,
            columns=3, elem_id="presets", elem_classes="samples", **options,
        )  # fmt: skip
        with gr.Group():
            usual = choices.from_config({})

            def slider(name: str, label: str, info: str) -> gr.Slider:
                least, most, step = RANGES[name]
                return gr.Slider(
                    least, most, getattr(usual, name), step=step, label=label, info=info, elem_id=name.replace("_", "-")
                )

            self.style_weight = slider("style_weight", "Style", "more: closer to the painting")
            self.stroke_size = slider("stroke_size", "Stroke size, percent", "more: larger strokes")
            self.size = slider("size", "Size, pixels", "of the long edge; twice the size takes four times as long")
            self.color = gr.Radio(
                [(_COLORS.get(color, color), color) for color in choices.colors()],
                value=usual.color, label="Colours", elem_id="color",
            )  # fmt: skip
            self.start_from = self._start_from(usual.start)
        with gr.Accordion("More settings", open=False, elem_id="more"):
            self.steps = slider("steps", "Steps", "at each scale; more: more finished")
            self.smoothness = slider("smoothness", "Smoothness", "more: less noise")
        self.note = gr.HTML(elem_id="note")
        self.estimate = gr.HTML(elem_id="estimate")
        self.start = gr.Button("Start", variant="primary", elem_id="start")

    def _build_result(self) -> None:
        self.status = gr.HTML(View().status, elem_id="status")
        with gr.Tabs(elem_id="views"):
            with gr.Tab("Picture", id="picture"):
                self.picture = gr.Image(
                    show_label=False, interactive=False, buttons=["fullscreen"], elem_id="picture", height=480,
                    alt_text="the picture as it is now",
                )  # fmt: skip
            with gr.Tab("Before and after", id="compare"):
                self.compared = gr.ImageSlider(
                    show_label=False, interactive=False, buttons=[], elem_id="compared", max_height=480
                )
        with gr.Row(elem_id="actions"):
            self.stop = gr.Button("Stop", variant="stop", interactive=False, elem_id="stop", min_width=90)
            self.go_on = gr.Button("Go on", interactive=False, elem_id="go-on", min_width=90)
            self.save_picture = gr.DownloadButton("Save picture", interactive=False, elem_id="save", min_width=120)
            self.save_config = gr.DownloadButton("Save config", interactive=False, elem_id="save-config", min_width=120)
        self.curve = gr.LinePlot(
            x="step", y="loss", color="part", color_title="", color_map=_LINES, x_title="step",
            y_title="weighted loss, log 10", label="Losses", height=340,
            buttons=[], visible=False, elem_id="curve",
        )  # fmt: skip
        self.line = gr.HTML(elem_id="line")
        self.follow = gr.Button("Show the picture that is being made", visible=False, elem_id="follow", size="sm")

    def _connect(self, blocks: gr.Blocks) -> None:
        settings = [
            *(self.content, self.styles, self.style_weight, self.stroke_size),
            *(self.size, self.steps, self.smoothness, self.color, self.start_from, self.base),
        ]
        filled = [*settings, self.photo, self.paintings, self.offered, self.note]
        watched = [
            *(self.seen, self.status, self.picture, self.compared, self.curve, self.stop, self.go_on),
            *(self.save_picture, self.save_config, self.line, self.follow, self.earlier, self.gallery, self.opened),
        ]
        watching: dict[str, Any] = {"inputs": [self.name, self.seen], "outputs": watched, **_PRIVATE}

        blocks.load(self._load, None, [self.name, self.seen, *filled], **_PRIVATE)
        self.timer.tick(self._watch, concurrency_limit=8, **watching)

        gr.on(
            [component.change for component in settings[:-1]], self._estimate, settings, self.estimate,
            trigger_mode="always_last", **_PRIVATE,
        )  # fmt: skip

        self.photo.upload(self._take_photo, self.photo, [self.photo, self.content], preprocess=False, **_PRIVATE)
        self.photo.clear(lambda: None, None, self.content, **_PRIVATE)
        self.photo_samples.select(self._select_photo, None, [self.photo, self.content, self.photo_samples], **_PRIVATE)
        self.painting.upload(
            self._take_painting, self.painting, [self.painting, self.arrived], preprocess=False, **_PRIVATE
        ).then(
            self._add_painting, [self.arrived, self.offered, self.styles],
            [self.offered, self.styles, self.paintings, self.arrived], **_PRIVATE,
        )  # fmt: skip
        self.paintings.select(
            self._toggle_painting, [self.offered, self.styles], [self.offered, self.styles, self.paintings], **_PRIVATE
        )
        self.preset_samples.select(
            self._select_preset, [self.content, self.styles, self.offered, self.size],
            [self.preset_samples, *filled], **_PRIVATE,
        )  # fmt: skip

        for button, function in ((self.start, self._start), (self.go_on, self._go_on)):
            button.click(function, [self.name, *settings], self.name, **_PRIVATE).success(
                self._watch, js=_SHOW_RESULT if button is self.start else None, **watching
            )
        self.instant.select(
            self._make_instant, [self.content, self.offered, self.size, self.color],
            [self.name, self.instant, self.offered, self.styles, self.paintings], **_PRIVATE,
        ).success(self._watch, js=_SHOW_RESULT, **watching)  # fmt: skip
        self.stop.click(self._stop, self.name, None, **_PRIVATE).success(self._watch, **watching)
        self.follow.click(self._follow, None, [self.name, *filled], **_PRIVATE).success(self._watch, **watching)
        self.gallery.select(
            self._open, self.opened, [self.name, self.gallery, *filled], **_PRIVATE
        ).success(self._watch, js=_SHOW_RESULT, **watching)  # fmt: skip

    # What is chosen.

    @_reported
    def _take_photo(self, payload: Any) -> Updates:
        path = self._taken(payload, "photo")
        return {self.photo: path and gr.Image(value=path), self.content: path}

    def _take_painting(self, payload: Any) -> Updates:
        return {self.painting: None, self.arrived: self._taken(payload, "painting")}

    def _taken(self, payload: Any, kind: str) -> str | None:
        """An upload as a file of ours; None, with a message on the page, if it cannot be used."""
        sent = payload.get("path") if isinstance(payload, Mapping) else None
        try:
            return str(self.controller.uploads.accept(Path(str(sent or "")), kind))
        except UserError as error:
            gr.Warning(html.escape(str(error)), duration=12, title="This picture cannot be used")
            return None

    def _select_photo(self, event: gr.SelectData) -> Updates:
        path = str(self.photographs[event.index])
        return {self.photo: path, self.content: path, self.photo_samples: gr.Gallery(selected_index=None)}

    def _add_painting(self, arrived: str | None, offered: list[str], styles: dict[str, float]) -> Updates:
        if arrived is not None:
            offered = list(dict.fromkeys([*offered, arrived]))
            styles = {**styles, arrived: 1.0}
        return {self.arrived: None, **self._chosen(offered, styles)}

    def _toggle_painting(self, offered: list[str], styles: dict[str, float], event: gr.SelectData) -> Updates:
        name = offered[event.index]
        styles = {other: weight for other, weight in styles.items() if other != name}
        if not event.value["caption"].startswith(_CHOSEN):
            styles[name] = 1.0
        return self._chosen(offered, styles)

    def _chosen(self, offered: list[str], styles: Mapping[str, float]) -> Updates:
        """The paintings that are offered, and those of them that are chosen."""
        gallery = gr.Gallery(value=self._paintings(offered, styles), selected_index=None)
        return {self.offered: offered, self.styles: styles, self.paintings: gallery}

    def _paintings(self, offered: list[str], styles: Mapping[str, float]) -> list[tuple[str, str]]:
        items = []
        for name in offered:
            mark = _CHOSEN if name in styles else ""
            items.append((str(self.controller.thumbnails.small(Path(name))), mark + Path(name).stem))
        return items

    def _select_preset(
        self, content: str | None, styles: dict[str, float], offered: list[str], size: float, event: gr.SelectData
    ) -> Updates:
        preset = self.presets[event.index]
        if preset.unavailable:
            raise _shown(UserError(preset.unavailable))
        chosen = preset.applied(content, styles, int(size))
        return {self.preset_samples: gr.Gallery(selected_index=None), **self._filled(chosen, offered)}

    def _start_from(self, start: str | None) -> gr.Radio:
        """The choice of where to start, hidden where there is only the photograph."""
        names = dict.fromkeys([*(style.name for style in self.instant_styles), *([start] if start else [])])
        return gr.Radio(
            [("photograph", ""), *((Path(name).stem, name) for name in names)], value=start or "", label="Start from",
            info="the photograph, or the photograph in a trained style", elem_id="start-from", visible=bool(names),
        )  # fmt: skip

    def _filled(self, chosen: Choices, offered: list[str]) -> Updates:
        """The controls with these settings."""
        present = {name: weight for name, weight in chosen.styles.items() if Path(name).is_file()}
        photo = chosen.content if chosen.content and Path(chosen.content).is_file() else None
        others = choices.others(chosen.base)
        note = f"Also as in that run: {', '.join(others)}" if others else ""
        updates = self._chosen(list(dict.fromkeys([*offered, *present])), present)
        for name in ("style_weight", "stroke_size", "size", "steps", "smoothness"):
            (least, most, _), value = RANGES[name], getattr(chosen, name)
            updates[getattr(self, name)] = gr.Slider(value=value, minimum=min(least, value), maximum=max(most, value))
        return {
            **updates,
            self.photo: photo,
            self.content: photo,
            self.color: chosen.color,
            self.start_from: self._start_from(chosen.start),
            self.base: dict(chosen.base),
            self.note: html.escape(note),
        }

    # What is done.

    @_reported
    def _start(self, name: str | None, *settings: Any) -> str:
        return self.controller.start(_choices(*settings))

    @_reported
    def _go_on(self, name: str | None, *settings: Any) -> str:
        if name is None:
            raise UserError("there is no picture to continue from")
        return self.controller.go_on(name, _choices(*settings))

    @_reported
    def _make_instant(
        self, content: str | None, offered: list[str], size: float, color: str | None, event: gr.SelectData
    ) -> Updates:
        style = self.instant_styles[event.index]
        name = self.controller.instant(content, style, int(size), color or "style")
        offered = list(dict.fromkeys([*offered, str(style.painting)]))
        chosen = self._chosen(offered, {str(style.painting): 1.0})
        return {self.name: name, self.instant: gr.Gallery(selected_index=None), **chosen}

    def _stop(self, name: str | None) -> None:
        if name is not None:
            self.controller.stop(name)

    def _load(self) -> Updates:
        name = self.controller.queue.latest
        return {self.name: name, self.seen: {}, **self._of_run(name)}

    def _follow(self) -> Updates:
        name = self.controller.queue.current
        return {self.name: name or gr.skip(), **self._of_run(name)}

    @_reported
    def _open(self, opened: list[str], event: gr.SelectData) -> Updates:
        name = opened[event.index]
        self.controller.choices_of(name)
        return {self.name: name, self.gallery: gr.Gallery(selected_index=None), **self._of_run(name)}

    def _of_run(self, name: str | None) -> Updates:
        """The controls with the settings of a run; none for None, or one that cannot be read."""
        try:
            chosen = self.controller.choices_of(name) if name else None
        except UserError:
            chosen = None
        return self._filled(chosen, [str(path) for path in samples.paths(samples.PAINTINGS)]) if chosen else {}

    # What is seen.

    def _watch(self, name: str | None, seen: dict[str, Any]) -> Updates:
        """Update the components that have changed since the last look."""
        view = self.controller.view(name)
        runs = self.controller.gallery()
        current = self.controller.queue.current
        follow = current is not None and current != name
        line = self.controller.line()
        # By component, a mark that changes with its content, and the function that makes the content.
        shown: dict[Any, tuple[Any, Callable[[], Any]]] = {
            self.status: (view.status, lambda: view.status),
            self.picture: (_mark(view.picture), lambda: view.picture and str(view.picture)),
            self.compared: (
                view.compared and tuple(map(_mark, view.compared)),
                lambda: view.compared and tuple(map(str, view.compared)),
            ),
            self.curve: ((name, view.curve and len(view.curve.rows)), lambda: _plot(view.curve)),
            self.stop: (view.can_stop, lambda: gr.Button(interactive=view.can_stop)),
            self.go_on: (view.can_go_on, lambda: gr.Button(interactive=view.can_go_on)),
            self.line: (line, lambda: line),
            self.follow: (follow, lambda: gr.Button(visible=follow)),
            self.earlier: (bool(runs), lambda: gr.HTML(visible=bool(runs))),
            self.gallery: (
                [(run.name, run.changed) for run in runs],
                lambda: gr.Gallery(value=self._thumbnails(runs), visible=bool(runs)),
            ),
        }
        for button, path in zip((self.save_picture, self.save_config), view.downloads or (None, None)):
            file = path and str(path)
            shown[button] = file, functools.partial(gr.DownloadButton, value=file, interactive=file is not None)
        now = {component.elem_id: mark for component, (mark, _) in shown.items()}
        changed = {
            component: show()
            for component, (mark, show) in shown.items()
            if seen.get(component.elem_id, _NEVER) != mark
        }
        return {self.seen: now, self.opened: [run.name for run in runs], **changed}

    def _estimate(self, *settings: Any) -> str:
        return html.escape(self.controller.estimate(_choices(*settings)))

    def _thumbnails(self, runs: list[Any]) -> list[tuple[str, str]]:
        items = []
        for run in runs:
            mark = "" if run.finished else " (unfinished)"
            items.append((str(self.controller.thumbnails.small(run.picture)), self.controller.title(run.name) + mark))
        return items


def _choices(
    content: str | None,
    styles: Mapping[str, float],
    style_weight: float,
    stroke_size: float,
    size: float,
    steps: float,
    smoothness: float,
    color: str | None,
    start: str | None,
    base: Mapping[str, Any],
) -> Choices:
    return Choices(
        content, dict(styles), float(style_weight), int(stroke_size), int(size), int(steps), float(smoothness),
        color or "style", start or None, dict(base),
    )  # fmt: skip


def _mark(path: Path | None) -> tuple[str, int] | None:
    """Something that changes with a file."""
    try:
        return None if path is None else (str(path), path.stat().st_mtime_ns)
    except OSError:
        return None


def _plot(curve: Curve | None) -> gr.LinePlot:
    if curve is None:
        return gr.LinePlot(value=None, visible=False)
    steps = curve.column("step")
    # A part has its rows from the start, empty where there is nothing to show: Gradio draws no line that comes later.
    rows = [
        (step, math.log10(loss) if loss > _LEAST_SHOWN else None, part)
        for part in _LINES
        for step, loss in zip(steps, curve.column(part))
    ]
    return gr.LinePlot(value=pd.DataFrame(rows, columns=["step", "loss", "part"]), visible=True)
