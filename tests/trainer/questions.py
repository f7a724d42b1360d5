"""Questions whose answers a tiny model can learn to find, and contexts longer than it reads."""

import random

from tests.trainer.conftest import BAD, GOOD, NEUTRAL


def asked(count, *, seed, num_words=(4, 12), without=0.0):
    """The question names a kind; the answer is the run of words of that kind. ``without``: so often there is none."""
    chooser = random.Random(seed)
    rows = []
    for number in range(count):
        kind, other = chooser.sample([GOOD, BAD], 2)
        words = chooser.choices(NEUTRAL, k=chooser.randint(*num_words))
        place = chooser.randrange(len(words))
        answer = chooser.choices(kind, k=chooser.randint(1, 3))
        words.insert(chooser.randrange(place + 1), chooser.choice(other))
        has_answer = chooser.random() >= without
        before = words[: place + 1]
        context = " ".join([*before, *(answer if has_answer else ()), *words[place + 1 :]])
        start = len(" ".join(before)) + 1
        rows.append({
            "id": str(number),
            "title": "Films",
            "question": f"was the film {'fine' if kind is GOOD else 'bad'}",
            "context": context,
            "answers": {"text": [" ".join(answer)] * has_answer, "answer_start": [start] * has_answer},
        })  # fmt: skip
    return rows
