"""Neural style transfer: the content of a photograph in the style of a painting."""

from __future__ import annotations

import argparse
import logging
import shutil
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from styletransfer.cli import kinds
from styletransfer.cli.options import Parser, add_overrides, add_version, file_path, number, whole

if TYPE_CHECKING:
    from styletransfer.config import Config
    from styletransfer.sweeps.sweep_file import Sweep

LOGGER = logging.getLogger("styletransfer")

# The options of neural-style (Johnson 2015) and its successors, which others imitate, and ours.
_NEURAL_STYLE = {
    "content_image": "--content",
    "style_image": "--style",
    "output_image": "-o",
    "image_size": "--size",
    "content_weight": "--content-weight",
    "style_weight": "--style-weight",
    "style_scale": "--stroke-size, in percent",
    "num_iterations": "--steps",
    "gpu": "--device, such as cuda:0",
    "original_colors": "--colors keep",
    "tv_weight": "--set tv.weight=NUMBER",
    "style_blend_weights": "--set 'style.images={FILE: WEIGHT, ...}'",
    "init": "--set init.kind=KIND",
    "init_image": "--set 'init={kind: image, image: FILE}'",
    "optimizer": "--set optimizer.name=NAME",
    "learning_rate": "--set optimizer.learning_rate=NUMBER",
    "lbfgs_num_correction": "--set optimizer.history=NUMBER",
    "content_layers": "--set 'content.layers={LAYER: WEIGHT, ...}'",
    "style_layers": "--set 'style.layers={LAYER: WEIGHT, ...}'",
    "pooling": "--set pooling=avg",
    "model_file": "--set model=NAME --set weights=FILE",
    "save_iter": "--set output.save_every=NUMBER",
    "seed": "--seed",
    "backend": "--set engine=torch",
}


def parser(program: str | None = None, more: str = "") -> argparse.ArgumentParser:
    parser = Parser(
        prog=program,
        description="Neural style transfer: the content of a photograph in the style of a painting.",
        epilog="Exit status: 0 done; 2 an error such as invalid input, reported in one line; 3 the optimisation "
        f"diverged; 75 interrupted, the last line says how to resume. docs/config.md explains every config key. {more}",
    )
    parser.add_argument(
        "pictures",
        metavar="PICTURE",
        nargs="*",
        help="a photograph and a painting, in place of --content and --style; without --output, only the picture is "
        "written",
    )
    parser.add_argument(
        "-o",
        metavar="FILE",
        dest="picture",
        type=file_path,
        help="the picture to write: .png, .jpg, .webp or .tiff (default for two pictures: PHOTOGRAPH_PAINTING.png)",
    )
    parser.add_argument(
        "--output", metavar="FOLDER", help="folder for the picture, its curve, its config and checkpoints"
    )
    parser.add_argument(
        "--content",
        metavar="PICTURE",
        nargs="+",
        action="extend",
        help="the photograph; several, or a folder: one picture each, in folders of their own",
    )
    parser.add_argument(
        "--style", metavar="PICTURE", nargs="+", action="extend", help="a painting; several, or a folder: their blend"
    )
    parser.add_argument(
        "--config", metavar="FILE", help="a YAML config, or a PNG made with one (default: the default settings)"
    )
    settings = parser.add_argument_group("settings", "they override those of the config")
    settings.add_argument("--preset", metavar="NAME", help="settings to begin with: those of the page, such as gentle")
    settings.add_argument(
        "--size",
        metavar="PIXELS",
        type=whole(1, 20_000),
        help="long edge of the picture; large ones are made at more scales, unless the config says how many",
    )
    settings.add_argument(
        "--style-weight", metavar="NUMBER", type=number(0, 1e30), help="more: closer to the painting; style.weight"
    )
    settings.add_argument(
        "--content-weight", metavar="NUMBER", type=number(0, 1e30), help="more: closer to the photograph"
    )
    settings.add_argument(
        "--stroke-size",
        metavar="PERCENT",
        type=number(1, 1000),
        help="long edge of the painting relative to the picture's: 200 for coarser strokes, 50 for finer ones",
    )
    settings.add_argument(
        "--steps", metavar="NUMBER", type=whole(0, 10_000_000), help="steps at each scale, at most; stop.max_iterations"
    )
    settings.add_argument(
        "--colors",
        choices=["style", "keep", "match"],
        help="style: the painting's colours; keep: the photograph's; match: the painting's, moved to the photograph's",
    )
    settings.add_argument("--seed", metavar="NUMBER", type=whole(0, 2**32 - 1), help="of the random numbers")
    settings.add_argument("--device", metavar="NAME", help="cpu, cuda:0, gpu:0 or mps (default: a GPU if there is one)")
    add_overrides(settings, "any config key")
    parser.add_argument(
        "--dry-run",
        action="store_true",
        help="print sizes, steps, memory and estimated time, without making the picture",
    )
    parser.add_argument("--force", action="store_true", help="overwrite an earlier run or picture")
    parser.add_argument("--resume", action="store_true", help="continue from the checkpoint in the output folder")
    add_version(parser)
    return parser


