"""Question 7, answered in words and marked by a person."""

from course_lib.grading.question import Written

QUESTION = Written(
    "explain",
    10,
    """## 7. In words

A classmate trains a GAN on MNIST. After a few thousand steps, D's loss is log 4 ≈ 1.39 and stays there. "This is the
loss at the optimum," your classmate writes, "so p = q, and I have stopped training." In about six sentences: Why may
the generator still be poor? Describe two different situations in which D's loss is near log 4 and the samples are bad.
Which two measurements would you ask for to tell these situations from success, and with which reference values would
you compare them?""",
    """D's loss is log 4 − 2·JSD(p, q) only if D is the best discriminator for this generator; otherwise it is larger,
so it gives only a lower bound on the divergence. A D that has learned nothing, because it is too small, too slow or
kept too flat by a penalty, outputs ½ everywhere, and its loss is log 4 for any samples. The same happens if G keeps
fooling D: if a collapsed generator jumps to a new image before D can follow, D outputs about ½ on average over the
jumps. D may also have been trained in G's step by mistake, or have been given the same images as real and as generated
ones. I would therefore measure the samples with something that takes no part in the game. First, I would train a fresh
discriminator to the end on real and generated images while G is held fixed, and compare its accuracy with the accuracy
that it reaches when both sets are real. Second, I would take the Fréchet distance, or precision and recall, in a fixed
classifier's features, and compare it with the same number for held-out real digits, as a floor, and for damaged ones.
Recall, or the proportions of the classes, shows a collapse that the first number may miss. (Points: D's loss gives the
divergence at the best D only, 3; two situations, 2 each; two measurements with their reference values, 3.)""",
)
