"""Question 7, in words: a person reads and marks it."""

from course_lib.grading.question import Written

QUESTION = Written(
    "explain",
    10,
    """## 7. In words

A classmate trains a VAE with 20 numbers in z on binarized MNIST. The loss is the *mean* of the binary cross-entropy over
the 784 pixels plus the KL, added up over the 20 dimensions. It falls quickly to 0.27 and stays there. The KL is 0 in
every dimension, and every reconstruction is the same grey blot. The classmate concludes: "The loss is far below the 90
nats of the papers, so this is a good model, and the network is too small to draw." In six sentences at most: what has
happened, and why was it the best that this loss allowed? Why can 0.27 not be compared with 90? And which of the
following leaves the number, once it is computed properly, a bound on log P(x): a KL multiplied by β = 4, a KL multiplied
by β = ¼, free bits?""",
    """The mean over the pixels divides the reconstruction by 784 but not the KL, so this is a β-VAE with β = 784: a nat of
information in z costs 784 times what it brings, the cheapest code says nothing, and q becomes the prior in every
dimension (posterior collapse). Without information about x the best a decoder can do is each pixel's average over all
digits, which is the grey blot; a larger network would draw the same one. The 0.27 is nats per pixel and the 90 is nats
per image: 784 · 0.27 is about 210 nats, far worse than 90. With β = 4 the reconstruction minus 4 KL is still below
log P(x), because the KL is never negative, but it is a looser bound. With β = ¼ it is no bound, because less than the
whole KL is subtracted. With free bits it is one, because max(λ, KL) is never smaller than the KL (but the plain bound of
the same model is the better number to report).""",
)
