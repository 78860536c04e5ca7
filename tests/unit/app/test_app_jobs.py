"""Jobs: what may be asked for, and processes that outlive the page. Small stand-ins take the place
of infer.py where only the keeping of jobs is looked at.
"""

import os
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from app_places import ANNA, BORIS, arrived, desk, place_in, png

from mindlong.app import child, estimate, runs
from mindlong.app.desk import rows_of
from mindlong.app.form import Form, tree_of
from mindlong.app.job import Job, jobs_of
from mindlong.app.queue import Queue
from mindlong.utils.errors import ConfigError, UserError

WORK = (  # stands for infer.py: says how far it is, waits for a file, leaves a record or an error
    "import json,os,pathlib,signal,sys,time\n"
    "held=dict(a.split('=',1) for a in sys.argv[1:] if '=' in a)\n"
    "home=pathlib.Path(os.environ['MINDLONG_PROGRESS']).parent\n"
    "run=home/'runs'/'0001'; run.mkdir(parents=True,exist_ok=True)\n"
    "pathlib.Path(os.environ['MINDLONG_PROGRESS']).write_text(json.dumps({'what':'denoising','done':2,'total':8,'unit':'step'}))\n"
    "print('began', flush=True)\n"
    "signal.signal(signal.SIGTERM, lambda *_: (print('stopped by SIGTERM', flush=True), os._exit(143)))\n"
    "while not (home/'end').exists(): time.sleep(0.02)\n"
    "if (home/'end').read_text()=='fail': print('error: the weights are gone'); sys.exit(3)\n"
    "(run/'video.json').write_text('{\"timings\": {\"seconds\": 30}}')\n"
)


@pytest.fixture
def place(tmp_path):
    return place_in(tmp_path)


@pytest.fixture
def stand_in(monkeypatch):
    monkeypatch.setattr(
        child, "command", lambda arguments: [sys.executable, "-c", WORK, *arguments]
    )


def asked(place, owner=ANNA, **fields):
    return desk(place, owner).submit(Form("text_to_video", **{"prompts": "a red circle", **fields}))


def until(what, seconds=20):
    end = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.02)


def end(job: Job, how="done"):
    (job.folder / "end").write_text(how)
    until(lambda: not job.is_alive())


