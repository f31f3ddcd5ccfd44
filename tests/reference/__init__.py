"""An independent implementation of the source systems in float64, written from their formulas.

It shares no code with the library: `formulas` are the losses, `numpy_vgg` and `torch_vgg` the networks,
`spaces` the pixels, `descent` the optimisers.
"""
