"""What a file is, by its first bytes, and a sentence for everything that is not a weight file."""

from __future__ import annotations

import re
import struct
from pathlib import Path

from mindlong.checkpoints.faults import CorruptCheckpoint, ForeignFile
from mindlong.checkpoints.safetensors_file import MAX_HEADER
from mindlong.utils.errors import InputFileError

ZIP, SAFETENSORS, MINDSPORE = "zip", "safetensors", "mindspore"
NPZ, TORCH = "npz", "torch"  # of zip archives, by the names of their records
_LEGACY_MAGIC = b"\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19"
_RESAVE = (
    "open it once where PyTorch is and you trust it, and save it again: "
    "torch.save(torch.load(FILE, weights_only=True), NEW)"
)
_MAGIC = (
    (b"\x1f\x8b", "a gzip archive; unpack it first"),
    (b"BZh", "a bzip2 archive; unpack it first"),
    (b"\xfd7zXZ", "an xz archive; unpack it first"),
    (b"7z\xbc\xaf", "a 7z archive; unpack it first"),
    (b"Rar!", "a RAR archive; unpack it first"),
    (b"\x28\xb5\x2f\xfd", "a zstd archive; unpack it first"),
    (b"\x89HDF", "an HDF5 file (Keras?)"),
    (b"GGUF", "a GGUF file (quantised, for llama.cpp)"),
    (b"\x93NUMPY", "a single numpy array (.npy), not a set of named tensors"),
    (b"\x89PNG", "a PNG image"),
    (b"\xff\xd8\xff", "a JPEG image"),
    (b"GIF8", "a GIF"),
    (b"RIFF", "a WebP image or an AVI video"),
    (b"%PDF", "a PDF document"),
    (b"\x7fELF", "a program for Linux"),
    (b"MZ", "a program for Windows"),
    (b"#!", "a script"),
)


def kind_of(path: Path) -> str:
    """ "zip" (PyTorch or numpy), "safetensors" or "mindspore" (its .ckpt), by content; the suffix
    does not matter.

    Raises:
        InputFileError: no such file. CorruptCheckpoint: empty, or the beginning of a download.
        ForeignFile: anything else, named as what it is.
    """
    if not path.is_file():
        raise InputFileError(f"{path}: {_no_file(path)}")
    size = path.stat().st_size
    with path.open("rb") as file:
        head = file.read(4096)
    if size == 0:
        raise CorruptCheckpoint(f"{path}: the file is empty (a download that never started?)")
    if kind_by_head(head):
        return kind_by_head(head)
    reason = foreign(head, size)
    if reason:
        raise ForeignFile(f"{path}: {reason}")
    if _is_mindspore(head):
        return MINDSPORE
    if not any(head):
        raise CorruptCheckpoint(
            f"{path}: begins with zeros only (a download that reserved its space and stopped?)"
        )
    raise ForeignFile(
        f"{path}: not a weight file that is known here (first bytes {head[:8].hex(' ')}); "
        "PyTorch zip files, safetensors and MindSpore .ckpt files are read"
    )


def kind_by_head(head: bytes) -> str:
    """ZIP or SAFETENSORS by the first 4096 bytes of a file, else ""."""
    if head.startswith(b"PK\3\4"):
        return ZIP
    return SAFETENSORS if _is_safetensors(head) else ""


def _no_file(path: Path) -> str:
    """Why nothing can be read at `path`, as the end of a sentence."""
    if path.is_symlink() and not path.exists():
        return "is a link to nothing, or to itself"
    kinds = (
        (path.is_fifo, "is a pipe, not a file; write it to a file first"),
        (path.is_char_device, "is a device, not a file"),
        (path.is_block_device, "is a device, not a file"),
        (path.is_socket, "is a socket, not a file"),
        (path.is_dir, "is a folder, not a file"),
    )
    return next((words for test, words in kinds if test()), "there is no such file")


def foreign(head: bytes, size: int) -> str:
    """What a file is that is no weight file, as the end of a sentence; "" if nothing is known of
    it.
    """
    text = _foreign_text(head, size)
    if text:
        return text
    if head[257:262] == b"ustar" or head.startswith(
        (b"sys_info\0", b"tensors\0", b"storages\0", b"pickle\0")
    ):
        return f"is in the tar form of PyTorch before 0.1.10, or a tar archive; {_RESAVE}"
    if _LEGACY_MAGIC in head[:16]:
        return f"is in the pickle form of PyTorch before 1.6, which is a program and is not run here; {_RESAVE}"
    if re.match(rb"\x80[\x02-\x05]", head):
        return f"is a bare pickle, which is a program and is not run here; if it holds weights, {_RESAVE}"
    if head[4:8] == b"ftyp":
        return "is an MP4 video"
    return next((f"is {what}" for magic, what in _MAGIC if head.startswith(magic)), "")


def _foreign_text(head: bytes, size: int) -> str:
    start = head.lstrip(b"\xef\xbb\xbf \t\r\n")[:512]
    low = start.lower()
    if low.startswith(b"version https://git-lfs"):
        return _lfs(head, size)
    if low.startswith((b"<!doctype html", b"<html", b"<head")) or (
        low.startswith(b"<") and b"<html" in low
    ):
        return "is an HTML page, not weights: the download gave a web page (a log-in, a licence question, an error)"
    if low.startswith(b"<?xml"):
        return "is an XML text, not weights: probably the error message of a download"
    if low.startswith((b"{", b"[")) and b"\0" not in head:
        return f"is a JSON text, not weights ({start[:60].decode('utf-8', 'replace')!r})"
    if size < 4096 and b"\0" not in head and _is_text(head):
        return f"is a text of {size} bytes, not weights ({start[:60].decode('utf-8', 'replace')!r})"
    return ""


def _lfs(head: bytes, size: int) -> str:
    found = re.search(rb"^size (\d+)", head, re.MULTILINE)
    bytes_there = f" of {int(found[1])} bytes" if found else ""
    return (
        f"is a git-lfs pointer ({size} bytes) and not the weights{bytes_there} it stands for; "
        "run `git lfs pull` in its repository, or download the file itself"
    )


def _is_text(head: bytes) -> bool:
    try:
        return head.decode("utf-8").isprintable() or b"\n" in head
    except UnicodeDecodeError:
        return False


def _is_safetensors(head: bytes) -> bool:
    return (
        len(head) > 8 and 2 <= struct.unpack("<Q", head[:8])[0] <= MAX_HEADER and head[8:9] == b"{"
    )


def _is_mindspore(head: bytes) -> bool:
    """A protobuf message whose field 1 is a value with a tag: 0A length 0A taglength TAG 12 ..."""
    return (
        re.match(rb"\x0a[\x80-\xff]{0,9}[\x00-\x7f]\x0a[\x01-\x7f][\x20-\x7e]+", head, re.DOTALL)
        is not None
    )
