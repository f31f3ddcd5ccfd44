"""The README, the other pages and the headers of configs: commands parse, links resolve, tables are complete."""

from __future__ import annotations

import argparse
import importlib
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

import models
from styletransfer import config as configs
from styletransfer.cli import COMMANDS, submit, train_style, transfer
from styletransfer.config import table
from styletransfer.config.normalizations import NORMALIZATIONS
from styletransfer.sweeps import sweep_file, trainings
from styletransfer.weights import sources

PROJECT = Path(__file__).resolve().parents[1]
README = (PROJECT / "README.md").read_text()
DOCS = PROJECT / "docs"
PAGES = [PROJECT / "README.md", PROJECT / "CONTRIBUTING.md", *sorted(DOCS.glob("*.md"))]
LINKED = [*PAGES, PROJECT / "input" / "README.md", *sorted((PROJECT / "models").glob("*/*.md"))]
CONFIGS = sorted((PROJECT / "configs").rglob("*.yaml"))
TESTS = "".join(path.read_text() for path in (PROJECT / "tests").glob("test_*.py"))

FENCE = re.compile(r"^( *)```(\w*)\n(.*?)^ *```$", re.MULTILINE | re.DOTALL)
INLINE = re.compile(r"`([^`\n]+)`")
# Programs that are not part of the project, and whose arguments are not checked.
OTHERS = {"cd", "docker", "git", "ldd", "module", "pip", "python3.11", "sbatch", "source", "srun"}
OPTIONS_OF_OTHERS = {"--build-arg", "--constraint"}


def name_of(path: Path) -> str:
    return str(path.relative_to(PROJECT))


every_page = pytest.mark.parametrize("page", PAGES, ids=name_of)
every_linked_page = pytest.mark.parametrize("page", LINKED, ids=name_of)


def without_code(text: str) -> str:
    return INLINE.sub("", FENCE.sub("", text))


def blocks(page: Path, language: str) -> list[str]:
    """The fenced blocks of a page in a language; blocks of shell commands have none."""
    return [body for _, found, body in FENCE.findall(page.read_text()) if found == language]


def inline_code(page: Path) -> list[str]:
    return INLINE.findall(FENCE.sub("", page.read_text()))


def commands(page: Path) -> Iterator[str]:
    """All commands of a page: those in blocks, and those of the project in running text."""
    for block in blocks(page, ""):
        yield from (line.strip() for line in block.replace("\\\n", " ").splitlines() if line.strip())
    yield from (code for code in inline_code(page) if re.match(r"(python|make|nstyle) ", code))


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.*)$", FENCE.sub("", page.read_text()), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def parse(script: str, arguments: list[str], monkeypatch: pytest.MonkeyPatch) -> argparse.Namespace:
    """The parsed arguments of a script, which is not run."""

    class Parsed(Exception):
        pass

    for name in ("parse_args", "parse_intermixed_args"):
        original = getattr(argparse.ArgumentParser, name)

        def parse_args(self, *_, original=original):
            raise Parsed(original(self, arguments))

        monkeypatch.setattr(argparse.ArgumentParser, name, parse_args)
    with pytest.raises(Parsed) as parsed:
        importlib.import_module(f"scripts.{script}").main(arguments)
    monkeypatch.undo()
    return parsed.value.args[0]


def check_config(options: argparse.Namespace, page: Path) -> None:
    """The config of a call of nstyle.py; one that is not a file of the project is the page's first block of YAML."""
    values = {}
    if options.config:
        example = yaml.safe_load(next(iter(blocks(page, "yaml")), "null"))
        file = PROJECT / configs.bundled(options.config, "configs", ".yaml")
        values = configs.read_file(file) if file.is_file() else example
    (photograph, *painting) = options.pictures or options.content or (None,)
    assert not options.pictures or len(painting) == 1
    given = (("content", "image", photograph), ("style", "images", painting or options.style))
    for section, key, value in (*given, ("output", "folder", options.output)):
        if value is not None:
            values = configs.put(values, [section, key], value, f"--{section}")
    configs.parse(configs.override(values, options.assignments), name_of(page))