def test_words_arrive_as_they_were_typed(place):
    """Quotes, dollars, colons, brackets, a name of a file: no shell and no YAML sees them."""
    words = "a 'red' \"circle\"; $(id) `id` ${seed}: [1, {2}] # & | > x \\ é @"
    job = asked(place, prompts=f"{words}\n@/etc/hosts.txt\n--config x", negative=words, guidance=2)
    held = yaml.safe_load((job.folder / "config.yaml").read_text())
    assert held["prompts"] == [words, "@@/etc/hosts.txt", "--config x"]
    assert held["text_to_video"]["negative"] == words
    assert job.about()["arguments"] == ["--config", str(job.folder / "config.yaml")]
    assert held["output"] == str(job.folder / "runs")


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"weights": "/etc/passwd"}, "may not read"),
        ({"weights": "../../etc"}, "may not read"),
        ({"weights": "~/models"}, "may not read"),
        ({"weights": "models"}, "may not read"),
        ({"weights": "someone/model"}, "may not read"),
        ({"weights": "shipped:../../../etc"}, "may not read"),
        ({"weights": "shipped:nothing"}, "may not read"),
        ({"more": "image=shipped:../../../etc/hostname"}, "may not read"),
        ({"more": "image=shipped:nothing/1.png"}, "may not read"),
        ({"weights": "{weights}/out"}, "may not read"),
        ({"weights": "{weights}/../secret"}, "may not read"),
        ({"weights": "a\0b"}, "NUL"),
        ({"more": "output=/tmp/x"}, "set by"),
        ({"more": "env.native=off"}, "set by whoever starts"),
        ({"more": "env={{memory: ignore}}"}, "set by whoever starts"),
        ({"more": "lora=[/etc/passwd:0.5]"}, "may not read"),
        ({"more": "latent.tokenizer=/etc"}, "may not read"),
        ({"more": "latent.vae=${{output}}/x"}, "may not read"),
        ({"more": "text_to_video.start=/etc/passwd"}, "may not read"),
        ({"more": "video=/etc/passwd"}, "may not read"),
        ({"more": "video={boris}"}, "may not read"),
        ({"more": "prompts=@/etc/hosts.txt"}, "file"),
        ({"more": "prompt=@/etc/hosts.txt"}, "file"),
        ({"more": "--config=/etc/passwd"}, "not understood"),
        ({"more": "rm -rf /"}, "not understood"),
        ({"more": "pipeline=edit"}, "edit"),
        ({"more": "no_such_key=1"}, "unknown key"),
        ({"scenes": "a red circle"}, "FRAMES: PROMPT"),
        ({"scenes": "0-3: a\n0-3: b"}, "every range once"),
        ({"prompts": "a" * 30000}, "at most"),
        ({"steps": -3}, "steps"),
        ({"images": ("/etc/passwd",)}, "may not read"),
    ],
)
def test_what_is_not_a_persons_to_ask_is_refused(place, tmp_path, fields, said):
    (place.weights[0] / "out").symlink_to("/etc")
    (tmp_path / "secret").mkdir()
    other = desk(place, BORIS).upload(arrived(place, png()))
    named = {"weights": place.weights[0], "boris": other}
    filled = {k: v.format(**named) if isinstance(v, str) else v for k, v in fields.items()}
    with pytest.raises(UserError, match=said) as refused:
        asked(place, **filled)
    assert "\n" not in str(refused.value)
    assert not jobs_of(place.person(ANNA).jobs)


def test_pictures_that_come_with_mindlong_are_anybodys(place):
    more = "images=[shipped:storyboard_shapes/1.png]"
    plan = desk(place).plan(
        Form("extend", prompts="a", weights="shipped:base_shapes", frames=16, more=more)
    )
    assert plan.rows


def test_what_is_a_persons_to_ask_is_taken(place):
    own = desk(place).upload(arrived(place, png()))
    job = desk(place).submit(
        Form(
            "extend",
            prompts="a",
            images=(str(own),),
            weights="shipped:interpolation_shapes",
            frames=8,
        )
    )
    assert yaml.safe_load((job.folder / "config.yaml").read_text())["extend"]["images"] == [
        str(own)
    ]


@pytest.mark.parametrize("name", ["../0001", "0001/..", "", "1", "0002", "0001\0", "/etc", None])
def test_a_job_is_known_by_its_number_alone(place, name):
    asked(place)
    with pytest.raises(UserError):
        desk(place).job(name)


def test_jobs_are_each_persons_own(place):
    asked(place)
    assert [job.name for job in desk(place).jobs()] == ["0001"] and not desk(place, BORIS).jobs()
    with pytest.raises(UserError):
        desk(place, BORIS).stop("0001")
    for owner in ("", "../" + ANNA, ANNA[:-1], ANNA.upper(), ANNA + "\n"):
        with pytest.raises(UserError):
            place.person(owner)


def test_one_job_at_a_time_in_the_order_of_asking(place, stand_in):
    jobs = [asked(place), asked(place, BORIS), asked(place)]
    queue = Queue(place)
    assert queue.look() == [jobs[0]] and queue.look() == []
    assert [job.state() for job in jobs] == ["running", "waiting", "waiting"]
    assert [queue.before(job) for job in jobs[1:]] == [0, 1]
    until(lambda: jobs[0].progress())
    assert jobs[0].progress()["done"] == 2
    end(jobs[0])
    assert queue.look() == [jobs[1]] and jobs[0].state() == "done"
    desk(place).stop(jobs[2].name)
    end(jobs[1])
    assert queue.look() == [] and jobs[2].state() == "stopped"


