"""The config of a run: its schema with all defaults, loading, checking, and error messages. Does not need MXNet."""

from styletransfer.config.loading import (
    PNG_KEY,
    bundled,
    dump,
    dump_for_picture,
    find_input,
    is_saved,
    location,
    override,
    parse,
    put,
    read_file,
    settings_of_picture,
)
from styletransfer.config.schema import Config, Init, OptimizerSettings, Output, Region, Schedule
from styletransfer.config.training import StyleTraining, parse_training
from styletransfer.config.yaml_text import read_yaml

__all__ = [
    "PNG_KEY",
    "Config",
    "Init",
    "OptimizerSettings",
    "Output",
    "Region",
    "Schedule",
    "StyleTraining",
    "bundled",
    "dump",
    "dump_for_picture",
    "find_input",
    "is_saved",
    "location",
    "override",
    "parse",
    "parse_training",
    "put",
    "read_file",
    "read_yaml",
    "settings_of_picture",
]
