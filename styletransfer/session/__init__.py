"""One session: a task, a picture or a style in training, from its config to its output folder."""
