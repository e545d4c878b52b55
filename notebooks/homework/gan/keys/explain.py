"""Question 7, in words: a person reads and marks it."""

from course_lib.grading.question import Written

QUESTION = Written(
    "explain",
    10,
    """## 7. In words

A classmate trains a GAN on MNIST. After some thousand steps D's loss is log 4 ≈ 1.39 and stays there. "The loss is the one
of the optimum," your classmate writes, "so p = q, and I have stopped the training." In about six sentences: Why may the
generator be poor all the same? Give two different situations in which D's loss is near log 4 and the samples are bad. Which
two measurements would you ask for to tell these situations from success, and beside which numbers would you put them?""",
    """D's loss is log 4 − 2·JSD(p, q) only if D is the best discriminator for this generator; otherwise it is larger, so it only
bounds the divergence. A D that has learned nothing, because it is too small, too slow or held too flat by a penalty, says ½
everywhere and pays log 4 for any samples. The same happens if G has just fooled D: a collapsed generator that jumps to a new
image before D can follow finds a D that is about ½ on average over the jumps. D may also have been trained in G's step by
mistake, or be fed the same images twice. So I would measure the samples with something that takes no part in the game: first, a
fresh discriminator, trained to the end on real and generated images while G stands still, beside the share that it takes for
real when both sets are real; second, the Fréchet distance, or precision and recall, in a fixed classifier's features, beside
the same number for real digits that were held out, as a floor, and for damaged ones. Recall, or the shares of the classes, shows
the collapse that the first number may miss. (Points: the bound holds at the best D only, 3; two situations, 2 each; two
measurements with their floors, 3.)""",
)
