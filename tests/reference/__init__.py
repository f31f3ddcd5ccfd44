"""An independent account of what the source systems compute, in float64, written from their formulas.

It shares no code with the library: `formulas` are the losses, `numpy_vgg` and `torch_vgg` the networks they look at,
`spaces` the pixels, `descent` the optimisers.
"""
