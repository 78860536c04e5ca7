"""Shared by all tests: MindSpore on the CPU in graph mode, quiet."""

import os

os.environ.setdefault("GLOG_v", "3")
