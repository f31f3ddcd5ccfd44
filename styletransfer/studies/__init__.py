"""Programs beside the making of pictures: benchmarks, training of the bundled network, judging, visualisation."""
