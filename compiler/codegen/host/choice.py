"""Choosing words from probabilities: greedy, by drawing, by beam search. The meaning is that of `ops/generate.py`.

Words are class numbers, and `until` is -1 where no class ends an example. Tensors come as flat memory (pointers, or
arrays) with distances in elements. `status[0]` says for how many candidates of each example the next step is computed:
0 where all have ended. Everything is sequential, so that the number of threads changes nothing.
"""

# mypy: allow-untyped-decorators

from __future__ import annotations

from typing import Any

from numba import njit

from dlc.compiler.codegen.host.mathfn import exp, log, uniform01_float32, uniform01_float64

__all__ = [
    "choice_beam",
    "choice_begin",
    "choice_finish",
    "choice_follow",
    "choice_greedy",
    "choice_sample",
]


@njit(error_model="numpy")
def choice_begin(examples: int, width: int, status: Any, lengths: Any, word: Any, words: Any) -> None:
    """Before the first step: nothing is written. Words of an example lie `width` after those of the one before."""
    status[0], status[1] = 1, 0
    for i in range(examples):
        lengths[i] = word[i] = 0
        for t in range(width):
            words[i * width + t] = 0


@njit(error_model="numpy")
def choice_write(
    i: int, picked: int, t: int, longest: int, until: int, width: int, status: Any, lengths: Any, word: Any, words: Any
) -> None:
    """The next word of an example that has not ended; `lengths` is 0 so far."""
    word[i] = words[i * width + t] = picked
    if picked == until or t + 1 == longest:
        lengths[i] = t + 1
    else:
        status[0] = 1


@njit(error_model="numpy")
def choice_greedy(
    probabilities: Any, examples: int, row: int, column: int, classes: int, t: int, longest: int, until: int,
    width: int, status: Any, lengths: Any, word: Any, words: Any,
) -> None:  # fmt: skip
    """The most probable class, the first of equals. Those of one example lie `column` apart, the examples `row`."""
    status[0] = 0
    for i in range(examples):
        if lengths[i] != 0:
            continue
        best, most = 0, probabilities[i * row]
        for k in range(1, classes):
            p = probabilities[i * row + k * column]
            if p > most or (p != p and most == most):
                best, most = k, p
        choice_write(i, best, t, longest, until, width, status, lengths, word, words)


@njit(error_model="numpy")
def choice_sample(
    probabilities: Any, examples: int, row: int, column: int, classes: int, t: int, longest: int, until: int,
    width: int, status: Any, lengths: Any, word: Any, words: Any,
    temperature: float, top: int, seed: int, number: int, step: int, narrow: int, weights: Any, order: Any,
) -> None:  # fmt: skip
    """A class with its probability to the power of 1 / temperature, from the `top` most probable ones (0: from all).
    `weights` has room for each class, `order` for `top` of them; the draws have a number, and are float32 if narrow."""
    status[0] = 0
    for i in range(examples):
        if lengths[i] != 0:
            continue
        most = 0.0
        for k in range(classes):
            weights[k] = probabilities[i * row + k * column]
            most = max(most, weights[k])
        if temperature != 1.0:
            for k in range(classes):
                weights[k] = exp((log(weights[k]) - log(most)) / temperature)
        if 0 < top < classes:
            choice_largest(weights, classes, top, order)
        total = 0.0
        for k in range(classes):
            total += weights[k]
            weights[k] = total
        index = i * longest + t
        if narrow != 0:
            place = total * float(uniform01_float32(seed, number, step, index))
        else:
            place = total * uniform01_float64(seed, number, step, index)
        picked = 0
        while picked + 1 < classes and weights[picked] <= place:
            picked += 1
        choice_write(i, picked, t, longest, until, width, status, lengths, word, words)


@njit(error_model="numpy")
def choice_largest(weights: Any, count: int, top: int, order: Any) -> None:
    """Makes all weights 0 but the `top` largest, the first of equals."""
    found = 0
    for k in range(count):
        if found == top and weights[k] <= weights[order[top - 1]]:
            continue
        place = found if found < top else top - 1
        while place > 0 and weights[order[place - 1]] < weights[k]:
            order[place] = order[place - 1]
            place -= 1
        order[place] = k
        found = min(found + 1, top)
    least, last = weights[order[top - 1]], order[top - 1]
    for k in range(count):
        if weights[k] < least or (weights[k] == least and k > last):
            weights[k] = 0.0


