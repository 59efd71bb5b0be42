#!/usr/bin/env python3
"""Checks that a file written with --json has the rows that every example promises."""
import json
import math
import sys

REQUIRED = {"technique", "data", "metric", "baseline", "result", "seeds", "seconds"}


def check(path):
    rows = json.load(open(path))["rows"]
    assert rows, "no rows"
    for row in rows:
        missing = REQUIRED - row.keys()
        assert not missing, f"a row lacks {sorted(missing)}: {row}"
        for side in ("baseline", "result"):
            for key in ("mean", "ci95"):
                value = row[side][key]
                assert isinstance(value, (int, float)) and math.isfinite(value), (side, key, row)
        # The majority class is known without any work.
        took = row["seconds"] > 0 or row["result"]["name"] == "majority"
        assert row["seeds"] >= 1 and took, row
    print(f"{path}: {len(rows)} rows")


if __name__ == "__main__":
    for name in sys.argv[1:]:
        check(name)
