#!/usr/bin/env bash
# Make a rented GPU machine (Vast.ai's ComfyUI template) ready for jobs, or ready again.
#
# May run at any time, and any number of times: it looks at what is there and does what is missing.
# docs/gpu-machines.md says what it does and why.
set -euo pipefail

usage() {
  cat <<'TEXT'
Usage: setup_vastai.sh [--comfyui DIR] [--with-base] [--root DIR]

  --comfyui DIR  ComfyUI's folder, where it is none of the usual ones
  --with-base    fetch the base model too (7.75 GB; 20 steps in place of 4)
  --root DIR     for trying it: stands for / in every path

Environment:
  PYTORCH_INDEX_URL  the address of PyTorch's index of CUDA 13 (cu130) wheels; needed only where
                     the installed PyTorch is older
  MODELS_URL         the model hub (default: https://huggingface.co)
TEXT
}

say() { echo "• $*"; }

die() {
  echo "✗ $*" >&2
  exit 1
}

root=${LLAMASKETCH_ROOT:-}
comfyui=
python=
is_base_wanted=no
while [ $# -gt 0 ]; do
  case $1 in
    --root | --comfyui)
      [ $# -ge 2 ] || die "$1 needs a folder."
      if [ "$1" = --root ]; then root=${2%/}; else comfyui=${2%/}; fi
      shift 2
      ;;
    --with-base)
      is_base_wanted=yes
      shift
      ;;
    -h | --help)
      usage
      exit 0
      ;;
    *)
      usage >&2
      exit 2
      ;;
  esac
done

