#!/usr/bin/env bash
# Trains on the film world what docs/worlds.md measures there, and measures it: weights, tables and sheets in FOLDER.
# Seven hours of one core; what is there is not made again, so that the same command goes on after a stop.
# usage: scripts/film_world.sh FOLDER [between|text|pixels|long|deep|clips|tuning] ...     without a word all of them
set -euo pipefail
source "$(dirname "$0")/_folder.sh"
take_folder 2,4p "$@"
shift
for word in "$@"; do
    case "$word" in between | text | pixels | long | deep | clips | tuning) ;; *) usage 2,4p ;; esac
done
[ $# -ge 1 ] || set -- between text pixels long deep clips tuning
cd "$(dirname "$0")/.."
. scripts/_made.sh
known=(--shapes circle square triangle --colours red green blue yellow)
vae=(latents.vae="$folder/autoencoder")
mapfile -t captions < <(prompts_of configs/infer/film_base_evaluation.yaml 16)

trained() { # NAME CONFIG KEY=VALUE ...: a run, that goes on where it stopped
    "$python" train.py --config "configs/train/$2.yaml" run_dir="$folder/$1" "${@:3}"
}

words() { # NAME OPTION ...: a vocabulary with this world's words
    [ -e "$folder/$1/vocab.json" ] || "$python" tools/train_tokenizer.py --film "${@:2}" --dst "$folder/$1"
}

base() {
    words base_words --weights shipped:base_shapes --length 32
    trained base film_base "${vae[@]}" latents.text_weights="$folder/base_words" latents.tokenizer="$folder/base_words"
}

between() { # 5 of 17 and 5 of 65 frames, reading a band of frames and all of them
    words words
    local reads
    for reads in window:5 all; do
        local name=between_${reads/:/_}
        trained "$name" film_interpolate "${vae[@]}" latents.tokenizer="$folder/words" model.reads="{time: '$reads'}"
        measured "$name" 17 --shapes 32 --frames 17 --every 4
        measured "$name" 65 --shapes 16 --frames 65 --every 16 --stages 4 4
    done
}

measured() { # NAME FRAMES OPTION ...: a table of the frames between
    "$python" tools/evaluate_interpolation.py --world film --outlines circle square triangle --colours red green blue yellow --size 64 64 \
        --weights "$folder/$1" --steps 10 "${@:3}" --sheet "$folder/$1-$2.png" --json "$folder/$1-$2.json"
}

text() {
    base
    made texts --config configs/infer/film_base_evaluation.yaml weights="$folder/base"
    "$python" tools/evaluate_shapes.py "$(last texts)" --world film "${known[@]}" --json "$folder/texts.json" --sheet "$folder/texts.png"
    "$python" tools/evaluate_shapes.py "$(last texts)" --world film "${known[@]}" --unsure
}

pixels() { # text to video without latents, the captions of the pixel model of the shapes world
    trained pixels vdm_film
    made pixel_texts --config configs/infer/vdm_shapes_evaluation.yaml weights="$folder/pixels"
    "$python" tools/evaluate_shapes.py "$(last pixel_texts)" --world film "${known[@]}" --json "$folder/pixels.json" --sheet "$folder/pixels.png"
    "$python" tools/evaluate_shapes.py "$(last pixel_texts)" --world film "${known[@]}" --unsure
}

storyboard() {
    base
    words storyboard_words --weights shipped:storyboard_shapes
    trained storyboard film_storyboard "${vae[@]}" latents.text_weights="$folder/storyboard_words" latents.tokenizer="$folder/storyboard_words"
}

deep() { # 3,376 frames, three levels, half of the captions
    storyboard
    made deep --config configs/infer/film_long_evaluation.yaml weights="$folder/storyboard" hierarchical.key_weights="$folder/base" \
        prompts="$(listed "${captions[@]:0:8}")" 'lengths=[16,16,16]' 'level_steps=[25,4,4]' 'level_guidance=[1.5,1,1]' 'level_strength=[1,0.3,0.3]' 'level_seams=[free,fade,fade]'
    "$python" tools/evaluate_long.py "$(last deep)" --world film "${known[@]}" --sheet "$folder/deep.png" --json "$folder/deep.json"
}

tuning() { # what tuning on one clip brings
    words image_words --weights shipped:stable_diffusion_shapes --length 32
    trained images film_images "${vae[@]}" latents.text_weights="$folder/image_words" latents.tokenizer="$folder/image_words"
    PYTHON=$python FILM=$folder WAYS='fresh-0.6 inverted' bash scripts/compare_tuning.sh "$folder/tuning"
}

long() {
    storyboard
    local config=configs/infer/film_long_evaluation.yaml
    local alone=(weights="$folder/base" hierarchical.key_weights= 'lengths=[16]' frames=226 'level_steps=[10]' 'level_guidance=[1.5]'
        'level_strength=[]' 'level_seams=[]' fps=8 'conditioning.fs=[]')
    made hierarchy --config $config weights="$folder/storyboard" hierarchical.key_weights="$folder/base"
    made next --config $config "${alone[@]}" order=autoregressive overlap=1
    made joined --config $config "${alone[@]}" order=independent
    "$python" tools/evaluate_long.py "$(last hierarchy)" --world film "${known[@]}" --sheet "$folder/hierarchy.png" --json "$folder/hierarchy.json"
    "$python" tools/evaluate_long.py "$(last hierarchy)" "$(last joined)" "$(last next)" --joins 15 16 15 --world film "${known[@]}" \
        --names hierarchy 'clips joined' 'run after run' --json "$folder/long.json" --plot "$folder/long.png" --sheet "$folder/long_sheet.png"
}

clips() {
    base
    "$python" tools/compare_long.py --world film --weights "$folder/base" --clips 4 --ways exact 'all frames at once' --prompts "${captions[@]}" \
        --out "$folder/clips" sample.steps=15 sample.guidance=1.5 clip_parallel.shared_low=0.125
}

mkdir -p "$folder"
trained autoencoder film_autoencoder
"$python" tools/evaluate_autoencoder.py "$folder/autoencoder" --world film
for part in "$@"; do "$part"; done
