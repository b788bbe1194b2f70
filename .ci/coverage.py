"""Line coverage of the core by folder, from what llvm-cov exports as lcov on stdin. Lines of tests are left out.

With a part of a path as its argument also the lines there that nothing reached.
"""
import collections
import sys

ROOT = "/core/src/"


def code_lines(path):
    """How many lines stand before the tests at the foot of a file."""
    with open(path, encoding="utf-8") as file:
        lines = file.read().split("\n")
    tests = [at for at, line in enumerate(lines) if line == "#[cfg(test)]" and lines[at + 1].startswith("mod ")]
    return tests[0] if tests else len(lines)


def files(lines):
    """Each file of the core, with its lines and how often each was reached."""
    path, hits = None, {}
    for line in lines:
        key, _, value = line.strip().partition(":")
        if key == "SF":
            path, hits = value, {}
        elif key == "DA":
            number, count = value.split(",")[:2]
            hits[int(number)] = hits.get(int(number), 0) + int(count)
        elif key == "end_of_record" and ROOT in path and "test" not in path.split(ROOT)[1]:
            end = code_lines(path)
            yield path.split(ROOT)[1], {number: count for number, count in hits.items() if number <= end}


def main():
    wanted = sys.argv[1] if len(sys.argv) > 1 else None
    folders = collections.defaultdict(lambda: [0, 0])
    for name, hits in files(sys.stdin):
        reached = sum(count > 0 for count in hits.values())
        for folder in (name.rpartition("/")[0] or ".", "all of core"):
            folders[folder][0] += len(hits)
            folders[folder][1] += reached
        if wanted and wanted in name:
            print(name, f"{reached} of {len(hits)};", *(number for number, count in sorted(hits.items()) if count == 0))
    print("| folder | lines | reached |\n|---|---|---|")
    for folder, (lines, reached) in sorted(folders.items(), key=lambda item: (item[0] == "all of core", item[0])):
        print(f"| {folder} | {lines} | {100 * reached / lines:.1f} % |")


main()
