"""What the names that a pickle asks for stand for: tensors, number formats, harmless company, or
neither.

Nothing is ever imported. A name is only compared with the lists below.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from mindlong.checkpoints.dtypes import BY_STORAGE, Format
from mindlong.checkpoints.report import matches
from mindlong.utils.shown import shown

DICT, SIZE, TENSOR, TENSOR3 = "OrderedDict", "Size", "tensor", "tensor of a named format"
PARAMETER, TYPED, SCALAR = "parameter", "tensor with a type", "number of numpy"
STORAGE, UNREAD = "storage", "tensor of a form that is not read"
KNOWN = {
    "collections.OrderedDict": DICT,
    "torch.Size": SIZE,
    "torch._utils._rebuild_tensor": TENSOR,
    "torch._utils._rebuild_tensor_v2": TENSOR,
    "torch._utils._rebuild_tensor_v3": TENSOR3,
    "torch._utils._rebuild_parameter": PARAMETER,
    "torch._utils._rebuild_parameter_with_state": PARAMETER,
    "torch._tensor._rebuild_from_type_v2": TYPED,
    "numpy.core.multiarray.scalar": SCALAR,
    "numpy._core.multiarray.scalar": SCALAR,
}
_FORMS = {  # functions of torch._utils, and what their tensors are
    "_rebuild_qtensor": "quantised",
    "_rebuild_sparse_tensor": "sparse",
    "_rebuild_sparse_csr_tensor": "sparse",
    "_rebuild_nested_tensor": "nested",
    "_rebuild_meta_tensor_no_storage": "meta (it has no numbers)",
    "_rebuild_wrapper_subclass": "wrapped",
    "_rebuild_device_tensor_from_numpy": "another device's",
    "_rebuild_device_tensor_from_cpu_tensor": "another device's",
}
_STORAGES = {
    "ComplexFloatStorage": "complex64",
    "ComplexDoubleStorage": "complex128",
    "QInt8Storage": "qint8",
    "QUInt8Storage": "quint8",
    "QInt32Storage": "qint32",
    "QUInt4x2Storage": "quint4x2",
    "QUInt2x4Storage": "quint2x4",
}
_HARMLESS = re.compile(
    r"(__builtin__|builtins)\.(set|frozenset|complex|bytearray|slice|x?range|list|dict|tuple|int|long|"
    r"float|str|unicode|bytes|bool|object|type|Ellipsis|NotImplemented)|"
    r"collections\.(defaultdict|Counter|deque|ChainMap|UserDict)|_codecs\.encode|"
    r"copy_?reg\.(_reconstructor|__newobj__)|argparse\.Namespace|types\.SimpleNamespace|"
    r"pathlib(\._local)?\.(Pure)?(Posix|Windows)?Path|decimal\.Decimal|fractions\.Fraction|uuid\.UUID|"
    r"datetime\.(datetime|date|time|timedelta|timezone)|typing\.[A-Z]\w*|"
    r"numpy\.(dtype|ndarray|generic|bool_?|u?int\d*|float\d*|complex\d*|str_|bytes_)|"
    r"numpy\.dtypes\.\w+DType|numpy(\._?core)?\.(multiarray|numeric)\.(_reconstruct|_frombuffer)|"
    r"numpy\.random\._pickle\.__\w+_ctor|numpy\.random\._[a-z0-9]+\.[A-Z]\w*|"
    r"torch\.(device|Generator|Tensor|bool|half|double|long|u?int\d+|b?float\d*(_e\w+)?|complex\d+|"
    r"q?u?int\d+(x\d)?|bits\w+|per_(tensor|channel)_\w+)|torch\.serialization\._get_layout|"
    r"torch\.torch_version\.TorchVersion|torch\.nn\.parameter\.(Parameter|Buffer)|"
    r"omegaconf\.(base|dictconfig|listconfig|nodes|basecontainer)\.[A-Z]\w*|"
    r"(pytorch_lightning|lightning|lightning_fabric|transformers|diffusers|accelerate)(\.\w+)*\.[A-Z]\w*|"
    r"easydict\.EasyDict|addict\.addict\.Dict|munch\.Munch|box\.box\.Box|yacs\.config\.CfgNode|"
    r"ml_collections\.config_dict\.config_dict\.\w*ConfigDict|"
    r"(mmengine|mmcv)\.(utils\.)?config(\.config)?\.ConfigDict|mmengine\.logging\.\w+\.HistoryBuffer"
)
_PROGRAM_WORDS = (
    "os posix nt subprocess builtins __builtin__ sys runpy socket shutil importlib ctypes webbrowser pty "
    "code codeop operator functools types pickle _pickle commands requests urllib http asyncio "
    "multiprocessing threading tempfile pip pdb bdb timeit cProfile numpy.testing torch.hub torch.jit "
    "marshal copyreg dill cloudpickle io pathlib platform"
)
RUNS_PROGRAMS = frozenset(_PROGRAM_WORDS.split())
_ROOM = 600  # characters of names in a sentence


@dataclass(frozen=True)
class Known:
    """A name that weights are made of.

    Attributes:
        role: what it does.
        form: of a storage class, its numbers.
        words: of what is not read, what it is.
    """

    role: str
    form: Format | None = None
    words: str = ""


def known(name: str) -> Known | None:
    """What `module.name` stands for among the names that weights are made of; None: it is none."""
    module, _, last = name.rpartition(".")
    if name in KNOWN:
        return Known(KNOWN[name])
    if module == "torch._utils" and last in _FORMS:
        return Known(UNREAD, words=_FORMS[last])
    if module not in ("torch", "torch.storage"):
        return None
    if last in BY_STORAGE:
        return Known(STORAGE, BY_STORAGE[last])
    if last == "UntypedStorage":
        return Known(STORAGE)
    if last.endswith("Storage"):
        return Known(STORAGE, words=_STORAGES.get(last, name))
    return None


def is_harmless(name: str) -> bool:
    """True for the classes of settings, dates, paths and the like that programs keep beside
    weights.
    """
    return _HARMLESS.fullmatch(name) is not None


def runs_programs(name: str) -> bool:
    """True for names out of modules that can run programs."""
    words = name.split(".")
    return not is_harmless(name) and any(
        ".".join(words[: i + 1]) in RUNS_PROGRAMS for i in range(len(words))
    )


def is_inert(name: str, patterns: Sequence[str]) -> bool:
    """True where objects of that name are stepped over, by the lists here or by the user's word."""
    return is_harmless(name) or matches(name, patterns)


