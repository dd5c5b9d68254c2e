"""Plug-ins for tests: one small program that behaves as it is told."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tasks.plugins.contract import write_yaml

# the standard library alone, so that it starts quickly
PROGRAM = '''\
import json, os, re, subprocess, sys, time
from pathlib import Path

how, inside, outside = sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3])
env = (inside / "env.yaml").read_text()
config = (inside / "config.yaml").read_text()
task = re.search(r"task_id: (\\S+)", env)[1]
classes = re.findall(r"^- (.+)$", config.split("class_names:")[1].split(":")[0], re.M)


def tell(share, state=2, more=""):
    (outside / "monitor.txt").write_text(f"{task}\\t{time.time():.6f}\\t{share}\\t{state}{more}\\n")


def asks(kind):
    return f"run_{kind}: true" in env


def pictures():
    return (inside / "candidate-index.tsv").read_text().split()


def boxes(at):
    name = "elephant" if how == "classes" else classes[at % len(classes)]
    x = float("nan") if how == "nan" else 1e300 if how == "outside" else 5 + at
    return [{"box": {"x": x, "y": 6, "w": 20, "h": 15}, "class_name": name, "score": 0.9 - at / 100},
            {"box": {"x": 40, "y": 30, "w": 300, "h": 20}, "class_name": classes[0], "score": 0.02}]


def infer():
    found = {Path(path).name: {"boxes": boxes(at)} for at, path in enumerate(pictures())}
    if how == "climbs":
        found["../../../etc/passwd"] = {"boxes": []}
    text = json.dumps({"detection": found})
    text = {"rubbish": text[:50], "list": "[1, 2]", "deep": "[" * 200000}.get(how, text)
    (outside / "infer-result.json").write_text(text)


def mine():
    rows = [(path, 1 - at / 10) for at, path in enumerate(pictures())]
    rows = rows[::-1] if how == "unsorted" else rows
    rows += {"climbs": [("../../etc/passwd", 0)], "nan": [(rows[0][0], float("nan"))], "twice": rows[-1:]}.get(how, [])
    text = "".join(f"{path}\\t{score}\\n" for path, score in rows)
    (outside / "result.tsv").write_text("no tab\\n" if how == "rubbish" else text)


def train():
    home = outside / "models" / "epoch1"
    home.mkdir(parents=True, exist_ok=True)
    (home / "weights.bin").write_text((inside / "train-index.tsv").read_text())
    file = {"climbs": "../../../in/config.yaml", "list": "absent.bin"}.get(how, "weights.bin")
    if how == "link":
        (home / "secret").symlink_to("/etc/hostname")
        file = "secret"
    best = "epoch9" if how == "classes" else "epoch1"
    text = f"best_stage_name: {best}\\nmAP: 0.5\\nmodel_stages:\\n  epoch1:\\n    files: ['{file}']\\n    mAP: 0.5\\n"
    (outside / "models" / "result.yaml").write_text({"rubbish": "{:"}.get(how, text))


for path in [] if how == "careless" else [p for p in (inside / "assets").rglob("*") if p.is_file()]:
    if path.read_bytes()[:4] != b"\\x89PNG":
        tell(0.1, 4, "\\t300003\\tnot a picture")
        sys.exit(1)
tell(0.0)
if how == "never":
    time.sleep(600)
if how == "loud":
    while True:
        tell(0.5)
        print("still here", flush=True)
        time.sleep(0.05)
if how == "breaks":
    tell(0.25, 4, "\\t300103\\t3 GB asked for\\nTraceback:\\n  somewhere")
    sys.exit(7)
if how == "exits":
    print("cannot go on")
    sys.exit(5)
if how == "flood":
    for _ in range(150):
        sys.stdout.write("x" * 99_999 + "\\n")
    print("the last words")
if how == "children":
    Path(outside / "pids").write_text("")
    child = "import time; time.sleep(600)"
    for own in (False, True):
        made = subprocess.Popen([sys.executable, "-c", child], start_new_session=own)
        with open(outside / "pids", "a") as file:
            file.write(f"{made.pid} ")
if how == "bomb":
    # eight at a time, each of which makes another before it ends; every other one in a session of its own
    code = "import os, time\\nwhile os.fork() == 0:\\n    os.getpid() % 2 and os.setsid()\\n    time.sleep(0.01)"
    for _ in range(8):
        subprocess.Popen([sys.executable, "-c", code])
if how == "changes":
    (inside / "config.yaml").write_text("gone")
if how == "nothing":
    sys.exit(0)
for kind, do in (("training", train), ("mining", mine), ("infer", infer)):
    if asks(kind):
        do()
if how == "monitor":
    (outside / "monitor.txt").write_text("all is well\\n")
elif how == "backwards":
    tell(0.9), time.sleep(0.5), tell(0.4), time.sleep(0.5)
else:
    tell(1.0, 3)
'''


def describe(workspace: Path, how: str, **fields: Any) -> str:
    """Write conf/plugin/HOW.yaml of a plug-in that behaves so; returns its name."""
    folder = workspace / "conf/plugin"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "program.py").write_text(PROGRAM, encoding="utf-8")
    told = {"kinds": ["train", "mine", "infer"], "minutes": 2.0,
            "command": ["{python}", "{here}/program.py", how, "{in}", "{out}"]} | fields
    write_yaml(folder / f"{how}.yaml", told)
    return how


def is_gone(pid: int) -> bool:
    """Whether a process has ended; one that nobody has asked for its exit code has."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] in "ZX"
    except OSError:
        return True