def _reject_neural_style(parser: argparse.ArgumentParser, arguments: Sequence[str]) -> None:
    """End with one line if an option is one of neural-style; the double hyphen is not decisive, the underscore is."""
    for argument in arguments:
        name = argument.lstrip("-").partition("=")[0]
        if argument.startswith("-") and name in _NEURAL_STYLE and (argument[1] != "-" or "_" in name):
            named = argument.partition("=")[0]
            parser.error(f"{named} is an option of neural-style, which is called {_NEURAL_STYLE[name]} here")


def _report(settings: Config) -> Iterable[str]:
    """The lines that ``--dry-run`` prints."""
    from styletransfer.session import forecast, inputs
    from styletransfer.session.resolve import resolve

    plan = resolve(settings)
    return forecast.lines(plan, inputs.load_parameters(plan))


def _take_pictures(options: argparse.Namespace) -> None:
    """Put a photograph and a painting into ``--content`` and ``--style``; find the project's pictures by name."""
    from styletransfer import config
    from styletransfer.support.errors import UserError

    given = options.pictures
    kinds.check([*given, *(options.content or ()), *(options.style or ())])
    if given:
        if len(given) != 2 or options.content or options.style:
            raise UserError(
                f"{' '.join(given)}: expected two pictures, a photograph and a painting; for several, "
                "--content PICTURE ... --style PICTURE ..."
            )
        options.content, options.style = given[:1], given[1:]
    for name in ("content", "style"):
        named = getattr(options, name) or ()
        setattr(options, name, [config.bundled(each, "input", ".jpg") for each in named] or None)
    if options.config is not None:
        options.config = config.bundled(options.config, "configs", ".yaml")
        kinds.check([options.config], "picture")


def _picture_alone(options: argparse.Namespace) -> Path | None:
    """The file to which the picture is written; None if it only goes into the output folder.

    Raises UserError if pictures are not written in the format of its suffix.
    """
    from styletransfer.pictures.formats import FORMATS
    from styletransfer.support.errors import UserError

    if options.picture is None:
        if not options.pictures or options.output is not None:
            return None
        return Path("{}_{}.png".format(*(Path(name).stem for name in (options.content[0], options.style[0]))))
    if _format_of(options.picture) not in FORMATS:
        raise UserError(f"-o {options.picture}: expected a name that ends with .{', .'.join(FORMATS)}")
    return options.picture


def _format_of(path: Path) -> str:
    suffix = path.suffix.lower().removeprefix(".")
    return {"jpeg": "jpg", "tif": "tiff"}.get(suffix, suffix)


def _values(options: argparse.Namespace, picture: Path | None) -> dict[str, Any]:
    """Read the config file and put the options into it; several photographs are left out."""
    from styletransfer import config
    from styletransfer.config import presets
    from styletransfer.page.choices import scales_for

    values = {} if options.config is None else config.read_file(config.find_input(options.config))
    preset = presets.find(options.preset) if options.preset is not None else None
    if preset is not None:
        values = _merged(values, preset.values)
    resized: dict[str, Any] = {}
    if options.size is not None:
        resized = {"size": options.size, "shape": None}
        if "scales" not in values:
            resized["scales"] = scales_for(options.size)
    named = {
        "--content": {"content.image": options.content[0] if options.content and len(options.content) == 1 else None},
        "--style": {"style.images": options.style},
        "--output": {"output.folder": options.output},
        "-o": {"output.format": None if picture is None else _format_of(picture)},
        "--size": resized,
        "--style-weight": {"style.weight": options.style_weight},
        "--content-weight": {"content.weight": options.content_weight},
        "--steps": {"stop.max_iterations": options.steps},
        "--colors": {"color": options.colors},
        "--seed": {"seed": options.seed},
        "--device": {"device": options.device},
    }
    for option, keys in named.items():
        for key, value in keys.items():
            if value is not None or key == "shape":
                values = config.put(values, key.split("."), value, option)
    stroke_size = options.stroke_size or (preset.stroke_size if preset is not None else 100)
    if options.stroke_size is not None or stroke_size != 100:
        edge = _long_edge(config.override(values, options.assignments))
        values = config.put(values, ["style", "size"], max(1, round(edge * stroke_size / 100)), "--stroke-size")
    return values


