"""The looks of the page; the only module that imports Gradio."""

from __future__ import annotations

import functools
import html
import itertools
import math
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import fastapi
import gradio as gr
import pandas as pd

from styletransfer.page import choices, samples
from styletransfer.page.choices import RANGES, Choices
from styletransfer.page.controller import PageController, Preview, View
from styletransfer.page.uploads import MOST_BYTES
from styletransfer.session.curves import Curve
from styletransfer.support.errors import UserError, system_line

_STYLES = Path(__file__).parent / "page.css"
_EVERY = 1.0  # seconds between two looks at the runs
_CHOSEN = "✓ "
_MOST_WEIGHTED = 6  # paintings of a blend
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
_PARALLEL = 8  # requests of all tabs to one function
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
            raise _shown(UserError(system_line(error))) from None

    return wrapper


class _Page:
    """The components of the page and what they do.

    What a browser tab has chosen is kept in its states: the photograph, the paintings with their weights or a trained
    style, all photographs and paintings that are offered, the config that the settings change, the run or the instant
    picture that is shown, and what of it has been sent already.
    """

    def __init__(self, controller: PageController) -> None:
        self.controller = controller
        self.presets = samples.presets()
        self.trained_styles = samples.trained_styles()
        with gr.Blocks(title="nstyle", analytics_enabled=False, fill_width=True, delete_cache=(3600, 86400)) as blocks:
            self.content, self.styles, self.trained, self.base = (
                gr.State(None),
                gr.State({}),
                gr.State(None),
                gr.State({}),
            )
            self.photographs = gr.State([str(path) for path in samples.paths(samples.PHOTOGRAPHS)])
            self.paintings = gr.State([str(path) for path in samples.paths(samples.PAINTINGS)])
            self.name, self.preview, self.seen = gr.State(None), gr.State(None), gr.State({})
            self.arrived, self.opened = gr.State(None), gr.State([])
            gr.HTML(
                "<h1>nstyle</h1><p>A photograph, painted in the style of a painting.</p>", padding=False, elem_id="head"
            )
            with gr.Row(elem_id="work"):
                with gr.Column(min_width=280, elem_id="choose"):
                    self._build_choices()
                with gr.Column(min_width=280, elem_id="result"):
                    self._build_result()
                with gr.Column(min_width=280, elem_id="settings"):
                    self._build_settings()
            self.earlier = gr.HTML("<h2>Earlier pictures</h2>", visible=False, elem_id="earlier")
            self.gallery = gr.Gallery(
                show_label=False, columns=6, height="auto", object_fit="cover", allow_preview=False,
                interactive=False, buttons=[], elem_id="gallery", visible=False,
            )  # fmt: skip
            self.timer = gr.Timer(_EVERY)
            self._connect(blocks)
        self.blocks = blocks

    def _build_choices(self) -> None:
        def drop(elem_id: str, placeholder: str) -> gr.Image:
            return gr.Image(
                type="filepath", sources=["upload"], buttons=[], show_label=False, height=104,
                elem_id=elem_id, elem_classes="drop", placeholder=placeholder, scale=0, min_width=112,
            )  # fmt: skip

        gr.HTML("<h2>Photograph</h2>", padding=False)
        with gr.Row(elem_classes="shelf"):
            self.photo = drop("photo", "Drop yours")
            self.photo_tiles = _tiles(self._photo_tiles(self.photographs.value, None), "photographs")
        with gr.Row(elem_classes="head"):
            gr.HTML("<h2>Painting</h2>", padding=False)
            self.blend = gr.Checkbox(label="Blend several", elem_id="blend", container=False, scale=0, min_width=130)
        with gr.Row(elem_classes="shelf"):
            self.painting = drop("painting", "Drop yours")
            self.painting_tiles = _tiles(self._painting_tiles(self.paintings.value, {}, None), "paintings")
        self.weights = [
            gr.Slider(0.1, 4, 1, step=0.1, visible=False, elem_classes="weight") for _ in range(_MOST_WEIGHTED)
        ]

    def _build_result(self) -> None:
        self.status = gr.HTML(View().status, padding=False, elem_id="status")
        with gr.Tabs(elem_id="views"):
            with gr.Tab("Picture", id="picture"):
                self.picture = gr.Image(
                    show_label=False, interactive=False, buttons=["fullscreen"], elem_id="picture", height=430,
                    alt_text="the picture as it is now",
                )  # fmt: skip
            with gr.Tab("Before and after", id="compare"):
                self.compared = gr.ImageSlider(
                    show_label=False, interactive=False, buttons=[], elem_id="compared", max_height=430
                )
        least, most, step = RANGES["strength"]
        self.strength = gr.Slider(
            least, most, choices.from_config({}).strength, step=step, label="Strength of the painting",
            elem_id="strength",
        )  # fmt: skip
        with gr.Row(elem_id="actions"):
            self.refine = gr.Button("Refine", variant="primary", elem_id="refine", min_width=90)
            self.stop = gr.Button("Stop", variant="stop", interactive=False, elem_id="stop", min_width=90)
            self.go_on = gr.Button("Go on", interactive=False, elem_id="go-on", min_width=90)
            self.save_picture = gr.DownloadButton("Save picture", interactive=False, elem_id="save", min_width=110)
            self.save_config = gr.DownloadButton("Save config", interactive=False, elem_id="save-config", min_width=110)
        self.line = gr.HTML(padding=False, elem_id="line")
        self.follow = gr.Button("Show the picture that is being made", visible=False, elem_id="follow", size="sm")
        with gr.Accordion("Losses", open=False, visible=False, elem_id="losses") as self.losses:
            self.curve = gr.LinePlot(
                x="step", y="loss", color="part", color_title="", color_map=_LINES, x_title="step",
                y_title="weighted loss, log 10", show_label=False, height=340, buttons=[], elem_id="curve",
            )  # fmt: skip

    def _build_settings(self) -> None:
        usual = choices.from_config({})

        def slider(name: str, label: str, info: str) -> gr.Slider:
            least, most, step = RANGES[name]
            return gr.Slider(
                least, most, getattr(usual, name), step=step, label=label, info=info, elem_id=name.replace("_", "-")
            )

        with gr.Accordion("Settings", open=False, elem_id="fold"):
            self.size = slider("size", "Size, pixels", "of the long edge; twice the size takes four times as long")
            self.style_weight = slider("style_weight", "Style", "more: Refine goes closer to the painting")
            self.stroke_size = slider("stroke_size", "Stroke size, percent", "more: larger strokes")
            self.smoothness = slider("smoothness", "Smoothness", "more: less noise")
            self.steps = slider("steps", "Steps", "at each scale; more: more finished")
            with gr.Accordion("More", open=False, elem_id="more"):
                self.color = gr.Radio(
                    [(_COLORS.get(color, color), color) for color in choices.colors()],
                    value=usual.color, label="Colours", elem_id="color",
                )  # fmt: skip
                gr.HTML("<h2>Settings to begin with</h2>", padding=False)
                self.preset_tiles = _tiles([(str(each.picture), each.name) for each in self.presets], "presets")
            self.estimate = gr.HTML(elem_id="estimate")
        self.note = gr.HTML(elem_id="note")

    def _connect(self, blocks: gr.Blocks) -> None:
        settings = [
            *(self.content, self.styles, self.style_weight, self.stroke_size, self.size, self.steps),
            *(self.smoothness, self.color, self.strength, self.trained, self.base),
        ]
        chosen = [self.paintings, self.styles, self.trained, self.painting_tiles, self.strength, *self.weights]
        offered = [self.photographs, self.paintings]
        filled = [*settings, *offered, self.photo_tiles, self.painting_tiles, *self.weights, self.blend, self.note]
        watched = [
            *(self.seen, self.status, self.picture, self.compared, self.losses, self.curve, self.stop, self.go_on),
            *(self.save_picture, self.save_config, self.line, self.follow, self.earlier, self.gallery, self.opened),
        ]
        watching: dict[str, Any] = {
            "inputs": [self.name, self.preview, self.seen], "outputs": watched, "concurrency_limit": _PARALLEL,
            **_PRIVATE,
        }  # fmt: skip

        def then_instant(event: Any) -> None:
            event.success(
                self._instant, settings, [self.name, self.preview], concurrency_limit=_PARALLEL,
                trigger_mode="multiple", api_visibility="private", show_progress="minimal",
                show_progress_on=self.picture,
            ).success(self._watch, **watching)  # fmt: skip

        blocks.load(self._load, offered, [self.name, self.seen, *filled], **_PRIVATE)
        self.timer.tick(self._watch, **watching)

        gr.on(
            [component.change for component in settings[:-1]], self._estimate, settings, self.estimate,
            trigger_mode="always_last", **_PRIVATE,
        )  # fmt: skip

        photograph = [self.photographs, self.content, self.photo_tiles]
        choice = [self.paintings, self.styles, self.trained, self.blend]
        for drop, add, inputs, outputs in (
            (self.photo, self._add_photograph, [self.photographs], photograph),
            (self.painting, self._add_painting, choice, chosen),
        ):
            taken = drop.upload(self._take, drop, self.arrived, preprocess=False, **_PRIVATE)
            taken.failure(lambda: None, None, drop, **_PRIVATE)
            then_instant(taken.success(add, [self.arrived, *inputs], [drop, *outputs], **_PRIVATE))
        then_instant(self.photo_tiles.select(self._choose_photograph, self.photographs, photograph, **_PRIVATE))
        then_instant(self.painting_tiles.select(self._choose_painting, choice, chosen, **_PRIVATE))
        then_instant(self.blend.input(self._toggle_blend, choice, chosen, **_PRIVATE))
        for slider in self.weights:
            then_instant(
                slider.input(
                    self._weigh, [self.styles, *self.weights], self.styles, trigger_mode="always_last", **_PRIVATE
                )
            )
        for component in (self.strength, self.stroke_size, self.color, self.size):
            then_instant(component.input(lambda: None, trigger_mode="always_last", **_PRIVATE))
        then_instant(
            self.preset_tiles.select(
                self._select_preset, [*offered, *settings], [self.preset_tiles, *filled], **_PRIVATE
            )
        )

        for button, function in ((self.refine, self._refine), (self.go_on, self._go_on)):
            button.click(function, [self.name, *settings], self.name, **_PRIVATE).success(
                self._watch, js=_SHOW_RESULT if button is self.refine else None, **watching
            )
        self.stop.click(self._stop, self.name, None, **_PRIVATE).success(self._watch, **watching)
        self.follow.click(self._follow, None, [self.name, self.preview], **_PRIVATE).success(self._watch, **watching)
        self.gallery.select(
            self._open, [self.opened, *offered], [self.name, self.preview, self.gallery, *filled], **_PRIVATE
        ).success(self._watch, js=_SHOW_RESULT, **watching)  # fmt: skip

    # What is chosen.

    @_reported
    def _take(self, payload: Any) -> str:
        """Take an upload as a file of ours."""
        sent = payload if isinstance(payload, Mapping) else {}
        path = Path(str(sent.get("path") or ""))
        return str(self.controller.uploads.accept(path, str(sent.get("orig_name") or path.name)))

    def _add_photograph(self, arrived: str, photographs: list[str]) -> Updates:
        """Choose an upload in place of what was chosen."""
        return {self.photo: None, **self._chosen_photograph(_with(photographs, arrived), arrived)}

    def _choose_photograph(self, photographs: list[str], event: gr.SelectData) -> Updates:
        return self._chosen_photograph(photographs, photographs[event.index])

    def _chosen_photograph(self, photographs: list[str], content: str | None) -> Updates:
        tiles = gr.Gallery(value=self._photo_tiles(photographs, content), selected_index=None)
        return {self.photographs: photographs, self.content: content, self.photo_tiles: tiles}

    def _add_painting(
        self, arrived: str, paintings: list[str], styles: dict[str, float], trained: str | None, blend: bool
    ) -> Updates:
        """Choose an upload in place of what was chosen, or besides it in a blend."""
        before = styles if blend and trained is None else {}
        return {self.painting: None, **self._chosen(_with(paintings, arrived), {**before, arrived: 1.0})}

    @_reported
    def _choose_painting(
        self, paintings: list[str], styles: dict[str, float], trained: str | None, blend: bool, event: gr.SelectData
    ) -> Updates:
        if event.index >= len(paintings):
            style = self.trained_styles[event.index - len(paintings)]
            if blend:
                raise UserError("a trained style cannot be blended; turn Blend several off to choose it")
            return self._chosen(paintings, {str(style.painting): 1.0}, style.name)
        name = paintings[event.index]
        if not blend or trained is not None:
            return self._chosen(paintings, {name: 1.0})
        if name not in styles:
            return self._chosen(paintings, {**styles, name: 1.0})
        rest = {other: weight for other, weight in styles.items() if other != name}
        return self._chosen(paintings, rest or styles)

    def _toggle_blend(
        self, paintings: list[str], styles: dict[str, float], trained: str | None, blend: bool
    ) -> Updates:
        """Without a blend, the first of its paintings remains."""
        return self._chosen(paintings, styles if blend else dict(list(styles.items())[:1]), trained)

    def _weigh(self, styles: dict[str, float], *weights: float) -> dict[str, float]:
        return {**styles, **dict(zip(styles, weights))}

    def _chosen(self, paintings: list[str], styles: Mapping[str, float], trained: str | None = None) -> Updates:
        """The paintings that are offered, and those of them, or the trained style, that are chosen."""
        tiles = gr.Gallery(value=self._painting_tiles(paintings, styles, trained), selected_index=None)
        updates = {
            self.paintings: paintings,
            self.styles: dict(styles),
            self.trained: trained,
            self.painting_tiles: tiles,
        }
        updates[self.strength] = gr.Slider(interactive=trained is None)
        blended = list(styles.items()) if len(styles) > 1 else []
        for slider, (name, weight) in itertools.zip_longest(
            self.weights, blended[:_MOST_WEIGHTED], fillvalue=(None, 1.0)
        ):
            label = name and f"Weight of {Path(name).stem}"
            updates[slider] = gr.Slider(value=weight, maximum=max(4, weight), label=label, visible=name is not None)
        return updates

    def _photo_tiles(self, photographs: list[str], content: str | None) -> list[tuple[str, str]]:
        return [self._tile(file, Path(file).stem, file == content) for file in photographs]

    def _painting_tiles(
        self, paintings: list[str], styles: Mapping[str, float], trained: str | None
    ) -> list[tuple[str, str]]:
        tiles = [self._tile(file, Path(file).stem, file in styles and trained is None) for file in paintings]
        return tiles + [
            self._tile(str(style.painting), f"{style.name} (trained)", style.name == trained)
            for style in self.trained_styles
        ]

    def _tile(self, file: str, name: str, chosen: bool) -> tuple[str, str]:
        return str(self.controller.thumbnails.small(Path(file))), (_CHOSEN if chosen else "") + name

    @_reported
    def _select_preset(
        self, event: gr.SelectData, photographs: list[str], paintings: list[str], *settings: Any
    ) -> Updates:
        preset = self.presets[event.index]
        if preset.unavailable:
            raise UserError(preset.unavailable)
        chosen = preset.applied(_choices(*settings))
        return {self.preset_tiles: gr.Gallery(selected_index=None), **self._filled(chosen, photographs, paintings)}

    def _filled(self, chosen: Choices, photographs: list[str], paintings: list[str]) -> Updates:
        """The controls with these settings; pictures of theirs are offered besides the others, each once."""
        content = None
        if chosen.content:
            (content,), photographs = _offered([chosen.content], photographs)
        files, paintings = _offered(chosen.styles, paintings)
        styles = {file: weight for file, weight in zip(files, chosen.styles.values()) if file}
        others = choices.others(chosen.base)
        updates = self._chosen_photograph(photographs, content) | self._chosen(paintings, styles, chosen.trained)
        for name in ("style_weight", "stroke_size", "size", "steps", "smoothness", "strength"):
            (least, most, _), value = RANGES[name], getattr(chosen, name)
            updates[getattr(self, name)] = gr.Slider(value=value, minimum=min(least, value), maximum=max(most, value))
        updates[self.strength] = gr.Slider(value=chosen.strength, interactive=chosen.trained is None)
        return {
            **updates,
            self.color: chosen.color,
            self.blend: len(styles) > 1,
            self.base: dict(chosen.base),
            self.note: html.escape(f"Also as in that run: {', '.join(others)}" if others else ""),
        }

    # What is done.

    @_reported
    def _instant(self, request: gr.Request, *settings: Any) -> Updates:
        """Make an instant picture of what is chosen, if both are, and show it."""
        chosen = _choices(*settings)
        if not chosen.content or not chosen.styles:
            return {self.preview: gr.skip()}
        preview = self.controller.instant(chosen, str(request.session_hash))
        return {self.preview: gr.skip()} if preview is None else {self.name: None, self.preview: preview}

    @_reported
    def _refine(self, request: gr.Request, name: str | None, *settings: Any) -> str:
        self.controller.forget_instant(str(request.session_hash))
        return self.controller.start(_choices(*settings))

    @_reported
    def _go_on(self, request: gr.Request, name: str | None, *settings: Any) -> str:
        self.controller.forget_instant(str(request.session_hash))
        if name is None:
            raise UserError("there is no picture to continue from")
        return self.controller.go_on(name, _choices(*settings))

    def _stop(self, name: str | None) -> None:
        if name is not None:
            self.controller.stop(name)

    def _load(self, photographs: list[str], paintings: list[str]) -> Updates:
        name = self.controller.queue.latest
        return {self.name: name, self.seen: {}, **self._of_run(name, photographs, paintings)}

    def _follow(self, request: gr.Request) -> Updates:
        """Show the run that is being made; what is chosen stays."""
        self.controller.forget_instant(str(request.session_hash))
        return {self.name: self.controller.queue.current or gr.skip(), self.preview: None}

    @_reported
    def _open(
        self, opened: list[str], photographs: list[str], paintings: list[str], event: gr.SelectData, request: gr.Request
    ) -> Updates:
        self.controller.forget_instant(str(request.session_hash))
        name = opened[event.index]
        self.controller.choices_of(name)
        shown = {self.name: name, self.preview: None, self.gallery: gr.Gallery(selected_index=None)}
        return {**shown, **self._of_run(name, photographs, paintings)}

    def _of_run(self, name: str | None, photographs: list[str], paintings: list[str]) -> Updates:
        """The controls with the settings of a run; none for None, or one that cannot be read."""
        try:
            chosen = self.controller.choices_of(name) if name else None
        except UserError:
            chosen = None
        return self._filled(chosen, photographs, paintings) if chosen else {}

    # What is seen.

    def _watch(self, name: str | None, preview: Preview | None, seen: dict[str, Any]) -> Updates:
        """Update the components that have changed since the last look."""
        view = self.controller.view(name, preview)
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
            self.losses: (view.curve is not None, lambda: gr.Accordion(visible=view.curve is not None)),
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
        for button, path in zip((self.save_picture, self.save_config), view.downloads):
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
    strength: float,
    trained: str | None,
    base: Mapping[str, Any],
) -> Choices:
    return Choices(
        content, dict(styles), float(style_weight), int(stroke_size), int(size), int(steps), float(smoothness),
        color or "style", float(strength), trained, dict(base),
    )  # fmt: skip


def _tiles(items: list[tuple[str, str]], elem_id: str) -> gr.Gallery:
    """Pictures to choose from."""
    return gr.Gallery(
        items, show_label=False, columns=4, elem_id=elem_id, elem_classes="tiles", allow_preview=False,
        interactive=False, buttons=[], object_fit="cover", height="auto",
    )  # fmt: skip


def _with(offered: list[str], file: str) -> list[str]:
    """The files that are offered, with another first."""
    return [file, *(other for other in offered if other != file)]


def _offered(files: Iterable[str], offered: list[str]) -> tuple[list[str | None], list[str]]:
    """The names under which files are offered, None for those that are gone, and all that are offered with them."""
    known = {choices.place(file): file for file in offered}
    for file in files:
        path = choices.place(file)
        if path and Path(path).is_file():
            known.setdefault(path, path)
    return [known.get(choices.place(file)) for file in files], list(known.values())


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
