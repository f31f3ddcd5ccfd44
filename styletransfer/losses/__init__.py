"""Losses: their symbols, executors and targets, total variation, and the objective that adds them up."""
