#!/usr/bin/env bash
# Follows the Dockerfile without a Docker engine: each line is done in a Debian made by debootstrap, and the result is
# started as the image's user. Fails with the first line that fails. Needs root; see README.md beside this file.
set -euo pipefail

repository=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
base=${BASE:-/tmp/spangate-prove/base}       # kept from run to run: it is only a Debian
work=$(dirname "$base")/work                 # made anew
suite=bookworm                               # Python 3.11, as the image has

main() {
  ((EUID == 0)) || fail "needs root, for debootstrap and chroot"
  rm -rf "$work"
  mkdir -p "$work"
  make_base
  make_context
  follow "$repository/Dockerfile"
  echo "== start"
  unshare --net --pid --mount --fork "$BASH" "${BASH_SOURCE[0]}" --start "$root" "$user" "$directory" "$entrypoint" "$command" "$healthcheck"
  echo "== the Dockerfile does what it says"
}

fail() { echo "prove-dockerfile: $*" >&2; exit 1; }

make_base() {
  [[ -e $base/.done ]] && return
  command -v debootstrap >/dev/null || fail "needs debootstrap: apt-get install debootstrap"
  debootstrap --variant=minbase --include=ca-certificates,python3,python3-venv "$suite" "$base" >/dev/null
  touch "$base/.done"
}

# What `docker build` would send: HEAD, without what .dockerignore keeps out.
make_context() {
  local line allowed=()
  while read -r line; do
    case $line in
      '' | '#'* | '*' | '**/__pycache__') ;;
      '!'*) allowed+=("${line#!}") ;;
      *) fail ".dockerignore: cannot follow '$line'" ;;
    esac
  done <"$repository/.dockerignore"
  mkdir "$work/context"
  git -C "$repository" archive HEAD -- "${allowed[@]}" | tar -x -C "$work/context"
}

# Sets what the last stage leaves: root, user, directory, entrypoint, command, healthcheck.
follow() {
  local line words stages=0
  declare -A root_of=()
  while IFS= read -r line; do
    [[ -z $line || $line == '#'* ]] && continue
    [[ $line == *\\ ]] && fail "cannot follow continued lines: $line"
    echo "== $line"
    read -ra words <<<"$line"
    case ${words[0]} in
      ARG) ;;                                # only names the base image, for which our Debian stands
      FROM)
        root=$work/stage$((stages++)) directory=/ user=root entrypoint= command= healthcheck=
        cp -a --reflink=auto "$base" "$root"
        prepare "$root"
        [[ ${words[2]:-} == AS ]] && root_of[${words[3]}]=$root
        ;;
      WORKDIR)
        directory=${words[1]}
        mkdir -p "$root$directory"
        ;;
      COPY)
        local from=$work/context
        if [[ ${words[1]} == --from=* ]]; then
          from=${root_of[${words[1]#--from=}]}
          words=(COPY "${words[@]:2}")
        fi
        copy "$from" "${words[@]:1}"
        ;;
      RUN) inside "$root" "$user" "$directory" /bin/sh -c "${line#RUN }" ;;
      USER) user=${words[1]} ;;
      VOLUME) [[ -d $root${words[1]} ]] || fail "no such folder: ${words[1]}" ;;
      EXPOSE) ;;
      HEALTHCHECK) healthcheck=${line#*CMD } ;;
      ENTRYPOINT) entrypoint=${line#ENTRYPOINT } ;;
      CMD) command=${line#CMD } ;;
      *) fail "cannot follow ${words[0]}" ;;
    esac
  done <"$1"
}

# As Docker copies: a folder's content, not the folder; the target is a folder where it ends in / or has several sources.
copy() {
  local from=$1 sources=("${@:2:$#-2}") target=${*: -1} source
  [[ $target == /* ]] || target=$directory/$target
  target=$root$target
  ((${#sources[@]} == 1)) || [[ $target == */ ]] || fail "several sources need a target that ends in /"
  for source in "${sources[@]}"; do
    [[ -e $from/$source ]] || fail "COPY: no $source in the context; does .dockerignore keep it out?"
    if [[ -d $from/$source ]]; then
      mkdir -p "$target"
      cp -a "$from/$source/." "$target"
    else
      mkdir -p "$(dirname "$target.")"
      cp -a "$from/$source" "$target"
    fi
  done
  chown -R root:root "$target"
}

# This host's way to its package registry, which the image has not: names and the authorities it trusts.
prepare() {
  local file
  for file in /etc/resolv.conf /etc/hosts ${PIP_CERT:-} /etc/pip.conf; do
    [[ -f $file ]] || continue
    mkdir -p "$1$(dirname "$file")"
    cp -L "$file" "$1$file"
  done
}

inside() {
  local root=$1 user=$2 directory=$3 pip
  mapfile -t pip < <(env | grep -E '^PIP_(CERT|INDEX_URL|DEFAULT_TIMEOUT)=' || true)
  chroot --userspec="$user" "$root" /usr/bin/env -i PATH=/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin HOME=/ "${pip[@]}" \
    /bin/sh -c 'cd "$1" && shift && exec "$@"' sh "$directory" "${@:4}"
}

# In namespaces of its own, where the ports are free and nothing else runs.
start() {
  local root=$1 user=$2 directory=$3 argv health pid gateway uid code=0
  as_array argv "$4" "$5"
  as_array health "$6"
  ip link set lo up
  mount -t proc proc /proc
  mount -t proc proc "$root/proc"
  inside "$root" "$user" "$directory" "${argv[@]}" >"$root/../log" 2>&1 &
  pid=$!
  for ((tries = 0; ; tries++)); do
    inside "$root" "$user" "$directory" "${health[@]}" 2>/dev/null && break
    kill -0 $pid 2>/dev/null && ((tries < 150)) || { cat "$root/../log" >&2; fail "HEALTHCHECK did not pass"; }
    sleep 0.2
  done
  echo "healthy: $(answer http://127.0.0.1:13133/)"
  [[ $(answer http://127.0.0.1:4000/) == 200* ]] || fail "the proxy does not answer"
  [[ $(answer http://127.0.0.1:4001/) == *"token"* ]] || fail "the console does not ask for the token"
  gateway=$(pgrep -o -x spangate)
  uid=$(ps -o uid= -p "$gateway")
  ((uid > 0)) || fail "runs as root"
  echo "proxy and console answer, as user $((uid))"
  kill -TERM "$gateway"
  wait $pid || code=$?
  cat "$root/../log"
  ((code == 0)) || fail "SIGTERM ended it with $code"
}

as_array() {
  local -n into=$1
  mapfile -t into < <(python3 -c 'import json, sys; [print(word) for part in sys.argv[1:] for word in json.loads(part)]' "${@:2}")
}

answer() { curl -sS -L --noproxy '*' -m 10 -w '\n%{http_code}' "$1" | { body=$(cat); echo "${body##*$'\n'} ${body%$'\n'*}"; }; }

if [[ ${1:-} == --start ]]; then start "${@:2}"; else main; fi