def check_sweep(options: argparse.Namespace, page: Path, folder: Path) -> None:
    """The jobs of a call of submit.py; a file that is not one of the project is the page's first block of YAML."""
    paths = []
    for name in options.files:
        paths.append(PROJECT / name)
        if not name.startswith("configs/"):
            paths[-1] = folder / name
            paths[-1].write_text(blocks(page, "yaml")[0])
    assert trainings.read([str(path) for path in paths], options.assignments, options.output).jobs


def check_script(script: str, options: argparse.Namespace, page: Path, folder: Path) -> None:
    """Check that what a command line names exists."""
    if script == "nstyle":
        check_config(options, page)
    elif script == "submit":
        check_sweep(options, page, folder)
    elif script == "fetch":
        catalogue = sources.catalogue()
        assert options.list or options.name in catalogue
        assert options.source in {
            None,
            *(source.name for target in catalogue.get(options.name, ()) for source in target.sources),
        }
    elif script == "visualize":
        assert (
            0
            <= options.channel
            < {tap.name: tap for tap in models.load(options.model).SPEC.taps}[options.layer].channels
        )
    elif script == "bench":
        assert set(options.models or ()) <= set(models.names())


def test_the_table_of_config_keys_matches_the_schema() -> None:
    assert "\n".join(table.rows()) in (DOCS / "config.md").read_text()
    assert "\n".join(table.rows(configs.StyleTraining)) in (DOCS / "training.md").read_text()


@pytest.mark.parametrize(
    ("page", "names"),
    [
        (PROJECT / "README.md", [f"configs/{path.name}" for path in (PROJECT / "configs").glob("*.yaml")]),
        (PROJECT / "README.md", [f"({name_of(page)})" for page in PAGES[1:]]),
        (DOCS / "networks.md", [f"| `{name}` |" for name in models.names()]),
        (DOCS / "config.md", [f"| `{name}` |" for name in NORMALIZATIONS]),
        (DOCS / "sweeps.md", [name_of(path) for path in (PROJECT / "configs" / "sweeps").glob("*.yaml")]),
    ],
    ids=["configs", "pages", "networks", "normalizations", "sweeps"],
)
def test_tables_are_complete(page: Path, names: list[str]) -> None:
    text = page.read_text()
    assert names
    assert [name for name in names if name not in text] == []


def test_the_defaults_in_the_readme_match_the_schema() -> None:
    defaults = dict(re.findall(r"^\| `([^`]+)` \| `([^`]+)` \|", "\n".join(table.rows()), re.MULTILINE))
    given = re.findall(r"^\| `([a-z_.]+)` \| ([^|]+) \|", README, re.MULTILINE)
    assert len(given) == 5
    for key, default in given:
        assert default == defaults[key] or (default == "as `size`" and defaults[key] == "null"), key


def test_every_script_is_on_a_page() -> None:
    text = "".join(page.read_text() for page in LINKED)
    for script in (PROJECT / "scripts").glob("*.py"):
        assert f"scripts/{script.name}" in text


@every_linked_page
def test_links_resolve(page: Path) -> None:
    for link in re.findall(r"(?<!!)\[[^\]]*\]\(([^)]+)\)", without_code(page.read_text())):
        if link.startswith("https://"):
            continue
        file, _, anchor = link.partition("#")
        target = (page.parent / file).resolve() if file else page
        assert target.is_relative_to(PROJECT) and target.exists(), link
        assert not anchor or anchor in anchors(target), link


@every_linked_page
def test_pictures_exist(page: Path) -> None:
    found = re.findall(r"!\[[^\]]+\]\(([^)]+)\)", without_code(page.read_text()))
    assert [picture for picture in found if not (page.parent / picture).is_file()] == []


def as_script(words: list[str]) -> list[str]:
    """A call of the installed command, as that of the script that it runs."""
    if words[0] != "nstyle":
        return words
    name, *rest = words[1:] if words[1] in COMMANDS else ["nstyle", *words[1:]]
    return ["python", f"scripts/{'compare_curves' if name == 'compare' else name}.py", *rest]


