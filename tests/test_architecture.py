"""The structure of the project: imports point one way, and much of it works without MXNet."""

from __future__ import annotations

import ast
import re

import pytest
from processes import NSTYLE, PROJECT, output_of, python

FOLDERS = ("scripts", "styletransfer", "models")
# The packages of the library in order: each may import itself and those before it.
PACKAGES = (
    *("support", "pictures", "config", "weights", "engines"),
    *(
        "losses",
        "optimization",
        "feedforward",
        "session",
        "training",
        "api",
        "sweeps",
        "judging",
        "bench",
        "page",
        "cli",
    ),
)
FILES = sorted(path for folder in FOLDERS for path in (PROJECT / folder).rglob("*.py"))
every_file = pytest.mark.parametrize("path", FILES, ids=[str(path.relative_to(PROJECT)) for path in FILES])

_WITHOUT = """
import sys
from importlib.machinery import PathFinder

find = PathFinder.find_spec
PathFinder.find_spec = lambda name, *rest: None if name in {names!r} else find(name, *rest)
"""
WITHOUT_MXNET = _WITHOUT.format(names=["mxnet"])
WITHOUT_ENGINES = _WITHOUT.format(names=["mxnet", "torch"])


def imported(path, code=None):
    """The modules that a file, or other code in its place, imports anywhere, with the imported names."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text() if code is None else code)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            relative_to = path.relative_to(PROJECT).parts[: -node.level] if node.level else ()
            package = ".".join([*relative_to, *([node.module] if node.module else [])])
            found |= {f"{package}.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.Call) and getattr(node.func, "attr", getattr(node.func, "id", "")) in (
            "import_module",
            "__import__",
        ):
            found |= {argument.value for argument in node.args if isinstance(argument, ast.Constant)}
    return found


def packages(path):
    return {name.partition(".")[0] for name in imported(path)}


def test_the_files_are_found():
    assert {path.relative_to(PROJECT).parts[0] for path in FILES} == set(FOLDERS)
    assert "mxnet" in packages(PROJECT / "models" / "runtime.py")
    assert "styletransfer" in packages(NSTYLE)


@every_file
def test_imports_point_one_way(path):
    folder = path.relative_to(PROJECT).parts[0]
    allowed = {
        "scripts": {"styletransfer", "models"},
        "styletransfer": {"styletransfer", "models"},
        "models": {"models"},
    }
    assert packages(path) & {"scripts", "styletransfer", "models", "tests"} <= allowed[folder]


def test_every_module_of_the_library_is_in_a_package():
    library = PROJECT / "styletransfer"
    assert {path.name for path in library.glob("*/__init__.py") for path in [path.parent]} == set(PACKAGES)
    assert {path.name for path in library.glob("*.py")} == {"__init__.py", "__main__.py"}


def later_packages(package, names):
    """The packages of the library among imported names that come after `package`."""
    imports = {name.split(".")[1] for name in names if name.startswith("styletransfer.")}
    return imports - set(PACKAGES[: PACKAGES.index(package) + 1])


@every_file
def test_a_package_imports_only_packages_before_it(path):
    parts = path.relative_to(PROJECT).parts
    if parts[0] == "styletransfer" and len(parts) > 2:
        assert not later_packages(parts[1], imported(path))


@pytest.mark.parametrize(
    "line",
    [
        "import styletransfer.session.session",
        "from styletransfer import session",
        "from ..session import session",
        "from .. import session",
    ],
)
def test_an_import_of_a_later_package_is_detected(line):
    path = PROJECT / "styletransfer" / "losses" / "example.py"
    assert later_packages("losses", imported(path, f"from styletransfer import engines, losses\n{line}")) == {"session"}


def test_contributing_lists_the_packages_in_this_order():
    text = (PROJECT / "CONTRIBUTING.md").read_text()
    listed = text[text.index("\nstyletransfer/ ") : text.index("\nconfigs/ ")]
    assert tuple(re.findall(r"^  (\w+)/ ", listed, re.MULTILINE)) == PACKAGES


@every_file
def test_only_one_module_imports_mxnet(path):
    assert ("mxnet" in packages(path)) == (path == PROJECT / "models" / "runtime.py")


@every_file
def test_a_framework_is_known_in_its_folder_and_its_converters_only(path):
    place = path.relative_to(PROJECT)
    engines = PROJECT / "styletransfer" / "engines"
    if "models.runtime.load_mxnet" in imported(path):
        assert path.parent == engines / "mxnet" or (place.parts[0] == "models" and path.stem.endswith("mxnet"))
    if "torch" in packages(path):
        there = path.parent in (engines / "torch", PROJECT / "styletransfer" / "bench")
        assert there or (place.parts[0] == "models" and path.stem.endswith("torch"))
    others = {"styletransfer.engines.mxnet", "styletransfer.engines.torch"} - {
        f"styletransfer.engines.{path.parent.name}"
    }
    for name in imported(path):
        assert not name.startswith(tuple(others)) or path == engines / "choice.py"


@every_file
def test_one_module_imports_gradio(path):
    assert bool(packages(path) & {"gradio", "fastapi", "pandas"}) == (
        path == PROJECT / "styletransfer" / "page" / "layout.py"
    )


@every_file
def test_one_reader_opens_picture_files(path):
    """Metadata and marks are read from the same formats; the making of the bundled network has pictures of its own."""
    calls = {ast.unparse(node.func) for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call)}
    if path.parent.name != "distillation":
        allowed = path.parent.name == "pictures" and path.stem in ("images", "marks", "metadata")
        assert ("Image.open" in calls) == allowed


@every_file
def test_nothing_imports_a_script(path):
    scripts = {script.stem for script in (PROJECT / "scripts").glob("*.py")}
    assert not packages(path) & scripts


@pytest.mark.parametrize("path", sorted((PROJECT / "scripts").glob("*.py")), ids=lambda path: path.name)
def test_scripts_do_nothing_when_imported(path):
    """Only docstring, imports, the path, constants, functions, and the call of main are at the top level."""
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Call):
            assert ast.unparse(node.value).startswith("sys.path.insert(0, ")
        elif isinstance(node, ast.If):
            assert ast.unparse(node) == "if __name__ == '__main__':\n    sys.exit(main())"
        else:
            assert isinstance(
                node, (ast.Expr, ast.Import, ast.ImportFrom, ast.FunctionDef, ast.ClassDef, ast.Assign, ast.AnnAssign)
            )


def test_much_works_without_mxnet():
    modules = (
        *("config", "pictures.images", "session.curves", "support.errors", "weights", "support.commands"),
        *("support.files", "pictures.pixels", "config.normalizations"),
    )
    code = "".join(f"import styletransfer.{module}\n" for module in modules)
    code += "from styletransfer import config\n"
    code += "for name in __import__('models').names():\n"
    code += "    config.parse({'model': name, 'content': {'image': 'a'}, 'style': {'images': 'b'}}, 'x').spec\n"
    assert output_of(WITHOUT_MXNET + code + "print('mxnet' in sys.modules)") == "False"


def test_mxnet_cannot_be_imported_in_these_tests():
    code = (
        "from models.runtime import load_mxnet\ntry:\n    load_mxnet()\nexcept ModuleNotFoundError as e:\n    print(e)"
    )
    assert output_of(WITHOUT_MXNET + code) == "No module named 'mxnet'"


@pytest.mark.parametrize("path", sorted((PROJECT / "scripts").glob("*.py")), ids=lambda path: path.name)
def test_help_needs_only_python(path):
    done = python("-X", "importtime", path, "--help")
    assert done.returncode == 0 and done.stdout.startswith("usage: ")
    loaded = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert "argparse" in loaded
    assert not loaded & {"mxnet", "numpy", "pydantic", "PIL", "matplotlib", "yaml", "pooch", "requests"}
