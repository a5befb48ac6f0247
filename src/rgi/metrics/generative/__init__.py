"""Metrics of a generator, from a set of generated and a set of real images. No download is necessary.

Images are (N,C,H,W) in [-1,1], and both sets are on the same device. `sliced_wasserstein` compares patches at several
scales. `precision_recall` and `kernel_distance` compare features of images. The features come from a fixed random
network (`random_features`) or from another network. Precision is the share of generated images that look real. Recall
is the share of real images that the generator covers. The kernel distance compares the two distributions.
`memorisation` tests whether the generator copies its training images.

All scores depend on the numbers of images. Compare only scores from equal numbers of images. Random numbers are drawn
on the CPU, so they are the same for all devices.
"""
