#!/usr/bin/env bash
# Show, change and undo the flags that ComfyUI is started with on a GPU machine.
#
# They are the words of COMFYUI_ARGS in /etc/environment, which the launcher of Vast.ai's template
# sources last. Only that line is written; every other byte of the file stays as it is.
set -euo pipefail
set -f # flags such as `--enable-cors-header *` are words, never file names

usage() {
  cat <<'TEXT'
Usage: comfyui_args.sh [--root DIR] [--no-restart] COMMAND

  show            print the flags, one a line with its values
  set FLAGS…      have exactly these
  add FLAGS…      have these too; one that is there gets the new values
  remove FLAGS…   drop these, with their values
  undo            have those from before the last change; again: redo it

A change restarts ComfyUI, unless --no-restart is given. Asking for what is there changes and
restarts nothing. --root DIR is for trying it: DIR/etc/environment is edited in place of
/etc/environment.
TEXT
}

die() {
  echo "$*" >&2
  exit 1
}

root=${LLAMASKETCH_ROOT:-}
is_restarted=yes
while [ $# -gt 0 ]; do
  case $1 in
    --root)
      [ $# -ge 2 ] || die "--root needs a folder."
      root=${2%/}
      shift 2
      ;;
    --no-restart)
      is_restarted=no
      shift
      ;;
    -h | --help)
      usage
      exit 0
      ;;
    *) break ;;
  esac
done
[ $# -gt 0 ] || {
  usage >&2
  exit 2
}
command=$1
shift

file=$root/etc/environment
[ ! -L "$file" ] || file=$(readlink -f -- "$file")
backup=$file.before-comfyui-args

