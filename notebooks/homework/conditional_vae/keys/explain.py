"""Question 7, in words: a person reads and marks it."""

from course_lib.grading.question import Written

QUESTION = Written(
    "explain",
    8,
    """## 7. In words

A classmate has trained a conditional VAE with P(z) = N(0, I). Both networks are told the label, and the rows of one style, made from
codes of real digits, look right. Yet a linear classifier reads the label from draws z of q(z|x, y) with 60 % accuracy,
where chance is 10 %, and many digits that are drawn from the prior look broken. In six sentences at most: what do the
60 % say of q(z|y), why does the identity E[KL] = I(z; x|y) + KL(q(z|y) ‖ P(z)) connect the two observations, and which two
remedies do you propose, and at what price?""",
    """If the label can be read from z, then q(z|y) differs between the labels, so at least some of the q(z|y) cannot be equal
to P(z), which is the same for all. The decoder with label y has learned only from codes where q(z|y) lies, and a draw
from P(z) may lie elsewhere, where its images are guesses: hence the broken digits. In the identity this mismatch is the second
part of the mean KL, KL(q(z|y) ‖ P(z)); it can be large while each image is reconstructed well, and the rows look right
because their codes come from q. One remedy is a larger β, which makes this part dearer; but it makes the information I(z; x|y)
dearer too, so reconstructions become blurred. Another is a prior of the label's own, P(z|y), learned or fitted to the
codes afterwards: KL(q(z|y) ‖ P(z|y)) becomes small, and samples come from where the decoder has learned. The
price is that one z no longer means the same style for all labels, so that style rows need care.""",
)
