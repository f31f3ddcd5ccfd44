"""Compare two loss curves: print their first difference and exit 1, or exit 0."""

from __future__ import annotations

from styletransfer.cli.options import Parser, file_path


def main(arguments: list[str] | None = None, program: str | None = None) -> int:
    parser = Parser(
        prog=program, description="Compare two loss curves.", epilog="Exit status: 0 equal; 1 different; 2 an error."
    )
    parser.add_argument("first", type=file_path, help="curve.csv, or the output folder it is in")
    parser.add_argument("second", type=file_path, help="curve.csv, or the output folder it is in")
    parser.add_argument("--rtol", type=float, default=1e-4, help="relative tolerance, below 1 (default: %(default)g)")
    parser.add_argument("--atol", type=float, default=0.0, help="absolute tolerance (default: %(default)g)")
    parser.add_argument("--plot", metavar="PNG", type=file_path, help="plot both curves")
    parser.add_argument("--force", action="store_true", help="overwrite a file that this command has not written")
    options = parser.parse_args(arguments)

    from styletransfer.cli.guard import guarded
    from styletransfer.pictures import marks
    from styletransfer.session import curves
    from styletransfer.support import overwriting

    def compare() -> int:
        paths = [path / "curve.csv" if path.is_dir() else path for path in (options.first, options.second)]
        first, second = (curves.read(path) for path in paths)
        if options.plot:
            read = dict(zip(("first", "second"), paths))
            overwriting.check([options.plot], read, options.force, lambda path: marks.read(path) == marks.COMPARISON)
        names = (str(paths[0]), str(paths[1]))
        difference = curves.first_difference(first, second, options.rtol, options.atol, names)
        within = f"{options.rtol:g}" + (f" and, absolutely, {options.atol:g}" if options.atol else "")
        same = ", of the same file" if paths[0].samefile(paths[1]) else ""
        print(difference or f"equal within {within}: {len(first.rows)} rows{same}", flush=True)
        if options.plot:
            curves.plot(
                options.plot, {str(path): curve for path, curve in zip(paths, (first, second))}, marks.COMPARISON
            )
        return 1 if difference else 0

    return guarded(compare)
