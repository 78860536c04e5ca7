# Sourced by the scripts that measure: what is there in $folder is not made again, so that the same command goes on after a stop.
# $folder and $python are the caller's.

made() { # NAME KEY=VALUE ...: a folder of videos, if it is not there yet
    local name=$1
    [ -e "$folder/$name.made" ] && return
    "$python" infer.py "${@:2}" output="$folder/$name"
    touch "$folder/$name.made"
}

last() { # the newest results of NAME
    find "$folder/$1" -mindepth 1 -maxdepth 1 -type d -name '[0-9]*' | sort | tail -n 1
}

prompts_of() { # CONFIG [COUNT]: the captions of a configuration, one a line
    sed -n "s/^- //p" "$1" | sed "s/^'\(.*\)'\$/\1/" | head -n "${2:-1000}"
}

listed() { # CAPTION ...: as a list that a command takes
    local quoted
    quoted=$(printf "'%s'," "$@")
    echo "[${quoted%,}]"
}
