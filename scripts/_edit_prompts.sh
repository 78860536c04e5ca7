# Sourced: edit_prompts CAPTION prints a list of four prompts of another shape and another colour than "a COLOUR SHAPE moving ...".
edit_prompts() {
    local motion="${1#* moving }" words=($1) colour shape found=()
    for colour in red green blue yellow; do
        for shape in circle square triangle; do
            [ "$colour" != "${words[1]}" ] && [ "$shape" != "${words[2]}" ] && found+=("'a $colour $shape moving $motion'")
        done
    done
    printf '[%s, %s, %s, %s]' "${found[0]}" "${found[2]}" "${found[4]}" "${found[1]}"
}
