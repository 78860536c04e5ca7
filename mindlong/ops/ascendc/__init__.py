"""The Ascend C attention kernel for 910A and its CPU twin."""