# The file in three: what is before the line that counts (the last one, as the shell takes it), that
# line, and what is after it. `content` keeps line ends at its end, which $(…) would drop.
content='' before='' line='' after=''
read_environment() {
  local rest part
  content='' before='' line='' after=''
  if [ -e "$1" ]; then
    content=$(cat -- "$1" && printf x) || die "$1 cannot be read."
    content=${content%x}
  fi
  rest=$content
  while [ -n "$rest" ]; do
    part=${rest%%$'\n'*}
    [ "$part" = "$rest" ] || part+=$'\n'
    rest=${rest#"$part"}
    if [[ $part =~ ^[[:space:]]*(export[[:space:]]+)?COMFYUI_ARGS= ]]; then
      before+=$line$after
      line=$part
      after=
    elif [ -n "$line" ]; then
      after+=$part
    else
      before+=$part
    fi
  done
}

# What a line's value says, without its quotes.
value_of() {
  local value=${1#*COMFYUI_ARGS=}
  value=${value%$'\n'}
  value=${value%$'\r'}
  value=${value%"${value##*[![:space:]]}"}
  case $value in
    \"*\") value=${value#\"} value=${value%\"} ;;
    \'*\') value=${value#\'} value=${value%\'} ;;
  esac
  case $value in
    *[\"\'\`\$\\]*)
      die "COMFYUI_ARGS in $file is written in a way that this script does not change: $1"
      ;;
  esac
  printf '%s' "$value"
}

# One flag a line, with the values behind it.
groups_of() {
  local word group=
  for word in "$@"; do
    if [[ $word == --* ]]; then
      [ -z "$group" ] || printf '%s\n' "$group"
      group=$word
    else
      group+=${group:+ }$word
    fi
  done
  [ -z "$group" ] || printf '%s\n' "$group"
}

check_flags() {
  local word
  [[ $# -gt 0 ]] || die "Name the flags, for example: comfyui_args.sh $command --disable-metadata"
  [[ $1 == --* ]] || die "The first of the flags begins with --, not: $1"
  for word in "$@"; do
    # /etc/environment is read by PAM as well as by the shell: only what both read alike.
    [[ $word =~ ^[A-Za-z0-9_./:=,@%+*-]+$ ]] || die "This cannot be in a flag: $word"
  done
}

write_file() { # path, content: in one step, with the owner and the mode that the file has
  local temporary
  temporary=$(mktemp "$1.XXXXXX")
  # shellcheck disable=SC2064 # the name as it is now
  trap "rm -f -- '$temporary'" EXIT
  if [ -e "$file" ]; then
    chmod --reference="$file" -- "$temporary"
    chown --reference="$file" -- "$temporary"
  else
    chmod 644 -- "$temporary"
  fi
  printf '%s' "$2" >"$temporary"
  sync -- "$temporary"
  mv -f -- "$temporary" "$1"
  trap - EXIT
}

# Write the wanted line, keep the file as it was beside it, and restart ComfyUI.
put() {
  local wanted_line=$1
  if [ "$wanted_line" = "$line" ]; then
    echo "Nothing to change."
    return
  fi
  [ -n "$line" ] || [ -z "$before" ] || [ "${before: -1}" = $'\n' ] || wanted_line=$'\n'$wanted_line
  write_file "$backup" "$content"
  write_file "$file" "$before$wanted_line$after"
  echo "COMFYUI_ARGS was changed in $file."
  [ "$is_restarted" = yes ] || return 0
  supervisorctl restart comfyui ||
    die "ComfyUI did not restart. Look at its log; \`comfyui_args.sh undo\` takes the change back."
}

put_groups() {
  local groups=("$@") prefix='COMFYUI_ARGS='
  if [ "${groups[*]}" = "${words[*]}" ]; then
    echo "Nothing to change."
    return
  fi
  [ -z "$line" ] || prefix=${line%%COMFYUI_ARGS=*}COMFYUI_ARGS=
  put "$prefix\"${groups[*]}\""$'\n'
}

mkdir -p -- "$(dirname -- "$file")"
exec 9<"$(dirname -- "$file")"
flock 9 # two at a time would lose one's change
read_environment "$file"
words=() groups=()
if [ "$command" != undo ]; then
  value=$(value_of "$line")
  read -ra words <<<"$value"
  mapfile -t groups < <(groups_of "${words[@]}")
fi

case $command in
  show)
    [ $# -eq 0 ] || die "show takes no flags."
    for group in "${groups[@]}"; do printf '%s\n' "$group"; done
    ;;
  set)
    check_flags "$@"
    mapfile -t groups < <(groups_of "$@")
    put_groups "${groups[@]}"
    ;;
  add)
    check_flags "$@"
    mapfile -t added < <(groups_of "$@")
    for group in "${added[@]}"; do
      is_there=no
      for number in "${!groups[@]}"; do
        if [ "${groups[number]%% *}" = "${group%% *}" ]; then
          groups[number]=$group
          is_there=yes
        fi
      done
      [ $is_there = yes ] || groups+=("$group")
    done
    put_groups "${groups[@]}"
    ;;
  remove)
    check_flags "$@"
    kept=()
    for group in "${groups[@]}"; do
      is_dropped=no
      for word in "$@"; do
        [[ $word == --* ]] || die "Name the flag alone, without its values: $word"
        [ "${group%% *}" != "$word" ] || is_dropped=yes
      done
      [ $is_dropped = yes ] || kept+=("$group")
    done
    put_groups "${kept[@]}"
    ;;
  undo)
    [ $# -eq 0 ] || die "undo takes no flags."
    [ -e "$backup" ] || die "There is nothing to undo: this script changed nothing here."
    # The line alone is taken from the backup: others may have changed the rest since.
    now=("$content" "$before" "$line" "$after")
    read_environment "$backup"
    earlier=$line earlier_before=$before
    content=${now[0]} before=${now[1]} line=${now[2]} after=${now[3]}
    # The line end that the change had to add.
    [ "$before" != "$earlier_before"$'\n' ] || before=$earlier_before
    put "$earlier"
    ;;
  *)
    usage >&2
    exit 2
    ;;
esac
