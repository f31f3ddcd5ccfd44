"""VGG-19 with a sixteenth of its parameters: the encoder of Collaborative Distillation.

H. Wang, Y. Li, Y. Wang, H. Hu, M.-H. Yang: Collaborative Distillation for Ultra-Resolution Universal Style Transfer,
CVPR 2020, https://arxiv.org/abs/2003.08436; the encoder of its stage 5, which ends at conv5_1 (pool5 is only inherited
from the family). The layers are those of VGG-19 with a quarter of the filters. The read-outs, 1 x 1 convolutions with a
ReLU after the style layers, reconstruct the features of the normalised VGG-19; they are not layers of this network.

Departures from the published network:

- Its first layer conv0, 1 x 1, turns RGB, 0..1, into BGR, 0..255, minus a mean. That is a pixel convention, and is
  folded into conv1_1 when the file is read: the same function, up to rounding, away from the border.
- Its convolutions use reflection padding; here they use zero padding as in VGG itself, the first of them with the zeros
  of the image's pixel space, which are the mean colour. For five photographs the features then differ, relative to
  their norm, in relu1_1, 2_1, 3_1, 4_1, 4_2, 5_1 by .13, .08, .13, .20, .30, .19 at 256 pixels and .10, .06, .10, .14,
  .21, .13 at 512, all near the border; their Gram matrices by .024, .011, .026, .078, .109, .087 and .013, .006, .017,
  .035, .053, .033.
"""

from __future__ import annotations

import functools

from models import to_mxnet, vgg
from models.spec import ModelSpec

BLOCKS = ((16,) * 2, (32,) * 2, (64,) * 4, (128,) * 4, (128,))

SPEC = ModelSpec(
    name="vgg19_16x",
    title="VGG-19 with a sixteenth of its parameters",
    nodes=vgg.nodes(BLOCKS),
    pixels=vgg.PIXELS,
    pooling="max",
    weights_file="vgg19_16x.params",
    how_to_get="run `python scripts/fetch.py vgg19_16x`",
    licence="MIT, Huan Wang, Collaborative Distillation",
    source="https://github.com/MingSun-Tse/Collaborative-Distillation",
    style_layers=vgg.STYLE_LAYERS,
    content_layers=vgg.CONTENT_LAYERS,
    cuts=vgg.CUTS,
    read_outs={"relu1_1": 64, "relu2_1": 128, "relu3_1": 256, "relu4_1": 512, "relu5_1": 512},
)

get_symbol = functools.partial(to_mxnet.groups, SPEC)
