"""What `doctor` shows: the choice of engine, and what is missing with the command that gets it."""

from __future__ import annotations

import pytest

from styletransfer import __version__
from styletransfer.cli import doctor
from styletransfer.engines import choice, choose
from styletransfer.support import project
from styletransfer.weights import sources


def shown(capsys: pytest.CaptureFixture, status: int = 0) -> list[tuple[str, str]]:
    assert doctor.main([]) == status
    return [
        (label, text.strip())
        for label, _, text in (line.partition(" ") for line in capsys.readouterr().out.splitlines())
    ]


def test_it_shows_what_runs_use_on_one_screen(capsys: pytest.CaptureFixture) -> None:
    lines = shown(capsys)
    facts = dict(lines)
    assert len(lines) <= 24
    assert facts["nstyle"].startswith(f"{__version__}, ")
    assert facts["auto"] == str(choose())
    assert choose().engine in facts["engines"]
    assert facts["configs"] == str(project.PROJECT_FOLDER / "configs")


def test_what_is_missing_has_a_command(capsys: pytest.CaptureFixture) -> None:
    missing = [text for label, text in shown(capsys) if label == "missing"]
    for name, targets in sources.catalogue().items():
        absent = not all(target.path.exists() for target in targets)
        assert any(line.endswith(f": python scripts/fetch.py {name}") for line in missing) == absent


@pytest.mark.parametrize("installed", [True, False])
def test_the_page_and_pytorch_are_optional(
    capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch, installed: bool
) -> None:
    monkeypatch.setattr(choice.importlib.util, "find_spec", lambda name: None)
    monkeypatch.setattr(project, "IS_INSTALLED", installed)
    monkeypatch.delenv(choice.VARIABLE, raising=False)
    lines = shown(capsys, status=2)
    assert ("engines", "none") in lines
    assert dict(lines)["auto"].startswith("neither MXNet nor PyTorch is installed")
    torch = "pip install 'nstyle[torch]'" if installed else "pip install -r requirements-torch.txt"
    assert ("missing", f"PyTorch, for GPUs and bfloat16: {torch}") in lines
