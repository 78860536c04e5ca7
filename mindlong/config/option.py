"""The keys of configurations are written with `option`, which networks' own keys use too."""

from mindlong.utils.option import option, section

__all__ = ["option", "section"]
