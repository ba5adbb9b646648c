#!/usr/bin/env python3
"""Makes train.jsonl and held_out.jsonl again, byte for byte.

Usage: make.py [DICTIONARY]

DICTIONARY is the CMU pronouncing dictionary 0.4 in Festival's form (Debian package festlex-cmu; default
/usr/share/festival/dicts/cmu/cmudict-0.4.out). The package need not be installed:

    apt-get download festlex-cmu && dpkg-deb --extract festlex-cmu_*.deb unpacked
    make.py unpacked/usr/share/festival/dicts/cmu/cmudict-0.4.out
"""

import hashlib
import json
import re
import sys
from pathlib import Path

TRAIN = 2700
HELD_OUT = 300
LETTERS = range(3, 9)
# Chosen by hash, but not for an example that everybody reads.
LEFT_OUT = {"bitch"}
# ("shadow" nil (((sh ae) 1) ((d ow) 0))): a word, its part of speech, its syllables with their stress.
ENTRY = re.compile(r'\("([a-z]+)" (\S+) \((.+)\)\)')
SYLLABLE = re.compile(r"\(\(([a-z ]+)\) \d\)")


def entries(path):
    """(word, sounds) of the words that are said in one way only."""
    found = {}
    for line in path.read_text(encoding="ascii").splitlines():
        match = ENTRY.fullmatch(line.strip())
        if match:
            word, _, said = match.groups()
            found.setdefault(word, set()).add(" ".join(SYLLABLE.findall(said)))
    for word, ways in found.items():
        if len(ways) == 1 and len(word) in LETTERS and word not in LEFT_OUT:
            yield word, ways.pop()


def stem(word):
    """What inflections share, roughly: "walks", "walked" and "walking" must not stand in both parts."""
    return re.sub(r"(?:'s|s|es|ed|er|ers|ing|ings|ly|y|ies)$", "", word)[:5]


def rank(entry):
    """A fixed shuffle: the order of the entries' hashes."""
    return hashlib.sha256("\t".join(entry).encode()).hexdigest()


def row(word, sounds):
    """One line of JSONL. The letters stand apart, so that each is a token: sounds follow letters, not word pieces."""
    question = f"{' '.join(word)}: how is it said?"
    turns = [{"role": "user", "content": question}, {"role": "assistant", "content": sounds}]
    return json.dumps({"messages": turns}) + "\n"


def main():
    path = Path(sys.argv[1] if len(sys.argv) > 1 else "/usr/share/festival/dicts/cmu/cmudict-0.4.out")
    if not path.is_file():
        sys.exit(f"{path} is missing: install Debian's festlex-cmu, or unpack it and name its cmudict-0.4.out")
    shuffled = sorted(entries(path), key=rank)
    held_out = shuffled[:HELD_OUT]
    stems = {stem(word) for word, _ in held_out}
    rest = [entry for entry in shuffled[HELD_OUT:] if stem(entry[0]) not in stems]
    for name, part in (("held_out", held_out), ("train", rest[:TRAIN])):
        text = "".join(row(*entry) for entry in part)
        (Path(__file__).parent / f"{name}.jsonl").write_text(text, encoding="ascii")
        print(f"{name}.jsonl: {len(part)} rows, sha256 {hashlib.sha256(text.encode()).hexdigest()}")


if __name__ == "__main__":
    main()
