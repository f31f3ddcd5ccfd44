"""Videos in a trained style: frames, times, colours, sound, and videos that are interrupted, killed or refused."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from feedforward_helpers import random_style
from helpers import ENGINE, random_picture
from processes import PROJECT, python

from scripts.stylize import main
from styletransfer.feedforward import style_file, videos
from styletransfer.feedforward.jobs import Job
from styletransfer.feedforward.stylize import Stylizer
from styletransfer.pictures import images, video_files

FRAMES = videos.PART + 4
HEIGHT, WIDTH = 50, 66  # at fewer than 33, x264 has a case of its own, whose bytes now and then differ
RATE = 44100
PARTS = Path(".clip_random.mp4.parts")


def scene(index: int, height: int = HEIGHT, width: int = WIDTH) -> np.ndarray:
    """A frame that is different in every corner, and of smooth colours, which survive half the chroma's resolution."""
    y, x = np.mgrid[0:height, 0:width].astype(float)
    red, green, blue = 200 * x / width + 20, 200 * y / height + 20, np.full_like(x, 40 + 3 * (index % 40))
    return np.rint(np.stack([red, green, blue], axis=2)).astype(np.uint8)


def tone(seconds: float) -> np.ndarray:
    return (0.4 * np.sin(2 * np.pi * 440 * np.arange(int(RATE * seconds)) / RATE)).astype(np.float32)[None]


def film(path, frames, times=None, unit=Fraction(1, 12800), sound=None, rotation=0, colors=(2, 2, 2), codec="libx264"):
    """Write a video of RGB frames at times, 25 a second by default, with a tone."""
    times = [round(index / (25 * unit)) for index in range(len(frames))] if times is None else times
    height, width = frames[0].shape[:2]
    with av.open(str(path), "w") as container:
        options = {"crf": "0", "preset": "ultrafast"} if codec == "libx264" else {}
        video = container.add_stream(codec, rate=25, options=options)
        video.width, video.height = width, height
        video.pix_fmt = "yuv444p" if codec == "libx264" else "yuv420p"
        video.time_base = video.codec_context.time_base = unit
        context = video.codec_context
        context.colorspace, context.color_primaries, context.color_trc = colors
        if rotation:
            video.set_display_rotation(rotation)
        voice = container.add_stream(sound, rate=RATE, layout="mono") if sound else None
        if voice is not None:
            wave = tone(float(times[-1] * unit) + 0.04)
            wave = wave if sound == "aac" else np.rint(wave * 32767).astype(np.int16)
            heard = av.AudioFrame.from_ndarray(wave, "fltp" if sound == "aac" else "s16", "mono")
            heard.sample_rate, heard.pts = RATE, 0
            container.mux(voice.encode(heard))
            container.mux(voice.encode())
        for pixels, time in zip(frames, times):
            frame = av.VideoFrame.from_ndarray(pixels, "rgb24")
            frame.colorspace, frame.color_range = colors[0], 2
            frame = frame.reformat(format=video.pix_fmt, src_color_range=2, dst_color_range=1)
            frame.pts, frame.time_base = time, unit
            container.mux(video.encode(frame))
        container.mux(video.encode())


def shown(path) -> list[tuple[Fraction, np.ndarray]]:
    """The time and the RGB values of every frame, by formulas of the standards rather than FFmpeg's conversion."""
    found = []
    with av.open(str(path)) as container:
        for frame in container.decode(video=0):
            found.append((frame.pts * frame.time_base, rgb(frame)))
    return found


