# Sourced by the scripts that take a FOLDER or PYTHON, before they go to the checkout: there a relative path would mean another
# place than the user's own.
usage() { # LINES, of the script's own: what it is for
    sed -n "$1" "$0" >&2
    exit 2
}

full() { # PATH: from the root on
    case "$1" in /*) printf '%s\n' "$1" ;; *) printf '%s\n' "$PWD/$1" ;; esac
}

take_python() { # sets $python: PYTHON, or what is active
    python=${PYTHON:-python}
    case "$python" in */*) python=$(full "$python") ;; esac
}

take_folder() { # LINES [FOLDER ...]: sets $folder and $python; without a folder, or with an option in its place, the usage
    case "${2:-}" in "" | -*) usage "$1" ;; esac
    folder=$(full "$2")
    take_python
}