here=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd)
project=${LLAMASKETCH_PROJECT:-$(dirname -- "$here")}
manifest=$project/deploy/comfyui/models.tsv
node_pack=$project/deploy/comfyui/llamasketch_nodes
workflows=$project/deploy/comfyui/workflows
models_url=${MODELS_URL:-https://huggingface.co}
state=$root/var/lib/llamasketch

CUDA_MAJOR=13      # builds for older ones disable optimised kernels
DRIVER_MAJOR=580   # the first driver that runs CUDA 13
ATTEMPTS=8         # at one file, each going on where the last one stopped
PAUSE_S=${LLAMASKETCH_PAUSE_S:-5}
SPARE_BYTES=$((5 * 1000 * 1000 * 1000)) # chosen: for output, logs, and PyTorch's wheels
# Measured on an H100 (80 GB): all of it kept on the GPU made 7.6 images/s, stock settings 3.1. The
# weights are 16.1 GB, and a prompt of four 1024² images wants several more for its activations and
# the VAE; with --gpu-only ComfyUI can put nothing aside when that does not fit. On 24 GB too little
# is left to promise that, so there ComfyUI's own memory management stays on. Chosen, not measured:
# between the cards of 32 and of 48 GB.
KEEP_ALL_MIB=40000

main() {
  check_machine
  mkdir -p -- "$state"
  exec 8<"$state"
  flock -n 8 || die "Another setup_vastai.sh is at work on this machine."
  install_pytorch
  check_gpu
  fetch_models
  copy_files
  choose_flags
  restart_comfyui
  "$python" "$here/test_inference.py" --wait 300 ||
    die "ComfyUI made no good picture, so this machine must not take jobs."
  say "Ready: this machine can take jobs."
}

# What will be restarted for, kept over a failure: a later run must not forget it.
mark_changed() { [ -e "$state/restart-needed" ] || touch "$state/restart-needed"; }

check_machine() {
  local program folder found
  [ -n "$root" ] || [ "$(id -u)" = 0 ] || die "Run it as root."
  for program in curl sha256sum flock supervisorctl nvidia-smi; do
    command -v "$program" >/dev/null || die "$program is missing: is this a GPU machine of the template?"
  done
  for folder in "$comfyui" "$root/workspace/ComfyUI" "$root/opt/workspace-internal/ComfyUI" "$root/opt/ComfyUI"; do
    if [ -n "$folder" ] && [ -f "$folder/main.py" ]; then
      comfyui=$folder
      break
    fi
  done
  [ -n "$comfyui" ] && [ -f "$comfyui/main.py" ] ||
    die "ComfyUI is in none of the usual folders: give --comfyui DIR."
  for program in "$root/venv/main/bin/python" "$comfyui/venv/bin/python" "$comfyui/.venv/bin/python"; do
    if [ -x "$program" ]; then
      python=$program
      break
    fi
  done
  python=${python:-$(command -v python3 || command -v python)} || die "There is no Python."
  found=$(nvidia-smi --query-gpu=name,memory.total,driver_version --format=csv,noheader,nounits) ||
    die "nvidia-smi finds no GPU."
  IFS=, read -r gpu_name gpu_mib gpu_driver <<<"$found"
  gpu_mib=${gpu_mib//[^0-9]/}
  gpu_driver=${gpu_driver// /}
  [ -n "$gpu_mib" ] || die "nvidia-smi finds no GPU."
  say "$gpu_name, $gpu_mib MiB, driver $gpu_driver; ComfyUI in $comfyui."
  [ "${gpu_driver%%.*}" -ge $DRIVER_MAJOR ] ||
    die "CUDA $CUDA_MAJOR needs driver $DRIVER_MAJOR or newer: rent a machine that has one."
  [ -d "$node_pack" ] || die "$node_pack is missing: copy the project's deploy folder here too."
}

pytorch() { # its version and its CUDA, or nothing
  "$python" -c 'import torch; print(torch.__version__, torch.version.cuda or "none")' 2>/dev/null || true
}

install_pytorch() {
  local found cuda
  found=$(pytorch)
  cuda=${found#* }
  if [ -z "$found" ] || [ "${cuda%%.*}" = none ] || [ "${cuda%%.*}" -lt $CUDA_MAJOR ]; then
    [ -n "${PYTORCH_INDEX_URL:-}" ] || die \
      "PyTorch is ${found:-not installed}, and CUDA $CUDA_MAJOR is needed: set PYTORCH_INDEX_URL to the" \
      "address of PyTorch's index of cu130 wheels, and run this again."
    say "Installing PyTorch for CUDA $CUDA_MAJOR in place of ${found:-none}."
    mark_changed
    local installer=("$python" -m pip install)
    if ! "$python" -m pip --version >/dev/null 2>&1; then
      command -v uv >/dev/null || die "$python has no pip, and there is no uv."
      installer=(uv pip install --python "$python")
    fi
    "${installer[@]}" --upgrade --index-url "$PYTORCH_INDEX_URL" torch torchvision torchaudio
    found=$(pytorch)
    cuda=${found#* }
    [ -n "$found" ] && [ "${cuda%%.*}" != none ] && [ "${cuda%%.*}" -ge $CUDA_MAJOR ] ||
      die "PyTorch is ${found:-not installed} after its installation: PYTORCH_INDEX_URL is another index."
  fi
  say "PyTorch $found."
}

# Before 16 GB are fetched for a card that computes wrongly.
check_gpu() {
  local status=0
  "$python" "$here/gpu_health_check.py" || status=$?
  case $status in
    0) ;;
    1)
      mark_changed
      supervisorctl stop comfyui || true
      die "The GPU is broken. ComfyUI was stopped: no job may get a picture from here."
      ;;
    *) die "The GPU could not be checked, so this machine must not take jobs." ;;
  esac
}

fetch_models() {
  local file folder path size sha needed=0 available wanted=()
  while IFS=$'\t' read -r file folder path size sha; do
    case $file in '#'* | '') continue ;; esac
    [ "$is_base_wanted" = yes ] || [[ $file != *-base-* ]] || continue
    pin "$file" "$folder" "$path" "$size" "$sha"
    is_finished "$comfyui/models/$folder/$file" "$pinned_size" "$pinned_sha" && continue
    wanted+=("$folder/$file"$'\t'"$path"$'\t'"$pinned_size"$'\t'"$pinned_sha")
    needed=$((needed + pinned_size - $(size_of "$comfyui/models/$folder/$file.part")))
  done <"$manifest"
  if [ ${#wanted[@]} -gt 0 ]; then
    available=$(df -P -B1 -- "$comfyui" | awk 'NR == 2 { print $4 }')
    [ "$available" -ge $((needed + SPARE_BYTES)) ] || die \
      "The models need $((needed / 1000000)) MB and $((SPARE_BYTES / 1000000)) MB to spare, and" \
      "$((available / 1000000)) MB are free: rent a machine with a larger disk."
    for file in "${wanted[@]}"; do
      IFS=$'\t' read -r file path size sha <<<"$file"
      fetch "$file" "$path" "$size" "$sha"
    done
  fi
  say "All models are there."
}

# Size and checksum of a model: from the manifest, from an earlier run, or as the hub tells them in
# the headers of its redirect. What it told once must hold from then on.
pin() {
  local file=$1 folder=$2 path=$3 headers note=$state/pins/$2/$1
  pinned_size=$4 pinned_sha=$5
  if { [ "$pinned_size" = - ] || [ "$pinned_sha" = - ]; } && [ -e "$note" ]; then
    read -r pinned_size pinned_sha <"$note"
  fi
  if [ "$pinned_size" = - ] || [ "$pinned_sha" = - ]; then
    headers=$(curl -sS --head --fail --retry 3 --max-time 60 -- "$models_url/$path") ||
      die "$file: $models_url does not tell its size and checksum."
    pinned_size=$(header x-linked-size <<<"$headers")
    pinned_sha=$(header x-linked-etag <<<"$headers")
    [[ $pinned_size =~ ^[0-9]+$ && $pinned_sha =~ ^[0-9a-f]{64}$ ]] ||
      die "$file: $models_url told no size and SHA-256; write them into deploy/comfyui/models.tsv."
    write "$note" "$pinned_size $pinned_sha"
  fi
  [[ $pinned_size =~ ^[0-9]+$ && $pinned_sha =~ ^[0-9a-f]{64}$ ]] ||
    die "$file: its size or checksum in $manifest or $note is none."
}

header() { # the value of one header of those on stdin, without quotes
  awk -F': *' -v name="$1" 'tolower($1) == name { gsub(/[\r" ]/, "", $2); print $2 }' | tail -n 1
}

write() { # a small file, in one step
  mkdir -p -- "$(dirname -- "$1")"
  printf '%s\n' "$2" >"$1.new"
  mv -f -- "$1.new" "$1"
}

size_of() { stat -c %s -- "$1" 2>/dev/null || echo 0; }

stamp_of() { # what a stamp says of a file: its checksum, and that it was not written to since
  echo "$2 $(stat -L -c '%s %.9Y' -- "$1")"
}

# Whether a model is whole. Hashing 8 GB takes a minute, so a stamp says that it was done.
is_finished() {
  local path=$1 size=$2 sha=$3 stamp
  stamp=$state/stamps/${path#"$comfyui/models/"}
  [ -f "$path" ] || return 1
  if [ "$(stat -L -c %s -- "$path")" != "$size" ]; then
    # Fetched by other means and cut off, perhaps: go on from there; the checksum will tell.
    say "${path##*/} is not whole."
    mv -f -- "$path" "$path.part"
    return 1
  fi
  [ ! -e "$stamp" ] || [ "$(cat -- "$stamp")" != "$(stamp_of "$path" "$sha")" ] || return 0
  say "Checking ${path##*/}."
  if has_checksum "$path" "$sha"; then
    write "$stamp" "$(stamp_of "$path" "$sha")"
    return 0
  fi
  say "${path##*/} is damaged."
  rm -f -- "$path"
  return 1
}

has_checksum() {
  local sum
  sum=$(sha256sum -- "$1")
  [ "${sum%% *}" = "$2" ]
}

fetch() { # folder/file, path on the hub, size, checksum
  local target=$comfyui/models/$1 part=$comfyui/models/$1.part attempt held has_older=no
  mkdir -p -- "$(dirname -- "$target")"
  [ "$(size_of "$part")" -eq 0 ] || has_older=yes
  say "Fetching ${1##*/}, $(($3 / 1000000)) MB."
  for ((attempt = 1; ; attempt++)); do
    held=$(size_of "$part")
    if [ "$held" -gt "$3" ]; then
      rm -f -- "$part"
      held=0
    fi
    if [ "$held" -eq "$3" ]; then
      ! has_checksum "$part" "$4" || break
      rm -f -- "$part"
      # What was left of an earlier run may have been of another file: once more, from the start.
      [ $has_older = yes ] || die "${1##*/}: what was fetched has another checksum than it should: $4."
      has_older=no
      continue
    fi
    [ "$attempt" -le $ATTEMPTS ] ||
      die "${1##*/} could not be fetched whole: $(size_of "$part") of $3 bytes. Run this again to go on."
    [ "$attempt" -eq 1 ] || sleep "$PAUSE_S"
    # 33 and 36: the server takes no ranges, so that it has to begin anew.
    curl -sS --fail --location --connect-timeout 20 --speed-limit 1000 --speed-time 60 \
      --continue-at - --output "$part" -- "$models_url/$2" || {
      case $? in 33 | 36) rm -f -- "$part" ;; esac
    }
  done
  mv -f -- "$part" "$target"
  write "$state/stamps/$1" "$(stamp_of "$target" "$4")"
}

copy_files() {
  local file target=$comfyui/custom_nodes/llamasketch_nodes
  # The project may lie in ComfyUI's own folders: nothing is copied onto itself.
  if [ "$(realpath -m -- "$target")" != "$(realpath -- "$node_pack")" ] &&
    ! diff -rq -x __pycache__ -x tests -- "$node_pack" "$target" >/dev/null 2>&1; then
    mark_changed
    rm -rf -- "$target" "$comfyui/.llamasketch_nodes.new"
    cp -R -- "$node_pack" "$comfyui/.llamasketch_nodes.new"
    rm -rf -- "$comfyui/.llamasketch_nodes.new/tests"
    mkdir -p -- "$comfyui/custom_nodes"
    mv -- "$comfyui/.llamasketch_nodes.new" "$target"
    say "The node pack was copied."
  fi
  mkdir -p -- "$comfyui/user/default/workflows"
  for file in "$workflows"/*.json; do
    target=$comfyui/user/default/workflows/llamasketch-${file##*/}
    cmp -s -- "$file" "$target" || cp -- "$file" "$target"
  done
}

choose_flags() {
  local has wanted=() before
  has=$(flags show)
  before=$has
  # Without COMFYUI_ARGS the launcher has flags of its own, which ours would otherwise replace.
  [ -n "$has" ] || wanted=(--disable-auto-launch --disable-xformers --port 18188 --enable-cors-header)
  # PNGs would carry the prompt of whoever drew, and writing it costs time.
  ! knows --disable-metadata || wanted+=(--disable-metadata)
  # cuDNN's search for the fastest convolution: other rounding in the last bit, to no eye another
  # picture. The rest of what a bare --fast means is left out: fp8_matrix_mult lowers the precision
  # of what FP8 weights are multiplied with, fp16_accumulation that of sums in FP16, which black
  # pictures come from; with BF16 weights neither could gain anything.
  if knows autotune && ! grep -qE '^--fast( |$)' <<<"$has"; then
    wanted+=(--fast autotune)
  fi
  if [ "$gpu_mib" -ge $KEEP_ALL_MIB ] &&
    ! grep -qE '^--(highvram|normalvram|lowvram|novram|cpu)$' <<<"$has"; then
    ! knows --gpu-only || wanted+=(--gpu-only)
    ! knows --disable-dynamic-vram || wanted+=(--disable-dynamic-vram)
  fi
  # The first crashed with an illegal memory access, the second may give black pictures.
  flags remove --fp32-vae --fp16-vae >/dev/null
  [ ${#wanted[@]} -eq 0 ] || flags add "${wanted[@]}" >/dev/null
  has=$(flags show)
  if [ "$has" != "$before" ]; then
    say "ComfyUI's flags: ${has//$'\n'/ }"
  fi
}

flags() {
  local said
  said=$("$here/comfyui_args.sh" --root "$root" --no-restart "$@") || die "The flags could not be changed."
  [[ $said != *"was changed"* ]] || mark_changed
  printf '%s\n' "$said"
}

knows() { # ComfyUI ends at a flag that its version does not have
  grep -qF -- "\"$1\"" "$comfyui/comfy/cli_args.py" 2>/dev/null
}

restart_comfyui() {
  if [ -e "$state/restart-needed" ]; then
    supervisorctl restart comfyui || die "ComfyUI did not restart: see supervisorctl tail comfyui."
    rm -f -- "$state/restart-needed"
  fi
}

main
