"""An independent account of what the losses and gradients are, in float64, written from the papers' formulas.

It shares no code with the library: `formulas` are the losses, `numpy_vgg` and `torch_vgg` the networks they look at.
"""