@every_page
def test_commands_are_valid(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """They are parsed as a shell would split them, and what they name exists."""
    makefile = (PROJECT / "Makefile").read_text()
    for command in commands(page):
        program, *arguments = as_script(shlex.split(command, comments=True))
        if program == "make":
            assert re.search(rf"^{arguments[0]}:", makefile, re.MULTILINE), command
        elif program == "python" and arguments[0] == "-c":
            compile(arguments[1], command, "exec")
        elif program == "python":
            script = PROJECT / arguments[0]
            assert script.is_file(), command
            if script.parent.name == "scripts" and arguments[1:] != ["--help"]:
                check_script(script.stem, parse(script.stem, arguments[1:], monkeypatch), page, tmp_path)
        else:
            assert program in OTHERS, command
            assert "-r" not in arguments or (PROJECT / arguments[arguments.index("-r") + 1]).is_file(), command


@every_page
def test_examples_in_yaml_are_valid(page: Path, tmp_path: Path) -> None:
    for block in blocks(page, "yaml"):
        values = yaml.safe_load(block)
        if set(trainings.KEYS) & set(values):
            configs.parse_training(values, name_of(page))
        elif "base" in values:
            path = tmp_path / "sweep.yaml"
            path.write_text(block)
            assert sweep_file.read_sweep(path).jobs
        else:
            configs.parse(values, name_of(page))


@every_page
def test_options_and_keys_in_the_text_exist(page: Path) -> None:
    commands = "".join(path.read_text() for path in (PROJECT / "styletransfer/cli").glob("*.py"))
    rows = [*table.rows(), *table.rows(configs.StyleTraining)]
    keys = {line.split("`")[1] for line in rows if "`" in line}
    layers = {tap.name for name in models.names() for tap in models.load(name).SPEC.taps}
    for code in inline_code(page):
        option = re.match(r"--[a-z][a-z0-9-]*", code)
        assert option is None or option[0] in OPTIONS_OF_OTHERS or f'"{option[0]}"' in commands, code
        key = re.fullmatch(r"((?:content|style|tv|init|optimizer|stop|output)\.(\w+))(=.*)?", code)
        assert key is None or key[1] in keys or key[2] in layers, code


@every_page
def test_no_placeholders_are_left(page: Path) -> None:
    assert not re.search(r"@[A-Z]|TODO|FIXME", page.read_text())


def commands_in_the_head(path: Path) -> list[str]:
    """The commands in the header of a config; lines of options are appended to the command before them."""
    lines = [line[4:] for line in path.read_text().splitlines() if line.startswith("#   ")]
    whole = [line for line in lines if not line.startswith("--")]
    further = [line for line in lines if line.startswith("--")]
    return [*whole, " ".join([whole[-1], *further])] if further else whole


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.name)
def test_the_commands_in_the_header_of_a_config_are_valid(path: Path) -> None:
    """They are parsed as a shell would split them."""
    commands = commands_in_the_head(path)
    assert any(str(path.relative_to(PROJECT)) in command for command in commands)
    for command in commands:
        program, *arguments = shlex.split(command)
        if program == "make":
            assert re.search(rf"^{arguments[0]}:", (PROJECT / "Makefile").read_text(), re.MULTILINE)
            continue
        script, *options = arguments
        assert program == "python"
        if script == "scripts/fetch.py":
            assert set(options) <= set(sources.catalogue())
        elif script == "scripts/submit.py":
            assert submit.parser().parse_args(options).files == [str(path.relative_to(PROJECT))]
        elif script == "scripts/train_style.py":
            trained = train_style.parser().parse_args(options)
            values = configs.read_file(PROJECT / trained.config)
            configs.parse_training(configs.override(values, trained.assignments), command)
        else:
            assert script == "scripts/nstyle.py"
            found = transfer.parser().parse_args(options)
            configs.parse(configs.override(configs.read_file(PROJECT / found.config), found.assignments), command)


def test_every_test_named_in_reliability_exists() -> None:
    named = set(re.findall(r"`(test_\w+)`", (DOCS / "reliability.md").read_text()))
    assert len(named) > 20
    for name in named:
        assert f"def {name}(" in TESTS or (PROJECT / "tests" / f"{name}.py").exists(), name