def test_a_job_goes_on_when_the_page_has_ended_and_is_found_again(place, stand_in):
    job = asked(place)
    code = (
        "import sys; from pathlib import Path; from mindlong.app import child; from mindlong.app.job import Job\n"
        f"child.command = lambda arguments: [sys.executable, '-c', {WORK!r}, *arguments]\n"
        "child.start(Job(Path(sys.argv[1])), Path(sys.argv[1]))"
    )
    assert os.spawnv(os.P_WAIT, sys.executable, [sys.executable, "-c", code, str(job.folder)]) == 0
    assert job.state() == "running"
    assert Queue(place).look() == []  # a new page counts it
    with pytest.raises(UserError, match="at work already"):
        child.start(job, job.folder)
    until(lambda: "began" in job.said())
    desk(place).stop(job.name)
    until(lambda: not job.is_alive())
    assert job.state() == "stopped" and "stopped by SIGTERM" in job.said()
    desk(place).go_on(job.name)
    assert job.state() == "waiting" and Queue(place).look() == [job]
    end(job)
    assert job.state() == "done"


def test_a_failed_job_says_why(place, stand_in):
    job = asked(place)
    Queue(place).look()
    end(job, "fail")
    assert job.state() == "failed" and job.sentence() == "error: the weights are gone"
    with pytest.raises(UserError, match="only a stopped one"):
        desk(place).go_on(asked(place).name)


@pytest.mark.parametrize(
    ("held", "said"),
    [
        ("{}", "error: it cannot be started: the file job.json of job 0001 is damaged"),
        ('{"arguments": ["a\\u0000b"]}', "error: it cannot be started: ValueError: embedded null"),
    ],
)
def test_a_job_that_is_damaged_fails_and_holds_up_nobody(place, stand_in, held, said):
    damaged, behind = asked(place), asked(place, BORIS)
    (damaged.folder / "job.json").write_text(held)
    assert Queue(place).look() == [behind]
    assert damaged.state() == "failed" and damaged.sentence().startswith(said)
    end(behind)


def test_a_job_that_cannot_be_taken_out_of_the_queue_holds_up_nobody(place, stand_in, monkeypatch):
    damaged, behind = asked(place), asked(place, BORIS)
    (damaged.folder / "job.json").write_text("{}")
    unmark = Job.unmark

    def refused(job, *names):
        if job == damaged:
            raise OSError(30, "Read-only file system")
        unmark(job, *names)

    monkeypatch.setattr(Job, "unmark", refused)
    assert Queue(place).look() == [behind]
    end(behind)


def test_a_process_of_the_same_number_is_left_alone(place, stand_in):
    """A pid that the system has given out again is another process."""
    job = asked(place)
    Queue(place).look()
    job.mark("started", pid=os.getpid(), born="1")
    desk(place).stop(job.name)
    assert job.is_alive()
    end(job)


def test_the_password_is_not_handed_on(place, stand_in, monkeypatch):
    monkeypatch.setenv("MINDLONG_APP_PASSWORD", "correct horse")
    assert "correct horse" not in child.environment().values()


def test_rows_of_a_dry_run():
    said = "pipeline: pixel\n\nmindlong  0.1, dry run\nplan      2 videos\n  level 0: 1 run\npeak memory  1 GiB\nnote: few steps"
    rows, notes = rows_of(said)
    assert rows == (("plan", "2 videos\nlevel 0: 1 run"), ("peak memory", "1 GiB"))
    assert notes == ("few steps",)


def test_a_plan_is_the_dry_run_of_infer(place):
    plan = desk(place).plan(Form("pixel", prompts="a red circle", steps=4, frames=2))
    assert dict(plan.rows)["plan"].startswith("1 videos of 2 frames")
    assert "GiB" in dict(plan.rows)["peak memory"] and "not known" in plan.time
    with pytest.raises(UserError, match="nothing to animate"):
        desk(place).plan(Form("animate", prompts="a", weights="shipped:latent_shapes"))


