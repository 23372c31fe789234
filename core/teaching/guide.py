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
        "Surprisal",
        "surprisal",
        "The token loss of one word of your own text, given a class: how little the generative model expected it. "
        "Words that surprise less under one class than under another speak for that class.",
        r"s_t(y) = -\log p(x_{t+1} \mid x_{\le t}, y)",
    ),
    Entry(
        "Margin to the runner-up",
        "margin",
        "The log-probability of the winning class minus that of the second, in nats. 0 is a tie; at 2.3 nats the "
        "winner is ten times as probable. A flip is near where the margin is small.",
        r"m = \log p(\hat y \mid x) - \max_{y \ne \hat y} \log p(y \mid x)",
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
        "Fitted ranges",
        "fitted",
        "How **fitted** searches: the cell state's range first, in steps of the square root of two below its "
        "least-error start; then every LSTM signal in turn is tried half as wide to 1.6 times as wide and the best "
        "kept, three times over or until nothing improves. The error is that of the states which the output layer "
        "reads, on calibration text, against the float model's own.",
        r"r_s \leftarrow \arg\min_{f} \; \lVert h(f \cdot r_s) - h_{\mathrm{float}} \rVert^2",
        "Not in the paper, whose rule is the 99.99th percentile (section 4.3.2)",
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
        "GPFQ as Brevitas runs it",
        "gpfq-stock",
        "**gpfq-stock** takes as its target what Brevitas's own GPFQ sees as float: all weights in float, but the "
        "LSTM's inner signals still rounded. **gpfq** takes the float model itself, so it can also make up for these. "
        "The two differ where the LSTM's rounding is coarse.",
        r"\min_{q} \; \lVert X_{\mathrm{rounded\,LSTM}}\, w - \tilde X q \rVert_2^2",
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
        "Wilson interval",
        "wilson",
        "The interval drawn around every single accuracy. It holds all true shares under which the observed one would "
        "not be unusual at 95 %. It stays within 0 and 100 % and is not centred on the observed share, which matters "
        "near the ends.",
        r"\left\{ p : \lvert \hat p - p \rvert \le z \sqrt{p (1 - p) / n} \right\}, \quad z = 1.96",
    ),
    Entry(
        "McNemar's exact test",
        "mcnemar",
        "For two models that answered the same documents. Documents on which both are right, or both wrong, say "
        "nothing about which is better. Of the others, b are right only in the first model and c only in the second; "
        "if neither is better, each falls on either side like a coin. p is the chance of a split at least this uneven.",
        r"p = \min\!\left(1,\; 2 \sum_{k=0}^{\min(b, c)} \binom{b + c}{k}\, 2^{-(b + c)}\right)",
    ),
    Entry(
        "Paired bootstrap",
        "bootstrap",
        "The interval of a difference between two models on the same documents. The test documents are drawn anew, "
        "with replacement, 2,000 times; each time both models are scored on the same draw. The middle 95 % of the "
        "differences is the interval.",
        r"\Delta^{*} = \frac{1}{n} \sum_{i \in \mathrm{draw}} (\mathbf{1}[b_i] - \mathbf{1}[a_i])",
    ),
    Entry(
        "Holm correction",
        "holm",
        "Who tests many differences finds some by chance. Holm's rule multiplies the smallest of m p-values by m, the "
        "next by m minus 1, and so on, never letting one fall below the one before. Then the chance of even one false "
        "alarm among them is at most the level chosen.",
        r"\tilde p_{(k)} = \max_{j \le k} \; \min\!\left(1,\; (m - j + 1)\, p_{(j)}\right)",
    ),
    Entry(
        "Flips",
        "flips",
        "Documents whose answer changed from one model to the other: right to wrong, wrong to right, or wrong to "
        "another wrong. Two models of equal accuracy can still differ on many documents; the change of accuracy is "
        "only what is left after flips cancel.",
        r"\Delta = \frac{n_{\mathrm{wrong \to right}} - n_{\mathrm{right \to wrong}}}{n}",
    ),
    Entry(
        "KL divergence to float",
        "kl",
        "How far the class probabilities moved, in nats, as a mean over documents: 0 means that they are the same, "
        "whatever the answers are. It sees doubt growing before any answer flips.",
        r"\mathrm{KL} = \frac{1}{n} \sum_i \sum_k p_{ik} \log \frac{p_{ik}}{q_{ik}}",
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
        "Pareto front",
        "pareto",
        "The variants that no other beats on both size and accuracy: whatever is smaller than one of them is less "
        "accurate. A variant off the front is never the best choice by these two measures. Points are compared as "
        "measured, whatever their intervals.",
        r"\left\{ a : \nexists\, b \ne a,\; \mathrm{size}_b \le \mathrm{size}_a,\; "
        r"\mathrm{acc}_b \ge \mathrm{acc}_a \right\}",
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
        "Dead signal",
        "dead-signal",
        "A signal inside the model that is the same for every document. The usual cause is a step that is too coarse: "
        "a word adds at most 1 to the cell state, and what is less than half a step rounds to nothing. Results that do "
        "not change with any setting often have a dead signal behind them.",
        r"\left\lfloor \frac{i_t \, g_t}{s} \right\rceil = 0 \quad \text{for every } i_t \, g_t \le 1, "
        r"\text{ if } s \ge 2",
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
