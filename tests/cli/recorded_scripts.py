"""What a script asks of the programs: a recorder in the place of its Python."""

import json
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
RECORDER = """#!{python}
import json, os, sys
with open(os.environ["SAID"], "a") as said:
    said.write(json.dumps(sys.argv[1:]) + "\\n")
for word in sys.argv[1:]:
    if word.startswith("output="):
        os.makedirs(word[7:] + "/0001", exist_ok=True)
if "--write_clips" in sys.argv:
    given = dict(zip(sys.argv, sys.argv[1:]))
    os.makedirs(given["--write_clips"], exist_ok=True)
    for number in range(int(given["--count"])):
        with open(given["--write_clips"] + "/clip-%03d.txt" % number, "w") as text:
            text.write({caption!r})
"""
CAPTION = "a red circle moving right, the camera pans up and zooms in"


def asked(script, folder, *words, cwd=None, python=""):
    """The exit code of `scripts/SCRIPT`, started in `cwd`, and the commands that it gives. `python`
    is what PYTHON says, the recorder's full path where it is empty.
    """
    recorder, said = folder / "python", folder / "said"
    recorder.write_text(RECORDER.format(python=sys.executable, caption=CAPTION))
    recorder.chmod(0o755)
    said.write_text("")
    environment = {**os.environ, "PYTHON": python or str(recorder), "SAID": str(said)}
    command = ["bash", str(ROOT / "scripts" / script), *words]
    done = subprocess.run(
        command, env=environment, cwd=cwd, capture_output=True, text=True, check=False
    )
    return done.returncode, [json.loads(line) for line in said.read_text().splitlines()]