@njit(error_model="numpy")
def choice_beam(
    probabilities: Any, examples: int, row: int, column: int, classes: int, t: int, longest: int, until: int,
    width: int, status: Any, lengths: Any, word: Any, words: Any,
    slot: int, wide: int, alpha: float, parents: Any, kept: Any, logs: Any, scores: Any, candidates: Any, shown: int,
) -> None:  # fmt: skip
    """The `wide` best continuations of each example, by log P / length^alpha, the earlier of equals.

    The unfinished candidates of an example are numbered; number j's probabilities lie `slot` behind those of the one
    before, and so its word lies at `word[j * examples + i]`. `parents` says in the same way whose states it goes on
    with. `kept` has for each place of a beam, before and after the step, the length (negative where it has ended), and
    for each place of the new one its candidate and word; `logs` its log P. `candidates` are the words of each place,
    before and after; where they are `shown`, `words` gets those of unfinished candidates. In the end `words` and
    `lengths` have the best one's.
    """
    old, new = status[1], 1 - status[1]
    status[0], status[1] = 0, new
    many = examples * wide
    for i in range(examples):
        found = 0
        going = 0
        for c in range(1 if t == 0 else wide):
            length = kept[old * many + i * wide + c] if t > 0 else 0
            base = logs[old * many + i * wide + c] if t > 0 else 0.0
            if t > 0 and length == 0:
                break
            if length < 0:
                found = choice_insert(base / (-length) ** alpha, base, c, -1, found, i * wide, wide, many, kept, logs,
                                      scores, new)  # fmt: skip
        for c in range(1 if t == 0 else wide):
            length = kept[old * many + i * wide + c] if t > 0 else 0
            base = logs[old * many + i * wide + c] if t > 0 else 0.0
            if t > 0 and length <= 0:
                if length == 0:
                    break
                continue
            longer = float(length + 1) ** alpha
            start = going * slot + i * row
            enough = -1.0
            for k in range(classes):
                p = probabilities[start + k * column]
                if found == wide:
                    if enough < 0.0:  # below it no probability is worth its logarithm
                        enough = exp(scores[wide - 1] * longer - base) * (1.0 - 1e-6)
                    if p < enough:
                        continue
                more = base + log(float(p))
                before = found
                found = choice_insert(more / longer, more, c, k, found, i * wide, wide, many, kept, logs, scores, new)
                if before == wide:
                    enough = -1.0
            going += 1
        choice_turn(i, found, examples, t, longest, until, width, status, lengths, word, words, wide, parents, kept,
                    candidates, shown, old, new)  # fmt: skip


@njit(error_model="numpy")
def choice_insert(
    score: float, logarithm: float, parent: int, picked: int, found: int, start: int, wide: int, many: int, kept: Any,
    logs: Any, scores: Any, new: int,
) -> int:  # fmt: skip
    """Puts a continuation into an example's new beam, if it is among the best; how many there are then."""
    if found == wide and not score > scores[wide - 1]:
        return found
    place = found if found < wide else wide - 1
    at = new * many + start
    while place > 0 and scores[place - 1] < score:
        scores[place], logs[at + place] = scores[place - 1], logs[at + place - 1]
        kept[2 * many + start + place] = kept[2 * many + start + place - 1]
        kept[3 * many + start + place] = kept[3 * many + start + place - 1]
        place -= 1
    scores[place], logs[at + place] = score, logarithm
    kept[2 * many + start + place], kept[3 * many + start + place] = parent, picked
    return min(found + 1, wide)


@njit(error_model="numpy")
def choice_turn(
    i: int, found: int, examples: int, t: int, longest: int, until: int, width: int, status: Any, lengths: Any,
    word: Any, words: Any, wide: int, parents: Any, kept: Any, candidates: Any, shown: int, old: int, new: int,
) -> None:  # fmt: skip
    """An example's new beam: its words, and what the next step computes."""
    many = examples * wide
    going = 0
    for c in range(wide):
        at = i * wide + c
        if c >= found:
            kept[new * many + at] = 0
            continue
        parent, picked = kept[2 * many + at], kept[3 * many + at]
        length = kept[old * many + i * wide + parent] if t > 0 else 0
        from_, to = (old * many + i * wide + parent) * width, (new * many + at) * width
        for s in range(t):
            candidates[to + s] = candidates[from_ + s]
        if picked < 0:
            kept[new * many + at] = length
            candidates[to + t] = 0
            continue
        candidates[to + t] = picked
        ended = picked == until or t + 1 == longest
        kept[new * many + at] = -(t + 1) if ended else t + 1
        if not ended:
            place = going * examples + i
            word[place] = picked
            parents[place] = 0
            for before in range(parent):
                if t > 0 and kept[old * many + i * wide + before] > 0:
                    parents[place] += 1
            if shown != 0:
                for s in range(t + 1):
                    words[place * width + s] = candidates[to + s]
            going += 1
    for j in range(going, wide):
        word[j * examples + i] = parents[j * examples + i] = 0
    status[0] = max(status[0], going)
    lengths[i] = abs(kept[new * many + i * wide])


@njit(error_model="numpy")
def choice_follow(
    examples: int, slots: int, parents: Any, row: int, rows: int, slot: int, before: Any, after: Any
) -> None:
    """What each candidate goes on with: the states of the one that it continues. Those of an example are `row` elements
    at `i * row`; where it has none of its own (`rows` is 0), all candidates have the same."""
    for j in range(slots):
        if rows == 0:
            for e in range(row):
                after[j * slot + e] = before[e]
            continue
        for i in range(examples):
            origin, target = parents[j * examples + i] * slot + i * row, j * slot + i * row
            for e in range(row):
                after[target + e] = before[origin + e]


@njit(error_model="numpy")
def choice_finish(
    examples: int, until: int, longest: int, width: int, lengths: Any, words: Any, step: int, start: int, written: Any,
    row: int, counts: Any, what: int,
) -> None:  # fmt: skip
    """The result: `what` 0, the words of each example, behind its end the class that ends it or 0; `what` 1, how many
    there are. An example's words begin at `words[start + i * step]`."""
    for i in range(examples):
        if what == 1:
            counts[i] = lengths[i]
            continue
        for t in range(longest):
            written[i * row + t] = words[start + i * step + t] if t < lengths[i] else max(until, 0)
