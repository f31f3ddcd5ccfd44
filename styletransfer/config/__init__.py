"""The config of a run: its schema with all defaults, loading, checking, and error messages. Does not need MXNet."""

from styletransfer.config.loading import dump, find_input, override, parse, put, read_file, read_yaml
from styletransfer.config.schema import Config, Init, OptimizerSettings, Output, Region, Schedule

__all__ = [
    "Config",
    "Init",
    "OptimizerSettings",
    "Output",
    "Region",
    "Schedule",
    "dump",
    "find_input",
    "override",
    "parse",
    "put",
    "read_file",
    "read_yaml",
]