def _merged(values: Mapping[str, Any], others: Mapping[str, Any]) -> dict[str, Any]:
    """Values with others in their place, section by section."""
    merged = dict(values)
    for key, value in others.items():
        before = merged.get(key)
        merged[key] = _merged(before, value) if isinstance(before, Mapping) and isinstance(value, Mapping) else value
    return merged


def _long_edge(values: Mapping[str, Any]) -> int:
    """The long edge of the picture, before the values are checked."""
    from styletransfer.config import Config

    edge = max(values.get("shape") or [values.get("size")], key=str)
    return edge if isinstance(edge, int) else Config.model_fields["size"].default


def _one_each(plan: Sweep, read: Mapping[str, Path], force: bool) -> int:
    """Make the pictures of several photographs, one after the other; those that are done are skipped."""
    from styletransfer.session.output_folder import finished_picture
    from styletransfer.support.optional import optional
    from styletransfer.sweeps import contact, local, outputs, reports, states
    from styletransfer.sweeps.sweep_file import CONTACT, RESULTS

    outputs.check(plan, read, force)
    if force:
        for job in plan.jobs:
            states.forget(job)
    else:
        states.check_settings(plan)
    LOGGER.info("%d photographs, one after the other, into %s", len(plan.jobs), plan.folder)
    unusable = local.run_here(plan, 1, lambda line: LOGGER.info("%s", line))
    with optional(plan.folder / RESULTS):
        reports.write_results(plan, unusable)
    with optional(plan.folder / CONTACT):
        LOGGER.info("%s", contact.write_contact_sheet(plan, unusable))
    for job in plan.jobs:
        if states.state_of(job, unusable).name == "done":
            print(finished_picture(job.folder), flush=True)
    for line in reports.failures(plan, unusable):
        print(line, file=sys.stderr)
    return 0 if reports.all_done(plan) else 1


def _make(settings: Config, options: argparse.Namespace, picture: Path | None, read: Mapping[str, Path]) -> Path:
    """Make a picture in its folder, or as a file, or both."""
    from styletransfer.session import session
    from styletransfer.session.picture import PictureTask
    from styletransfer.session.recording import check_picture_file
    from styletransfer.support.errors import UserError
    from styletransfer.support.files import atomic_write

    task = PictureTask(settings)
    if picture is None:
        return session.run(task, options.force, options.resume, read)
    if options.output is None:
        if options.resume:
            raise UserError("--resume continues the run in a folder; name it with --output FOLDER")
        return session.run_to_file(task, picture, options.force, read)
    check_picture_file(picture, {**task.files(), **read}, options.force)
    made = session.run(task, options.force, options.resume, read)
    picture.parent.mkdir(parents=True, exist_ok=True)
    with made.open("rb") as source, atomic_write(picture) as stream:
        shutil.copyfileobj(source, stream)
    return picture


def main(arguments: list[str] | None = None, program: str | None = None, more: str = "") -> int:
    """Make a picture; the help ends with `more`."""
    reader = parser(program, more)
    _reject_neural_style(reader, sys.argv[1:] if arguments is None else arguments)
    options = reader.parse_intermixed_args(arguments)
    logging.basicConfig(format="%(message)s", stream=sys.stderr)
    logging.getLogger("styletransfer").setLevel(logging.INFO)

    from styletransfer.cli.guard import guarded

    def transfer() -> int:
        from styletransfer import config
        from styletransfer.support.errors import UserError

        _take_pictures(options)
        picture = _picture_alone(options)
        values = _values(options, picture)
        read = {} if options.config is None else {"--config": config.find_input(options.config)}
        where = options.config or "the command line"
        if options.config and options.assignments:
            where += " with --set"
        if len(options.content or ()) > 1 or any(
            name and config.find_input(name).is_dir() for name in options.content or ()
        ):
            from styletransfer.sweeps import photographs

            if picture is not None:
                raise UserError("several photographs: name a folder for the pictures with --output FOLDER, without -o")
            plan = photographs.sweep(values, options.content, where, options.assignments)
            if not options.dry_run:
                return _one_each(plan, read, options.force)
            for job in plan.jobs:
                assert isinstance(job.config, config.Config)
                for line in _report(job.config):
                    print(f"{job.name}: {line}", flush=True)
            return 0
        settings = config.parse(config.override(values, options.assignments), where)

        if options.dry_run:
            for line in _report(settings):
                print(line, flush=True)
            return 0

        print(_make(settings, options, picture, read))
        return 0

    return guarded(transfer)
