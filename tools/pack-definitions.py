#!/usr/bin/env python3
"""Writes crates/tl-data/data/definitions.tsv.gz: dictionary definitions of nouns, by kind.

    tools/pack-definitions.py [DEB]

DEB is Debian's `wordnet-base` 3.0-37; without it `apt-get download` fetches it. Each line
of the result is `split TAB kind TAB definition`; kinds are WordNet's lexicographer
files. Examples in quotes are cut off, one definition is kept of equal ones.
"""
import gzip
import hashlib
import pathlib
import random
import re
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parent.parent / "crates/tl-data/data"
DIGEST = "61060d960f9ada8fa120872312eccd3ecebfbab8c4579e4f5a74e1cf67620752"
SOURCE = {4: "act", 7: "attribute", 8: "body", 9: "cognition", 14: "group", 15: "location",
          20: "plant", 26: "state"}
TARGET = {5: "animal", 6: "artifact", 10: "communication", 12: "feeling", 13: "food", 18: "person",
          27: "substance", 28: "time"}
SOURCE_EACH, TRAIN_EACH, TEST_EACH = 300, 150, 100


def definitions(text):
    kinds, seen = {}, set()
    for line in text.splitlines():
        if line.startswith("  "):
            continue
        kind = int(line.split(" ", 2)[1])
        gloss = line.split("|", 1)[1].split('; "')[0].strip().lower()
        gloss = re.sub(r"\s+", " ", gloss)
        if gloss in seen or not gloss.isascii() or not 4 <= len(gloss.split()) <= 24 or '"' in gloss:
            continue
        seen.add(gloss)
        kinds.setdefault(kind, []).append(gloss)
    return kinds


def main():
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        if len(sys.argv) > 1:
            package = pathlib.Path(sys.argv[1])
        else:
            subprocess.run(["apt-get", "download", "wordnet-base=1:3.0-37"], cwd=folder, check=True)
            package = next(folder.glob("*.deb"))
        if hashlib.sha256(package.read_bytes()).hexdigest() != DIGEST:
            sys.exit(f"{package.name} is not the package that is known")
        subprocess.run(["dpkg-deb", "-x", str(package), str(folder / "x")], check=True)
        text = (folder / "x/usr/share/wordnet/data.noun").read_text("ascii")
    kinds = definitions(text)
    rng, lines = random.Random(2026), []
    for number, name in SOURCE.items():
        lines += [("source", name, g) for g in rng.sample(kinds[number], SOURCE_EACH)]
    for number, name in TARGET.items():
        chosen = rng.sample(kinds[number], TRAIN_EACH + TEST_EACH)
        lines += [("train", name, g) for g in chosen[:TRAIN_EACH]]
        lines += [("test", name, g) for g in chosen[TRAIN_EACH:]]
    raw = "".join("\t".join(line) + "\n" for line in lines).encode("ascii")
    (ROOT / "definitions.tsv.gz").write_bytes(gzip.compress(raw, 9, mtime=0))
    print(len(lines), len(raw), (ROOT / "definitions.tsv.gz").stat().st_size)


if __name__ == "__main__":
    main()
