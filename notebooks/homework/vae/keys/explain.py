"""Question 7, answered in words and marked by a person."""

from course_lib.grading.question import Written

QUESTION = Written(
    "explain",
    10,
    """## 7. In words

A classmate trains a VAE with a code of 20 dimensions on binarized MNIST. The loss is the *mean* of the binary
cross-entropy over the 784 pixels plus the KL, summed over the 20 dimensions. The loss falls quickly to 0.27 and stays
there. The KL is 0 in every dimension, and every reconstruction is the same grey blob. The classmate concludes: "The
loss is far below the 90 nats of the papers, so this is a good model; the network is just too small to draw digits." In
at most six sentences: What has happened, and why is this result the best that the loss allows? Why can 0.27 not be
compared with 90? Suppose now that the cross-entropy is summed over the pixels. For which of the following changes is
the negative loss still a lower bound on log P(x): the KL multiplied by β = 4, the KL multiplied by β = ¼, or free
bits?""",
    """Taking the mean over the pixels divides the reconstruction term by 784 but not the KL, so this is a β-VAE with
β = 784: a nat of information in z would have to save 784 nats of reconstruction, far more than it can. The cheapest
code therefore contains no information, and q becomes the prior in every dimension (posterior collapse). Without
information about x, the best that a decoder can do is to give each pixel its average over all digits. This is the grey
blob; a larger network would produce the same one. The 0.27 is in nats per pixel and the 90 is in nats per image: 784 ·
0.27 is about 210 nats, far worse than 90. With β = 4, the negative loss is still a lower bound on log P(x), because the
KL is never negative, but it is a looser one. With β = ¼, it need not be a bound, because less than the whole KL is
subtracted. With free bits, it is a lower bound, because max(λ, KL) is never smaller than the KL (but the plain bound of
the same model is the better number to report).""",
)
