"""Download, verify and convert pretrained weights and the classic example images."""

from __future__ import annotations

import functools

from styletransfer.cli.options import Parser, file_path


def main(arguments: list[str] | None = None, program: str | None = None) -> int:
    parser = Parser(
        prog=program,
        description="Download, verify and convert pretrained weights and the classic example images.",
        epilog="Exit status: 0 the files are in place; 2 an error, reported in one line.",
    )
    parser.add_argument("name", nargs="?", help="squeezenet, vgg16, vgg19, vgg19_16x or images; --list shows all")
    parser.add_argument("--list", action="store_true", help="show what can be fetched, and what is already there")
    parser.add_argument("--source", metavar="NAME", help="use only this source (default: all, in order)")
    parser.add_argument(
        "--from",
        "--file",
        metavar="FILE",
        type=file_path,
        dest="file",
        help="convert a file that was downloaded in another way",
    )
    parser.add_argument("--force", action="store_true", help="replace existing files")
    options = parser.parse_args(arguments)

    from styletransfer.cli.guard import guarded

    def fetch() -> int:
        from styletransfer.support.errors import UserError
        from styletransfer.weights import downloads, sources

        table = sources.catalogue()
        say = functools.partial(print, flush=True)
        if options.list:
            say(downloads.listing(table))
        elif options.name is None:
            raise UserError(f"no name given; expected one of: {', '.join(table)}")
        elif options.file is not None:
            downloads.convert(options.name, table, options.file, say, options.source, options.force)
        else:
            downloads.fetch(options.name, table, say, options.source, options.force)
        return 0

    return guarded(fetch)
