"""The training of the bundled network: its pictures, the teacher and the student, the training loop."""
