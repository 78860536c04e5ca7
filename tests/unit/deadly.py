"""Sources on which a process that reads clips dies or hangs, for tests of the loader."""

import os
import signal
import time


class Deadly:
    """Sample i is i; reading `bad` of the files kills, hangs or does nothing but once.

    Args:
        marks: a folder where a process notes that it died.
    """

    def __init__(self, how, bad, marks=None):
        self.how, self.deadly, self.marks = how, bad, marks
        self.bad, self.reasons, self.progress = {}, [], None

    def __getstate__(self):
        return self.__dict__ | {"progress": None}

    def home(self, index):
        return index

    def sample(self, index):
        path = f"clip{index}"
        if path in self.bad:
            return -index
        if self.progress:
            self.progress(path)
        if index == self.deadly:
            self._die()
        return index

    def _die(self):
        if self.how == "once":
            mark = os.path.join(self.marks, "died")
            if os.path.exists(mark):
                return
            open(mark, "w").close()
            os.kill(os.getpid(), signal.SIGKILL)
        if self.how == "hang":
            time.sleep(60)
        os.kill(os.getpid(), getattr(signal, self.how))

    def report_bad(self, path, reason):
        if path not in self.bad:
            self.bad[path] = reason
            self.reasons.append(reason)

    def describe(self):
        return "deadly"


class Stillborn:
    """Cannot even be loaded by a process."""

    def __reduce__(self):
        return os._exit, (7,)

    def sample(self, index):
        return index

    def describe(self):
        return "stillborn"
