"""Question 7, answered in words and marked by a person."""

from course_lib.grading.question import Written

QUESTION = Written(
    "explain",
    8,
    """## 7. In words

A classmate has trained a conditional VAE with P(z) = N(0, I). Both networks receive the label. Rows of digits in one
style, decoded from the code of a real digit with each label in turn, look right. Yet a linear classifier predicts the
label from draws z from q(z|x, y) with an accuracy of 60 %, where chance would give 10 %, and many digits decoded from
draws from the prior look broken. In at most six sentences: What does this accuracy of 60 % say about q(z|y)? How does
the identity E[KL] = I(z; x|y) + KL(q(z|y) ‖ P(z)) connect the two observations? Which two remedies do you propose, and
what does each cost?""",
    """If the label can be predicted from z, then q(z|y) differs between labels, so at least some of the q(z|y) cannot
equal P(z), which is the same for all. Given label y, the decoder has been trained only on codes from q(z|y), and a draw
from P(z) may lie elsewhere, where the decoder can only guess. This explains the broken digits. In the identity, this
mismatch is the second part of the mean KL, KL(q(z|y) ‖ P(z)); it can be large while each image is reconstructed well,
and the rows look right because their codes come from q. One remedy is a larger β, which puts a higher price on this
part; but it also puts a higher price on the information I(z; x|y), so reconstructions become blurred. Another is a
separate prior for each label, P(z|y), learned or fitted to the codes afterwards. With it, KL(q(z|y) ‖ P(z|y)) becomes
small, and samples come from the region in which the decoder was trained. The cost is that the same z no longer means
the same style for all labels, so rows of digits in one style must be made with more care.""",
)
