"""Typed configuration: YAML files and key=value pairs become dataclasses."""
