#!/usr/bin/env python3
"""Makes train.jsonl and held_out.jsonl again, byte for byte.

Usage: make.py [DATA_NOUN]

DATA_NOUN is WordNet 3.0's data.noun (Debian package wordnet-base; default /usr/share/wordnet/data.noun). Each synset
has a lexicographer file number, and that is the category. Words and glosses are used once at most, so that the two
parts share neither.
"""

import collections
import hashlib
import json
import re
import sys
from pathlib import Path

CATEGORIES = {5: "animal", 8: "body", 13: "food", 15: "place", 18: "person", 20: "plant"}
TRAIN_PER_CATEGORY = 330
HELD_OUT = 204
GLOSS_CHARACTERS = range(15, 81)
# A definition is taken if each of its words stands in at least so many definitions: plain words only.
COMMON_WORD = 5


def synsets(path):
    """(word, gloss, category) of the synsets that make clear questions."""
    for line in path.read_text(encoding="ascii").splitlines():
        if line.startswith(" "):
            continue
        fields, _, gloss = line.partition(" | ")
        fields = fields.split()
        category = CATEGORIES.get(int(fields[1]))
        # Quoted sentences show a word's use; the definition ends before the first.
        gloss = re.split(r"; \"|;\s*$", gloss)[0].strip().rstrip(";")
        # The first lemma; "_" stands for a space. A word with digits, or of one letter, is no good question.
        word = fields[4].replace("_", " ")
        plain = re.fullmatch(r"[A-Za-z][A-Za-z' -]{2,30}", word)
        # Names of genera and families say nothing but "genus" and "family", in Latin, for plants and animals alike.
        taxon = re.search(r"\b(genus|genera|family|families|suborder|order|class|phylum|subfamily)\b", f"{word} {gloss}")
        if category and plain and not taxon and len(gloss) in GLOSS_CHARACTERS and '"' not in gloss:
            yield word, gloss, category


def plain(entries):
    """Those whose definitions use common words only."""
    words = {entry: set(re.findall(r"[a-z]+", entry[1].lower())) for entry in entries}
    count = collections.Counter(word for found in words.values() for word in found)
    return [entry for entry in entries if all(count[word] >= COMMON_WORD for word in words[entry])]


def rank(entry, purpose="choose"):
    """A fixed shuffle: the order of the entries' hashes, another one for each purpose."""
    return hashlib.sha256("\t".join((purpose, *entry)).encode()).hexdigest()


def row(word, gloss, category):
    """One line of JSONL."""
    question = f"{word}: {gloss}. What is it?"
    turns = [{"role": "user", "content": question}, {"role": "assistant", "content": category}]
    return json.dumps({"messages": turns}) + "\n"


def main():
    path = Path(sys.argv[1] if len(sys.argv) > 1 else "/usr/share/wordnet/data.noun")
    if not path.is_file():
        sys.exit(f"{path} is missing: install Debian's wordnet-base, or name WordNet 3.0's data.noun")
    words, glosses, chosen = set(), set(), {category: [] for category in CATEGORIES.values()}
    for word, gloss, category in sorted(plain(list(synsets(path))), key=rank):
        if word.lower() not in words and gloss.lower() not in glosses:
            words.add(word.lower())
            glosses.add(gloss.lower())
            chosen[category].append((word, gloss, category))
    held_out_each = HELD_OUT // len(CATEGORIES)
    parts = {"held_out": [], "train": []}
    for entries in chosen.values():
        parts["held_out"] += entries[:held_out_each]
        parts["train"] += entries[held_out_each : held_out_each + TRAIN_PER_CATEGORY]
    for name, entries in parts.items():
        # Chosen per category, so shuffled again: neighbours share packed rows and batches.
        entries.sort(key=lambda entry: rank(entry, "order"))
        text = "".join(row(*entry) for entry in entries)
        (Path(__file__).parent / f"{name}.jsonl").write_text(text, encoding="ascii")
        print(f"{name}.jsonl: {len(entries)} rows, sha256 {hashlib.sha256(text.encode()).hexdigest()}")


if __name__ == "__main__":
    main()
