"""How good a generator is, measured on two sets of images: nothing is downloaded, no trained network is needed.

Real and generated images are (N,C,H,W) in [-1,1]. `sliced_wasserstein` compares patches at every scale. Three measures
compare features of a fixed random network (`random_features`) or of the user's: precision is the share of generated
images that look real, recall the share of real images that the generator can make, and the kernel distance says how far
apart the two distributions are. `memorisation` tests whether the generator copies its training images.

Every number depends on how many images there are: compare only numbers from equally many. Both sets lie on one device.
Random numbers come from the CPU, so that every device sees the same ones.
"""
