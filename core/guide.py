"""The words and formulas of the app's guide: one entry for each quantity that it shows."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Entry:
    """A quantity: its name, an anchor for links, plain words, a LaTeX formula or "", and where it comes from."""

    name: str
    anchor: str
    words: str
    formula: str = ""
    source: str = ""


PAPER = "Post-Training Quantization of Generative and Discriminative LSTM Text Classifiers (Rahaman et al., 2025)"

ENTRIES = (
    Entry(
        "Discriminative classifier",
        "discriminative",
        "Reads the text word by word with an LSTM, then maps what it remembers at the end to one score for each class. "
        "The class with the highest score wins.",
        r"\hat y = \arg\max_k \; \mathrm{softmax}(W h_T)_k",
        f"{PAPER}, equations 1 to 4",
    ),
    Entry(
        "Generative classifier",
        "generative",
        "A language model that is told the class: it predicts every next word from the words before it and the class. "
        "To classify, it asks under which class the text is least surprising.",
        r"\hat y = \arg\min_y \; -\sum_t \log p(x_{t+1} \mid x_{\le t}, y)",
        f"{PAPER}, equations 6 to 14",
    ),
    Entry(
        "Token loss",
        "token-loss",
        "How surprised the generative model is by one word, in nats: 0 is certain, 6.9 is one chance in a thousand. "
        "A document's loss is the sum over its words, under its true class on this page.",
        r"\ell_t = -\log p(x_{t+1} \mid x_{\le t}, y)",
        f"{PAPER}, section 6.1.3",
    ),
    Entry(
        "Bit-width and levels",
        "bits",
        "With b bits a number can take at most 2 to the power b values, evenly spaced: 256 at 8 bits, 8 at 3 bits. "
        "Each value is rounded to the nearest level, and what lies outside the range is cut off at its end. The "
        "spacing of the levels is the scale.",
        r"\tilde a = s \cdot \mathrm{clip}\!\left(\left\lfloor a / s \right\rceil,\; -2^{b-1},\; 2^{b-1} - 1\right)",
        f"{PAPER}, equations 15 and 18; zero point 0",
    ),
    Entry(
        "Presets",
        "presets",
        "A bit-width alone says too little. **uniform** puts every weight and every activation at the dial's bits. "
        "**paper-code** does so for the weights and for what enters the output layer, but leaves the LSTM's inner "
        "activations at 8 bits, as the paper's published code does. Biases stay float.",
    ),
    Entry(
        "Calibration set",
        "calibration",
        "Activations need a range before they can be rounded. It is measured on a quarter of the training documents, "
        "whose labels are not used. **conditional** takes every class in equal shares (a class that is too small "
        "gives all it has), **unconditional** draws at random, **classes:a,b** takes only those classes.",
        source=f"{PAPER}, sections 4.2.2, 5.3, 5.4 and 6.1",
    ),
    Entry(
        "Activation ranges",
        "ranges",
        "**percentile** covers 99.99 % of the values seen. **minmax** covers all of them. **fitted** starts from the "
        "least squared rounding error of each signal, then adjusts each range so that the states that the output layer "
        "reads come closest to float. An LSTM's cell state is rounded again at every word: when the range is wide and "
        "the bits are few, one word's change is smaller than half a step and rounds to nothing.",
        r"\min_{r} \; \frac{\lVert h(r) - h_{\mathrm{float}} \rVert^2}{\lVert h_{\mathrm{float}} \rVert^2}",
    ),
    Entry(
        "Output layer: round or GPFQ",
        "gpfq",
        "**round** takes each weight to its nearest level. **gpfq** (greedy path-following quantization) goes through "
        "the inputs one by one and chooses levels that make up for the error so far, so that the layer's output on "
        "calibration text stays close to float's.",
        r"\min_{q} \; \lVert X w - \tilde X q \rVert_2^2",
        f"{PAPER}, section 4.2.3, equation 22",
    ),
    Entry(
        "Input noise",
        "noise",
        "Each character of a test document is replaced, with the dial's probability, by a random character of the "
        "training text. The same characters are hit at every higher level, so that levels differ by added noise only. "
        "A damaged word is usually unknown to the model.",
        source=f"{PAPER}, section 4.3.3",
    ),
    Entry(
        "Accuracy and its interval",
        "accuracy",
        "The share of test documents with the right answer. The 95 % interval (Wilson) says how far chance alone could "
        "move it in a test set of this size: two accuracies inside each other's interval are hard to tell apart. The "
        "change from float is in percentage points, on the same documents with the same noise.",
        r"\left(\hat p + \tfrac{z^2}{2n} \pm z \sqrt{\hat p (1 - \hat p) / n + z^2 / 4n^2}\right)"
        r"\Big/ \left(1 + \tfrac{z^2}{n}\right)",
    ),
    Entry(
        "Majority class",
        "chance",
        "What always answering the most frequent class would score. A model near this line has learned nothing about "
        "the text, or has lost it.",
    ),
    Entry(
        "Confusion matrix",
        "confusion",
        "Each row is a true class, each column an answer; the diagonal is right. Read a row to see where a class's "
        "documents went. **Change from float** shows, for each true class, how the shares moved with quantization.",
    ),
    Entry(
        "Prediction histogram",
        "histogram",
        "How often each class is the answer, in float and quantized, beside how often it is true. A model that breaks "
        "often answers one class for everything. The dotted line is a uniform spread, every class equally often.",
    ),
    Entry(
        "Kolmogorov-Smirnov D",
        "ks",
        "The largest vertical gap between two cumulative distributions: 0 means the same, 1 means no overlap. It "
        "compares the quantized model's weights or activations with float's, on the same documents. Rounding to few "
        "levels alone makes steps, and so a gap. p is the probability of a gap this large if both were draws from one "
        "distribution; n is the number of values.",
        r"D = \sup_x \lvert F_{\mathrm{float}}(x) - F_{\mathrm{quantized}}(x) \rvert",
        f"{PAPER}, section 6.1.1",
    ),
    Entry(
        "Density of token losses",
        "kde",
        "A smoothed histogram: a small bell curve on every value, added up. Its width follows Silverman's rule. A "
        "curve that moves right means that words got more surprising. The second chart takes each word's loss minus "
        "float's: right of 0 the word costs more than it did.",
        r"\hat f(x) = \frac{1}{nh} \sum_i \varphi\!\left(\frac{x - x_i}{h}\right)",
        f"{PAPER}, section 6.1.3",
    ),
    Entry(
        "Dead LSTM",
        "dead",
        "When the variance of the LSTM's output over documents is practically zero, it says the same whatever it "
        "reads. Accuracy can still look fair for a while, because a generative model also has the class's own word "
        "frequencies; the page then warns.",
        r"\frac{1}{H} \sum_j \mathrm{Var}(h_j) < 10^{-8}",
    ),
    Entry(
        "How a number was made",
        "provenance",
        "The configuration and the seeds repeat a number exactly; the same versions of the libraries do so to the last "
        "digit. For each activation site the page lists the levels, the scale, the range that they cover and the "
        "largest value seen in calibration: what is seen beyond the range is cut off. The noise rates are what came "
        "about: character_rate of characters replaced, oov_rate of words that the model does not know, "
        "truncation_rate of documents cut to their first words, mean_length in words.",
    ),
)
