"""Processes of a job as threads of a test."""

import threading


class ThreadComm:
    """The communicator of one of them."""

    def __init__(self, rank, size, barrier, texts):
        self.rank, self.size, self.barrier, self.texts = rank, size, barrier, texts

    def all_gather_text(self, text):
        self.texts[self.rank] = text
        self.barrier.wait(30)
        found = list(self.texts)
        self.barrier.wait(30)
        return found


def on_ranks(size, run):
    """run(rank, communicator) at once on all; the error of each, or None."""
    barrier, texts, errors = threading.Barrier(size), [""] * size, [None] * size

    def one(rank):
        try:
            run(rank, ThreadComm(rank, size, barrier, texts))
        except Exception as error:
            errors[rank] = error

    threads = [threading.Thread(target=one, args=(rank,)) for rank in range(size)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    return errors
