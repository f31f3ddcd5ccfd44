"""Everything except making pictures: benchmarks, training of the bundled network, judging, visualization."""
