#!/usr/bin/env python3
"""How often `nopong explain TEXT` names the labelled cause, on a file of real incidents.

usage: bench/explain.py INCIDENTS.jsonl [NOPONG]

Each line is an object with error_text, cause (an id), client and confidence. Rows without a real error line (in
parentheses) and rows of low confidence do not count.
"""
import json
import subprocess
import sys


def main():
    nopong = sys.argv[2] if len(sys.argv) > 2 else "target/release/nopong"
    rows = first = third = named = known = 0
    with open(sys.argv[1], encoding="utf-8") as file:
        for line in file:
            row = json.loads(line)
            text = row["error_text"]
            if text.startswith("(") or row["confidence"] == "low":
                continue
            argv = [nopong, "explain", "-", "--format", "json"]
            out = subprocess.run(argv, input=text.encode(), capture_output=True, timeout=10, check=False)
            said = json.loads(out.stdout)
            ids = [c["id"] for c in said["causes"]]
            rows += 1
            first += ids[:1] == [row["cause"]]
            third += row["cause"] in ids[:3]
            # A library counts where its name stands in the text itself.
            words = [w for w in row["client"].lower().replace("(", " ").replace(")", " ").replace("/", " ").split() if len(w) > 3]
            if any(w in text.lower() for w in words):
                named += 1
                client = (said["client"] or "").lower()
                known += any(w in client for w in words)
            if row["cause"] not in ids[:3]:
                print(f"missed: {row['id']} {row['cause']}: {ids[:3]}")
    print(f"{rows} rows: first {first} ({100 * first // rows} %), among three {third} ({100 * third // rows} %)")
    print(f"client named in the text {named}: recognised {known}")


main()