def test_every_number_of_the_form_reaches_its_key(place, stand_in):
    form = Form("text_to_video", prompts="a", steps=4, deflicker=3, scale=2, count=5)
    config = desk(place)._loaded(form).values
    found = (config.sample.steps, config.deflicker, config.scale, config.count)
    assert found == (4, 3, 2, 5)


@pytest.mark.parametrize(("given", "kept"), [(0, 0.0), (0.0, 0.0), (2, 2.0)])
def test_a_guidance_of_nought_is_a_scale_of_its_own(given, kept):
    assert tree_of(Form("text_to_video", guidance=given))["sample"] == {"guidance": kept}


def test_a_guidance_left_empty_is_the_pipelines_own():
    assert "sample" not in tree_of(Form("text_to_video"))


def test_no_image_is_left_out_without_a_word():
    tree = tree_of(Form("text_to_video", images=("a.png",)))
    assert tree["text_to_video"] == {"image": "a.png"}
    with pytest.raises(ConfigError, match=r"3 images were given; text_to_video.image takes one"):
        tree_of(Form("text_to_video", images=("a.png", "b.png", "c.png")))
    for name in ("animate", "hierarchical", "extend", "interpolate"):  # which take several
        assert tree_of(Form(name, images=("a.png", "b.png")))[name]["images"] == ["a.png", "b.png"]


def test_the_time_is_that_of_the_last_run_by_the_work(place, stand_in):
    job = asked(place, steps=10)
    Queue(place).look()
    end(job)
    config = desk(place)._loaded(Form("text_to_video", prompts="a\nb", steps=20)).values
    assert estimate.sentence(config, [job]) == "about 2 min 00 s, as job 0001 took 30 s"


def test_copies_for_the_browser_are_each_persons_and_are_forgotten(place, tmp_path):
    made = tmp_path / "video.mp4"
    made.write_bytes(b"frames")
    copies = [Path(runs.shown(made, place, place.person(owner))) for owner in (ANNA, BORIS)]
    assert [copy.read_bytes() for copy in copies] == [b"frames"] * 2
    assert [copy.relative_to(place.served).parts[0] for copy in copies] == [ANNA, BORIS]
    made.write_bytes(b"other frames")
    assert Path(runs.shown(made, place, place.person(ANNA))).read_bytes() == b"other frames"
    os.utime(copies[0], (1, 1))
    runs.forget_copies(place)
    assert not copies[0].exists() and copies[1].exists() and made.exists()


def test_runs_are_a_persons_own_and_those_of_the_folders_shown(place, stand_in, tmp_path):
    outputs = tmp_path / "outputs"
    (outputs / "0003").mkdir(parents=True)
    (outputs / "0003" / "config.yaml").write_text("pipeline: edit\n")
    (outputs / "0003" / "video.json").write_text('{"prompts": [{"prompt": "a blue square"}]}')
    (outputs / "0003" / "video.mp4").write_bytes(b"frames")
    (outputs / "0003" / "stolen.mp4").symlink_to("/etc/passwd")
    job = asked(place, prompts="a red circle")
    Queue(place).look()
    end(job)
    place = replace(place, outputs=(outputs,))
    own, shared = runs.runs_of(place, place.person(ANNA), [job])
    assert own.row()[:4] == ["job 0001", "done", "text_to_video", "a red circle"]
    assert shared.row()[:4] == ["outputs/0003", "done", "edit", "a blue square"]
    assert [path.name for path in shared.videos()] == ["video.mp4"]
    with pytest.raises(UserError, match="left no file"):
        own.recipe_file()
    with pytest.raises(UserError, match="no recipe|cannot be read"):
        desk(place).again(shared.recipe_file(), shared.config(), 1)
