#!/usr/bin/env python3
"""Paint a style picture by program.

python scripts/paint.py night --output input/night.jpg --seed 7
python scripts/paint.py --list
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

JPEG_QUALITY = 85
FORMATS = {".jpg": "JPEG", ".jpeg": "JPEG", ".png": "PNG"}


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description="Paint a style picture by program.",
        epilog="Exit status: 0 done; 2 something in the input is at fault.",
    )
    parser.add_argument("style", nargs="?", help="what to paint; --list names all")
    parser.add_argument("--list", action="store_true", help="name all styles and leave")
    parser.add_argument("--output", metavar="FILE", type=Path, help="a .jpg or .png (default: STYLE.jpg)")
    parser.add_argument("--seed", type=int, default=7, help="of all chance (default: %(default)s)")
    parser.add_argument("--width", type=int, default=1024, help="pixels (default: %(default)s)")
    parser.add_argument("--height", type=int, default=768, help="pixels (default: %(default)s)")
    options = parser.parse_args(arguments)

    from PIL import Image

    from styletransfer import commands, painting
    from styletransfer.errors import UserError
    from styletransfer.files import written_whole

    def paint() -> int:
        if options.list:
            for name, description in painting.DESCRIPTIONS.items():
                print(f"{name:8} {description}")
            return 0
        if options.style is None:
            raise UserError(f"no style given; expected one of: {', '.join(painting.STYLES)}")
        output = options.output or Path(f"{options.style}.jpg")
        if output.suffix.lower() not in FORMATS:
            raise UserError(f"--output {output}: expected a name that ends in {', '.join(FORMATS)}")
        if not output.parent.is_dir():
            raise UserError(f"--output {output}: there is no folder {output.parent}")
        picture = painting.paint(options.style, options.height, options.width, options.seed)
        with written_whole(output) as stream:
            image_format = FORMATS[output.suffix.lower()]
            Image.fromarray(picture).save(stream, image_format, quality=JPEG_QUALITY, progressive=True)
        print(output)
        return 0

    return commands.guarded(paint)


if __name__ == "__main__":
    sys.exit(main())
