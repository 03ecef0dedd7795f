"""Time covering faces beside another tool, in turns, on one set of pictures.

    python3 tools/bench_cover.py PICTURES --perface target/release/perface \
        --peer 'deface --output {out}.jpg {files}'

PICTURES is a folder. Each tool runs --rounds times, one after the other in every round, so that whatever else the machine
does hits all of them; the median and the ratio to PerFace are printed. In a peer's command {folder}, {files} and {out}
stand for the folder of pictures, the pictures one by one, and a fresh folder for results.
"""
import argparse
import pathlib
import resource
import shlex
import shutil
import statistics
import subprocess
import tempfile
import time

SUFFIXES = {".jpg", ".jpeg", ".png"}


def command(template, folder, files, out):
    words = []
    for word in shlex.split(template):
        if word == "{files}":
            words += [str(file) for file in files]
        else:
            words.append(word.replace("{folder}", str(folder)).replace("{out}", str(out)))
    return words


def timed(words):
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    start = time.perf_counter()
    done = subprocess.run(words, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    wall = time.perf_counter() - start
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    if done.returncode not in (0, 4):  # 4: a photo had no face
        raise SystemExit(f"{shlex.join(words[:3])} … ended with {done.returncode}:\n{done.stderr[-2000:]}")
    return wall, cpu


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("pictures", type=pathlib.Path)
    parser.add_argument("--perface", default="target/release/perface")
    parser.add_argument("--peer", action="append", default=[])
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    files = sorted(p for p in options.pictures.iterdir() if p.suffix.lower() in SUFFIXES)
    ours = f"{shlex.quote(options.perface)} anonymize {{folder}} --out {{out}} --engine none --allow-no-face --quiet"
    seconds = {template: [] for template in [ours, *options.peer]}
    processor = {template: [] for template in seconds}
    for _ in range(options.rounds):
        for template in seconds:
            scratch = pathlib.Path(tempfile.mkdtemp())
            try:
                wall, cpu = timed(command(template, options.pictures, files, scratch / "out"))
            finally:
                shutil.rmtree(scratch)
            seconds[template].append(wall)
            processor[template].append(cpu)
    ours_s = statistics.median(seconds[ours])
    print(f"{len(files)} pictures, {options.rounds} rounds, medians")
    for template, times in seconds.items():
        median = statistics.median(times)
        print(
            f"{len(files) / median:7.1f} pictures/s  {median / ours_s:5.2f} × our time  "
            f"{statistics.median(processor[template]):6.1f} s of processor  {template.split(' {')[0]}"
        )


if __name__ == "__main__":
    main()
