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

clips_written() { # COUNT OPTION ...: clips to tune on in $folder/clips, written aside so that a stop leaves none half there
    [ -e "$folder/clips/$(printf 'clip-%03d.txt' $(($1 - 1)))" ] && return
    rm -rf "$folder/clips.part"
    "$python" tools/evaluate_edits.py "${@:2}" --write_clips "$folder/clips.part" --count "$1" --seed 2000
    mkdir -p "$folder/clips"
    cp -rn "$folder/clips.part/." "$folder/clips/"
    rm -rf "$folder/clips.part"
}
