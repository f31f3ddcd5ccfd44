"""How the bundled network is made: pictures to learn from, the student beside its teacher, the training."""
