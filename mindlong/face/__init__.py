"""What `import mindlong` offers to a program; nothing here is loaded before it is used."""

import os

os.environ.setdefault("GLOG_v", "3")  # MindSpore's own log: errors only, unless asked for more