def rgb(frame) -> np.ndarray:
    """RGB 0..255 of a frame in limited range, with the matrix of its tag."""
    red, blue = {1: (0.2126, 0.0722), 6: (0.299, 0.114), 9: (0.2627, 0.0593)}[frame.colorspace]
    assert frame.color_range == 1 and frame.format.name == "yuv420p"
    height, width = frame.height, frame.width
    values = frame.to_ndarray().astype(float)
    luma = (values[:height] - 16) * 255 / 219
    chroma = (values[height:].reshape(2, height // 2, width // 2) - 128) * 255 / 224
    cb, cr = chroma.repeat(2, axis=1).repeat(2, axis=2)
    r, b = luma + 2 * (1 - red) * cr, luma + 2 * (1 - blue) * cb
    return np.stack([r, (luma - red * r - blue * b) / (1 - red - blue), b], axis=2)


def packets(path) -> list[bytes]:
    with av.open(str(path)) as container:
        return [bytes(packet) for packet in container.demux(audio=0) if packet.size]


def command(*arguments: str) -> int:
    return main([*arguments, "--style", "random.npz", "--precision", "float32"])


def refused(capsys: pytest.CaptureFixture, *arguments: str) -> str:
    before = sorted(Path().rglob("*"))
    capsys.readouterr()
    assert command(*arguments) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: ")
    assert sorted(Path().rglob("*")) == before
    return line


@pytest.fixture(scope="module")
def studio(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a style, a video with sound, and its result."""
    folder = tmp_path_factory.mktemp("studio")
    style_file.write(folder / "random.npz", random_style())
    film(folder / "clip.mp4", [scene(index) for index in range(FRAMES)], sound="aac")
    done = python(
        *(PROJECT / "scripts" / "stylize.py", folder / "clip.mp4", "--style", folder / "random.npz"),
        *("--precision", "float32", "--output", folder / "whole.mp4"),
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"{folder / 'whole.mp4'}\n"
    assert f"clip.mp4: frame {FRAMES} of {FRAMES}" in done.stderr
    return folder


@pytest.fixture
def place(studio: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of one test, with the style and the video."""
    for name in ("random.npz", "clip.mp4"):
        shutil.copy(studio / name, tmp_path)
    monkeypatch.chdir(tmp_path)
    return tmp_path


# Frames, times, sound.


def test_every_frame_is_stylised_and_the_sound_kept(studio: Path) -> None:
    found, source = shown(studio / "whole.mp4"), list(video_files.Reader(studio / "clip.mp4").frames())
    assert [time for time, _ in found] == [Fraction(index, 25) for index in range(FRAMES)]
    assert packets(studio / "whole.mp4") == packets(studio / "clip.mp4")
    stylizer = Stylizer(random_style(), ENGINE, "float32")
    for index in (0, 30, FRAMES - 1):
        expected = images.to_bytes(stylizer(source[index].pixels / 255)).astype(float)
        luma = np.array([0.299, 0.587, 0.114])
        assert np.abs((found[index][1] - expected) @ luma).mean() < 4
    assert not list(studio.glob(".*"))


def test_the_result_is_beside_the_video_unless_it_is_named(place: Path, capsys: pytest.CaptureFixture) -> None:
    film("short.mov", [scene(0)] * 2)
    assert command("short.mov") == 0
    assert command("short.mov", "--output", "named.mp4") == 0
    assert command("short.mov", "--output", "folder") == 0
    images.write("photo.jpg", random_picture(20, 24, seed=0))
    assert command("photo.jpg") == 0
    made = ["short_random.mp4", "named.mp4", "folder/short.mp4", "photo_random.jpg"]
    assert capsys.readouterr().out.splitlines() == made
    assert all(Path(name).is_file() for name in made)


def test_a_folder_of_pictures_and_videos(place: Path, capsys: pytest.CaptureFixture) -> None:
    Path("all").mkdir()
    film("all/b.webm", [scene(0)] * 2, unit=Fraction(1, 1000), codec="libvpx")
    Path("all/c.mp4").write_text("no video")
    images.write("all/a.png", random_picture(20, 24, seed=0))
    assert command("all", "--output", "results") == 1
    captured = capsys.readouterr()
    assert captured.out.splitlines() == ["results/a.png", "results/b.mp4"]
    assert [line for line in captured.err.splitlines() if line.startswith("error: ")] == [
        "error: video all/c.mp4: damaged, or not a video (.mp4, .mov, .m4v, .mkv, .webm, .avi)"
    ]
    assert sorted(path.name for path in Path("results").iterdir()) == ["a.png", "b.mp4"]


@pytest.mark.parametrize(("suffix", "unit"), [("mp4", Fraction(1, 90000)), ("mkv", Fraction(1, 1000))])
def test_times_of_a_variable_frame_rate_are_kept(place: Path, suffix: str, unit: Fraction) -> None:
    seconds = [Fraction(number, 1000) for number in (40, 80, 95, 400, 433, 466, 1500)]
    film(f"vfr.{suffix}", [scene(index) for index in range(7)], [int(time / unit) for time in seconds], unit)
    assert command(f"vfr.{suffix}", "--output", "out.mp4", "--strength", "0") == 0
    assert [time for time, _ in shown("out.mp4")] == seconds


def test_the_last_frame_is_shown_as_long_as_in_the_source(place: Path) -> None:
    film("short.mp4", [scene(index) for index in range(5)])
    assert command("short.mp4", "--output", "out.mp4") == 0
    with av.open("short.mp4") as source, av.open("out.mp4") as result:
        assert result.streams.video[0].duration * result.streams.video[0].time_base == Fraction(5, 25)
        assert result.duration == source.duration


def test_sound_that_does_not_fit_is_encoded(place: Path, caplog: pytest.LogCaptureFixture) -> None:
    film("old.avi", [scene(index) for index in range(25)], unit=Fraction(1, 25), sound="pcm_s16le")
    assert command("old.avi", "--output", "out.mp4") == 0
    assert [record.getMessage() for record in caplog.records if record.levelname == "WARNING"] == [
        "video old.avi: its sound (pcm_s16le) does not fit into MP4 and is encoded as AAC"
    ]
    with av.open("out.mp4") as container:
        assert container.streams.audio[0].codec_context.name == "aac"
        heard = np.concatenate([frame.to_ndarray()[0] for frame in container.decode(audio=0)])
    assert heard.size / RATE == pytest.approx(1, abs=0.05)
    assert np.abs(np.fft.rfft(heard)).argmax() * RATE / heard.size == pytest.approx(440, abs=2)


# Sizes, rotation, colours: with --strength 0, the result is the source.


@pytest.mark.parametrize("rotation", [0, 90, 180, -90])
def test_frames_are_upright(place: Path, rotation: int) -> None:
    film("phone.mp4", [scene(0)] * 2, rotation=rotation)
    with av.open("phone.mp4") as container:
        assert next(container.decode(video=0)).rotation in (rotation, rotation % 360, rotation - 360)
    assert command("phone.mp4", "--output", "out.mp4", "--strength", "0") == 0
    expected = np.rot90(scene(0), rotation // 90)  # counterclockwise, as the rotation that a frame names
    with av.open("out.mp4") as container:
        assert next(container.decode(video=0)).rotation == 0
    for _, found in shown("out.mp4"):
        assert found.shape == expected.shape
        assert np.abs(found - expected).max() < 12 and np.abs(found - expected).mean() < 3


@pytest.mark.parametrize(
    ("matrix", "shows"),
    [
        ((1, 0, 0, 1), lambda pixels: pixels),
        ((-1, 0, 0, 1), lambda pixels: pixels[:, ::-1]),
        ((1, 0, 0, -1), lambda pixels: pixels[::-1]),
        ((0, 1, 1, 0), lambda pixels: pixels.transpose(1, 0, 2)),
        ((0, 1, -1, 0), lambda pixels: np.rot90(pixels, -1)),
        ((0, -1, -1, 0), lambda pixels: np.rot90(pixels, 2).transpose(1, 0, 2)),
    ],
)
def test_frames_are_turned_and_mirrored_as_a_matrix_says(matrix, shows) -> None:
    pixels = scene(0)
    np.testing.assert_array_equal(video_files.upright(pixels, tuple(65536 * value for value in matrix)), shows(pixels))


def test_odd_sides_get_one_pixel_more(place: Path) -> None:
    odd = scene(0, 27, 35)
    film("odd.mp4", [odd] * 2)
    assert command("odd.mp4", "--output", "out.mp4", "--strength", "0") == 0
    for _, found in shown("out.mp4"):
        assert found.shape == (28, 36, 3)
        assert np.abs(found[:27, :35] - odd).mean() < 4
        assert np.abs(found - np.pad(odd, ((0, 1), (0, 1), (0, 0)), mode="edge")).max() < 16


def test_larger_frames_are_reduced(place: Path) -> None:
    film("phone.mp4", [scene(0, 40, 64)] * 2, rotation=90)
    assert command("phone.mp4", "--output", "out.mp4", "--strength", "0", "--size", "32") == 0
    for _, found in shown("out.mp4"):
        assert found.shape == (32, 20, 3)
        assert np.abs(found - np.rot90(scene(0, 20, 32))).mean() < 4


@pytest.mark.parametrize(
    ("tags", "tagged_as"),
    [((2, 2, 2), (6, 6, 6)), ((1, 1, 1), (1, 1, 1)), ((9, 9, 18), (9, 9, 18))],
    ids=["without a description", "BT.709", "HLG"],
)
@pytest.mark.parametrize("color", [(0, 0, 0), (128, 128, 128), (255, 255, 255), (220, 40, 30), (20, 60, 200)])
def test_colours_are_kept(place: Path, color, tags, tagged_as) -> None:
    film("plain.mp4", [np.full((16, 16, 3), color, np.uint8)] * 2, colors=tags)
    assert command("plain.mp4", "--output", "out.mp4", "--strength", "0") == 0
    with av.open("out.mp4") as container:
        context = container.streams.video[0].codec_context
        assert (context.colorspace, context.color_primaries, context.color_trc) == tagged_as
        assert context.color_range == 1
    for _, found in shown("out.mp4"):
        assert np.abs(found - color).max() <= 4


def test_large_frames_without_a_description_are_bt709(place: Path) -> None:
    film("hd.mp4", [np.full((720, 720, 3), 90, np.uint8)])
    assert video_files.Reader(Path("hd.mp4")).coding.colors == video_files.Colors(1, 1, 1)


# Interrupted, killed, resumed.

# Sends its own process a signal just before, or just after, a file gets its name.
DISTURBED = """
import os, sys
def replace(source, target, *, real=os.replace):
    here = os.path.basename(target) == {name!r}
    if here and not {after}:
        os.kill(os.getpid(), {number})
    real(source, target)
    if here and {after}:
        os.kill(os.getpid(), {number})
os.replace = replace
sys.path.insert(0, {project!r})
from scripts.stylize import main
sys.exit(main(["clip.mp4", "--style", "random.npz", "--precision", "float32"]))
"""


def disturbed(number: int, name: str, after: bool = True) -> subprocess.CompletedProcess[str]:
    code = DISTURBED.format(number=int(number), name=name, after=after, project=str(PROJECT))
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=False)


def kept() -> int:
    """The number of finished frames of the unfinished video."""
    encoded = [int(path.stem.partition("-")[2]) + 1 for path in PARTS.glob("*.nut")]
    return max([*encoded, *(int(path.stem) + 1 for path in PARTS.glob("*.npz"))])


@pytest.fixture
def stylised(monkeypatch: pytest.MonkeyPatch) -> list[None]:
    """Has an element for every frame that went through the network."""
    seen: list[None] = []
    original = Stylizer.__call__

    def counted(self, picture):
        seen.append(None)
        return original(self, picture)

    monkeypatch.setattr(Stylizer, "__call__", counted)
    return seen


LAST_OF_A_PART = f"{videos.PART - 1:08d}"


@pytest.mark.parametrize(
    ("number", "name", "after", "status"),
    [
        (signal.SIGKILL, "00000005.npz", False, -signal.SIGKILL),
        (signal.SIGKILL, f"00000000-{LAST_OF_A_PART}.nut", True, -signal.SIGKILL),  # its frames are there as well
        (signal.SIGKILL, "clip_random.mp4", False, -signal.SIGKILL),
        (signal.SIGKILL, "clip_random.mp4", True, -signal.SIGKILL),  # the parts are there as well
        (signal.SIGINT, "00000005.npz", True, 75),
        (signal.SIGTERM, f"{LAST_OF_A_PART}.npz", True, 75),
    ],
)
def test_a_video_that_is_ended_and_resumed_is_the_same(
    studio: Path, place: Path, stylised: list[None], number: int, name: str, after: bool, status: int
) -> None:
    done = disturbed(number, name, after)
    assert done.returncode == status, done.stderr
    frames = kept()
    if status == 75:
        assert done.stderr.splitlines()[-1] == (
            f"interrupted after {frames} frames, which are kept: run again with --resume"
        )
    assert command("clip.mp4", "--resume") == 0
    assert len(stylised) == FRAMES - frames
    assert Path("clip_random.mp4").read_bytes() == (studio / "whole.mp4").read_bytes()
    assert not PARTS.exists()
    assert command("clip.mp4", "--resume") == 0 and len(stylised) == FRAMES - frames


def test_an_unfinished_video_is_not_mixed_with_another(
    studio: Path, place: Path, capsys: pytest.CaptureFixture, stylised: list[None]
) -> None:
    disturbed(signal.SIGKILL, "00000002.npz")
    assert "clip_random.mp4 is unfinished; --resume continues, --force starts over" in refused(capsys, "clip.mp4")
    for option in (("--strength", "0.5"), ("--keep-colors",), ("--size", "30")):
        line = refused(capsys, "clip.mp4", "--resume", *option)
        assert f"--resume: {option[0]} has changed" in line and line.endswith("start over with --force")
    shutil.copy("clip.mp4", "same.mp4")
    film("clip.mp4", [scene(0)] * 3)
    assert "--resume: video has changed" in refused(capsys, "clip.mp4", "--resume")
    shutil.copy("same.mp4", "clip.mp4")
    assert not stylised
    assert command("clip.mp4", "--force") == 0
    assert len(stylised) == FRAMES
    assert Path("clip_random.mp4").read_bytes() == (studio / "whole.mp4").read_bytes()


def test_a_video_that_is_being_made_is_left_alone(place: Path, capsys: pytest.CaptureFixture) -> None:
    PARTS.mkdir()
    with videos._locked(Job(Path("clip.mp4"), Path("clip_random.mp4"))):
        assert "clip_random.mp4 is being made by another process" in refused(capsys, "clip.mp4")


# Refused.


def damage(name: str) -> None:
    """Make a file that is no usable video."""
    whole = Path("clip.mp4").read_bytes()
    if name == "sound.mp4":
        with av.open(name, "w") as container:
            voice = container.add_stream("aac", rate=RATE, layout="mono")
            heard = av.AudioFrame.from_ndarray(tone(0.2), "fltp", "mono")
            heard.sample_rate = RATE
            container.mux(voice.encode(heard))
            container.mux(voice.encode())
    elif name == "frameless.mp4":  # everything is there but the frames
        start = whole.index(b"mdat") + 4
        end = whole.index(b"moov") - 4
        Path(name).write_bytes(whole[:start] + bytes(end - start) + whole[end:])
    else:
        Path(name).write_bytes({"empty.mp4": b"", "text.mp4": b"no video\n" * 99, "cut.mp4": whole[:2000]}[name])


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("empty.mp4", "damaged, or not a video"),
        ("text.mp4", "damaged, or not a video"),
        ("cut.mp4", "damaged, or not a video"),
        ("sound.mp4", "there are no pictures in it"),
        ("frameless.mp4", "none of its frames can be decoded"),
    ],
)
def test_a_broken_video_is_one_line(place: Path, capsys: pytest.CaptureFixture, name: str, words: str) -> None:
    damage(name)
    assert f"video {name}: {words}" in refused(capsys, name)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("none.mp4",), "video none.mp4: no such file"),
        (("clip.mp4", "--output", "out.avi"), "--output out.avi: expected .mp4"),
        (("clip.mp4", "--output", "clip.mp4", "--force"), "clip.mp4 is read by this command"),
        (("clip.mp4", "random.npz"), "random.npz is a trained style; the command for it is"),
        (("clip.mp4", "--memory", "10KB"), "expected a smaller --size"),
    ],
)
def test_a_mistake_is_one_line(
    place: Path, capsys: pytest.CaptureFixture, arguments: tuple[str, ...], words: str
) -> None:
    assert words in refused(capsys, *arguments)


def test_a_video_that_is_there_is_not_overwritten_unasked(place: Path, capsys: pytest.CaptureFixture) -> None:
    Path("clip_random.mp4").write_bytes(b"mine")
    assert "clip_random.mp4 exists already; --force overwrites" in refused(capsys, "clip.mp4")
    assert command("clip.mp4", "--resume") == 0
    assert Path("clip_random.mp4").read_bytes() == b"mine"


def test_damage_within_a_video_costs_only_what_is_damaged(place: Path, caplog: pytest.LogCaptureFixture) -> None:
    film("part.mp4", [scene(index) for index in range(20)])
    data = bytearray(Path("part.mp4").read_bytes())
    with av.open("part.mp4") as container:
        hurt = [packet for packet in container.demux(video=0) if packet.size][12]
        data[hurt.pos : hurt.pos + hurt.size] = bytes(hurt.size)
    Path("part.mp4").write_bytes(data)
    assert command("part.mp4") == 0
    assert "video part.mp4: damaged; packets that cannot be decoded are left out: 1" in caplog.text
    assert len(shown("part_random.mp4")) == 19