def refusal(names: Iterable[str]) -> str:
    """The sentence on all names that were not expected."""
    names = list(dict.fromkeys(names))
    bad = [name for name in names if runs_programs(name)]
    listed = _listed(bad or names)
    if bad:
        return f"it asks for {listed}, which can run programs and which weights have no use for"
    if any(name.startswith("torch.nn.modules.") for name in names):
        return (
            f"it holds a whole module with its classes ({listed}), not a table of tensors; save its "
            "state_dict() where PyTorch and the classes are"
        )
    ways = " ".join(f"--inert '{shown(way)}'" for way in _patterns(names))
    return (
        f"it asks for {listed}, which weights have no use for. If the file is what you expect, "
        f"`{ways}` (tools/convert_checkpoint.py) steps over objects of these names unbuilt"
    )


def _listed(names: Sequence[str]) -> str:
    listed: list[str] = []
    length = 0
    for name in names:
        length += len(name) + 4
        if listed and length > _ROOM:
            return f"{', '.join(listed)} and {len(names) - len(listed)} more names"
        listed.append(repr(shown(name, most=200)))
    return ", ".join(listed)


def _patterns(names: Iterable[str]) -> list[str]:
    """Shell patterns that cover the names: one for each package, for a lone module each name."""
    found: dict[str, None] = {}
    for name in names:
        package, dot, _ = name.partition(".")
        found[f"{package}.*" if dot else name] = None
    return list(found)[:20]
