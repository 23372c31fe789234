"""The ten-minute lesson: its steps in words, each with a question, its possible answers and why one is right.

Says nothing that was measured: `lesson_weights`, `lesson_limits` and `lesson_results` compute what the steps show.
"""

from dataclasses import dataclass

from core.teaching import guide


@dataclass(frozen=True)
class Question:
    """A question with its possible answers, the place of the right one, and the reason."""

    text: str
    options: tuple[str, ...]
    right: int
    reason: str


@dataclass(frozen=True)
class Step:
    """One step: what it asks, the words before and after its dial, its question, the glossary entries it leans on."""

    name: str
    asks: str
    words: str
    task: str
    question: Question
    terms: tuple[str, ...]

    @property
    def entries(self) -> list[tuple[str, str]]:
        """The name and anchor of each of its terms in the glossary."""
        names = {entry.anchor: entry.name for entry in guide.ENTRIES}
        return [(names[anchor], anchor) for anchor in self.terms]


STEPS = (
    Step(
        "Two classifiers",
        "How can a machine tell what a text is about?",
        "There are two ways. A **discriminative** model reads the text and gives each class a score; the highest wins. "
        "A **generative** model has learned to write: for every class it knows how likely each next word is. It asks "
        "under which class the text would have been least surprising. The surprise of a word is minus the logarithm "
        "of its probability, and the surprises of a text add up.",
        "Move the dial to other documents, and look for one on which the two disagree or hesitate.",
        Question(
            "The generative model adds up how surprising each word is, once for every class. Which class does it name?",
            ("The one with the smallest sum", "The one with the largest sum", "The one with the most words"),
            0,
            "A small sum of surprises is a high probability of the whole text under that class.",
        ),
        ("generative", "discriminative", "surprisal"),
    ),
    Step(
        "Bit-width",
        "What is left of a number at three bits?",
        "What a network has learned is a long list of numbers, its **weights**. As they are trained, each takes 32 "
        "bits. With b bits a number can only take 2 to the power b values. **Quantization** moves every weight to the "
        "nearest of these levels: the list gets smaller, and every number a little wrong.",
        "Turn the bits down and watch the stairs grow. Each bit less makes the steps twice as high.",
        Question(
            "How many levels are there with 4 bits?",
            ("4", "8", "16", "32"),
            2,
            "2 to the power 4. At 8 bits there are 256, at 3 bits 8.",
        ),
        ("bits",),
    ),
    Step(
        "Scale and range",
        "How far should the levels reach?",
        "The levels are spaced evenly over a **range**; their distance is the **scale**. A wide range reaches every "
        "number, but its steps are coarse. A narrow one has fine steps, and what lies outside is cut off (**clipped**) "
        "at its end. Rounding error and clipping error pull in opposite directions.",
        "Find the range with the least total error. Is it where every weight fits in?",
        Question(
            "You halve the range and keep the bits. What happens?",
            (
                "Steps are half as wide, and more values are cut off",
                "Steps are half as wide, and fewer values are cut off",
                "Steps stay as they are",
            ),
            0,
            "As many levels share half the length. The best range is where both errors together are smallest.",
        ),
        ("bits", "ranges"),
    ),
    Step(
        "Calibration",
        "Who says how wide the range must be?",
        "Weights are known, so their range can be read off. What flows through the network, its **activations**, "
        "depends on the text. So some text is run through it first, and the range of every signal noted. This is "
        "**calibration**. It needs no labels, but somebody chooses which documents it reads: every class in equal "
        "shares, at random, or a few classes only.",
        "Choose how the documents are drawn. Does it matter much for these models?",
        Question(
            "What does calibration decide?",
            ("How far each signal's levels reach", "What the models learn", "Which class is the right answer"),
            0,
            "It sets ranges, and shows the output layer's refinement (GPFQ) typical inputs. The trained weights stay "
            "what they were, and no label is read.",
        ),
        ("calibration", "ranges", "gpfq"),
    ),
    Step(
        "Fewer bits",
        "How much accuracy do fewer bits cost?",
        "Now the real models, trained once and then quantized with 8 to 3 bits: every weight and every activation, "
        "ranges fitted, output layer refined. Nothing was trained again, which is why this is called **post-training** "
        "quantization.",
        "Turn the dial from float (32) down, and compare what is lost with what is saved.",
        Question(
            "Somebody reports: “95 % at 3 bits.” What do you have to ask?",
            (
                "Only which text it was",
                "Only how many documents were tested",
                "Which numbers have 3 bits, how ranges were chosen, how many documents, and what float scores",
            ),
            2,
            "Some keep the LSTM's inner signals at 8 bits and still say 3. And without float's score and the number of "
            "documents, nobody knows what was lost.",
        ),
        ("presets", "accuracy", "pareto"),
    ),
    Step(
        "Noise",
        "What do typing errors do?",
        "Real text has errors. Here a share of all characters is replaced by random ones, in the test text only. "
        "The models were trained on clean text and know each word by its exact spelling.",
        "Turn the noise up and read the text. Which words are lost?",
        Question(
            "One character of a long word is wrong. What does the model see?",
            ("A slightly different word", "An unknown word", "The same word"),
            1,
            "A word is looked up as a whole in the vocabulary. Misspelt, it is most often not there and becomes the "
            "one token for unknown words, whatever it was.",
        ),
        ("noise",),
    ),
    Step(
        "Dead LSTM",
        "When does a model stop reading?",
        "An LSTM carries a memory from word to word, its **cell state**, and rounds it again at every word. One word "
        "adds at most 1 to it. If a level is worth more than twice that, the addition always rounds to nothing: the "
        "memory never moves, whatever the text says. The LSTM is **dead**. The paper's rule covers 99.99 % of the "
        "values seen, however rare the largest are; the fitted rule asks which range keeps the states right.",
        "Choose how much each word adds. Which memory moves?",
        Question(
            "A model's LSTM is dead and its accuracy is still fair. How can that be?",
            (
                "It cannot: the accuracy must be a mistake",
                "A generative model also knows how often each class uses each word",
                "The noise keeps it alive",
            ),
            1,
            "Its output layer reads the class besides the memory, so it still prefers each class's frequent words. "
            "Look at the variance of the LSTM's output, not at accuracy alone.",
        ),
        ("dead", "dead-signal", "fitted"),
    ),
    Step(
        "Chance",
        "Is the difference real?",
        "Another set of test documents would have given another accuracy. The **95 % interval** says how far off it "
        "may well be. Two models that answered the same documents are better compared document by document: "
        "**McNemar's test** looks only at those that one got right and the other wrong, and asks whether the split "
        "is further from half and half than coin tosses are.",
        "Take fewer or more test documents. From how many on would you believe the difference?",
        Question(
            "On 2,000 documents A alone is right on 6, B alone on 6. What does McNemar's test say?",
            ("B is better", "A is better", "Nothing speaks for a difference"),
            2,
            "Six against six is the most even split there is: p = 1. Neither is shown to be better, nor to be equal.",
        ),
        ("accuracy", "mcnemar", "bootstrap", "holm"),
    ),
    Step(
        "KS and KDE",
        "How do you compare two heaps of numbers?",
        "Put them in order and count: the share of numbers below each value is a curve that climbs from 0 to 1. The "
        "largest vertical gap between two such curves is the **Kolmogorov-Smirnov D**. Or draw a smooth histogram, a "
        "**kernel density estimate** (KDE): where a curve is high, numbers are frequent.",
        "Turn the bits: the first chart compares weights, the second what the words cost the model.",
        Question(
            "D between float and 3-bit weights is large and its p is tiny, but accuracy is the same. Is that possible?",
            (
                "No, one of them is wrong",
                "Yes: rounding to few levels makes steps, and D sees steps",
                "Yes, but only with few weights",
            ),
            1,
            "D measures the shape of a distribution, not what it is good for; with many numbers any gap has a tiny p. "
            "So read D, then look at losses and at accuracy.",
        ),
        ("ks", "kde", "token-loss"),
    ),
)
