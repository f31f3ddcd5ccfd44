"""How pictures and networks are looked at: judges, verdicts, flaws, flicker, what a filter responds to."""
