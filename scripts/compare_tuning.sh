#!/usr/bin/env bash
# What tuning on one clip brings (docs/tune_a_video.md): 8 clips of the shapes world, each tuned for 200 steps and edited under four
# prompts, tuned and not tuned, from frames under fresh noise of three strengths and from inverted noise; each clip has noise of its
# own. Tables and sheets in FOLDER; what is there is not made again. usage: scripts/compare_tuning.sh FOLDER [CLIPS] [STEPS]
# FILM=FOLDER: clips of the film world, and its image model, of what scripts/film_world.sh makes there. WAYS: other than all four.
set -euo pipefail
source "$(dirname "$0")/_folder.sh"
take_folder 2,5p "$@"
clips=${2:-8} steps=${3:-200} film=${FILM:+$(full "$FILM")}
cd "$(dirname "$0")/.."
source scripts/_edit_prompts.sh
source scripts/_made.sh
read -ra ways <<< "${WAYS:-fresh-0.6 fresh-0.7 fresh-0.8 inverted}"
if [ -n "$film" ]; then
    config=film world=(--world film --size 64)
    names=(--shapes circle square triangle --colours red green blue yellow)
    images=(weights="$film/images")
    latents=(latents.unet_weights="$film/images" latents.vae="$film/autoencoder" latents.tokenizer="$film/image_words")
else
    config=shapes world=() names=() latents=()
    images=(weights=shipped:stable_diffusion_shapes latent.vae=shipped:latent_shapes)
fi
clips_written "$clips" "${world[@]}"

edit() { # CLIP TUNED|UNTUNED WAY
    local clip caption output="$folder/$2-$3/$1" how=()
    [ -e "$output.made" ] && return
    clip=$(printf '%s/clips/clip-%03d' "$folder" "$1")
    caption=$(cat "$clip.txt")
    case $3 in inverted) how=(edit.invert_prompt="$caption") ;; *) how=(edit.invert=false edit.strength="${3#fresh-}") ;; esac
    case $2 in tuned) how+=(weights="$folder/run-$1") ;; *) how+=("${images[@]}") ;; esac
    "$python" infer.py --config configs/infer/tune_a_video_shapes.yaml frames=16 edit.video="$clip" prompts="$(edit_prompts "$caption")" \
        'formats=[frames,png]' seed="$1" output="$output" "${how[@]}"
    touch "$output.made"
}

results() { # WHO-WAY: the newest results of each clip
    local i
    for ((i = 0; i < clips; i++)); do
        find "$folder/$1/$i" -mindepth 1 -maxdepth 1 -type d -name '[0-9]*' | sort | tail -n 1
    done
}

for ((i = 0; i < clips; i++)); do
    clip=$(printf '%s/clips/clip-%03d' "$folder" "$i")
    "$python" train.py --config configs/train/tune_a_video_$config.yaml "${latents[@]}" tune.video="$clip" tune.prompt="$(cat "$clip.txt")" \
        train.preview_every=0 train.steps="$steps" run_dir="$folder/run-$i"
    for way in "${ways[@]}"; do
        edit "$i" tuned "$way"
        edit "$i" untuned "$way"
    done
done
for way in "${ways[@]}"; do
    echo "$way, tuned against not tuned:"
    mapfile -t tuned < <(results "tuned-$way")
    mapfile -t untuned < <(results "untuned-$way")
    "$python" tools/evaluate_edits.py "${tuned[@]}" --against "${untuned[@]}" --names tuned 'not tuned' "${world[@]:0:2}" "${names[@]}" \
        --sheet "$folder/$way.png" --json "$folder/$way.json"
done
