"""The examination of pictures and networks: judges, verdicts, flaws, flicker, the responses of filters."""
