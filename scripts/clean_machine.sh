#!/usr/bin/env bash
# Does what the README says on a bare machine: in a minimal Debian (debootstrap, a root folder below build/),
# in a clean clone of the current commit, as root and as an ordinary user who finds the packages installed,
# without CUDA and with this machine's toolkit mounted read-only. Compiler caches are off; of this machine
# nothing is visible except what downloading packages needs: the settings for mirror, proxy and certificates,
# and a cache of packages in build/.
#
#   scripts/clean_machine.sh [OPTION...] [PART...]     all parts if none is named:
#     quickstart         train/quickstart.sh --max-steps 5
#     install            cmake --install, and tests/consumer built against it with the clone out of the way
#     presets            configures every preset that this machine can configure
#     tests              tests/run.sh --quick
#   --as root | user     one of the two users
#   --toolkit WHICH      only with this CUDA toolkit: a folder, "found" (this machine's) or "none"; otherwise
#                        without and with this machine's where it has one
#   --suite NAME         a Debian other than bookworm
#   --whole              the README's two commands in full: train/quickstart.sh and tests/run.sh
#   --keep               leaves the root folder for inspection; the next run removes it
#
# Needs root, and the packages of group "clean" (scripts/install_packages.sh clean). Ends with a table of what
# was run, with times, and exits with 1 if something failed.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

refuse() { echo "scripts/clean_machine.sh: $2" >&2; exit "$1"; }

suite=bookworm whole=false keep=false
users=(root user) toolkits=() parts=() with=both
while (($# > 0)); do
  case "$1" in
    -h | --help) sed -n '2,22s/^# \{0,1\}//p' "$0"; exit 0 ;;
    --whole) whole=true ;;
    --keep) keep=true ;;
    --as | --toolkit | --suite)
      (($# > 1)) || refuse 2 "$1 takes a value (see --help)"
      case "$1=$2" in
        --as=root | --as=user) users=("$2") ;;
        --toolkit=*) with=$2 ;;
        --suite=*) suite=$2 ;;
        *) refuse 2 "--as takes root or user, got '$2'" ;;
      esac
      shift ;;
    quickstart | install | presets | tests) parts+=("$1") ;;
    *) refuse 2 "unknown argument '$1' (see --help)" ;;
  esac
  shift
done
((${#parts[@]} > 0)) || parts=(quickstart install presets tests)
((EUID == 0)) || refuse 1 "must be run as root: it makes a root folder and mounts into it"
for tool in debootstrap git; do
  command -v $tool >/dev/null || refuse 1 "$tool is missing: scripts/install_packages.sh clean (package $tool)"
done
found=
if [[ $with != none ]]; then
  case $with in
    both | found)
      nvcc=$(command -v nvcc || true)
      for folder in /usr/local/cuda build/cuda-toolkit; do
        if [[ -z $nvcc && -x $folder/bin/nvcc ]]; then nvcc=$folder/bin/nvcc; fi
      done ;;
    *) nvcc=$with/bin/nvcc ;;
  esac
  # nvcc knows its toolkit; the folder it is found in may hold a script that calls it, or a link.
  if [[ -x $nvcc ]]; then found=$("$nvcc" --dryrun -E none.cu 2>&1 | sed -n 's/^#\$ TOP=//p'); fi
  if [[ -n $found ]]; then
    [[ -x $found/bin/nvcc && -e $found/include/cuda_runtime.h ]] ||
      refuse 2 "$nvcc belongs to $(realpath "$found"), which is not a toolkit's folder: it has no bin/nvcc or no \
include/cuda_runtime.h; --toolkit names another, --toolkit none goes without one"
  elif [[ $with != both ]]; then
    refuse 2 "no CUDA toolkit: ${nvcc:-nvcc} was not found (--toolkit none goes without one)"
  else
    echo "There is no CUDA toolkit on this machine (no nvcc on PATH, in /usr/local/cuda or in build/cuda-toolkit):" \
         "without one only"
  fi
fi
if [[ $with == both || $with == none ]]; then toolkits+=(none); fi
if [[ -n $found ]]; then toolkits+=("$(realpath "$found")"); fi

cache=$PWD/build/clean_machine/$suite
root=$cache/root
mkdir -p "$cache/archives"
exec 9>"$cache/lock"
flock --nonblock 9 || refuse 1 "another run of it uses $cache"

child=
clean_up() {
  if [[ -n $child ]]; then kill -KILL "$child" 2>/dev/null || true; wait "$child" || true; fi
  $keep || rm -rf "$root"
}
trap clean_up EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

# The mounts are in a namespace of their own: they, and all processes, are gone with the command, however that
# or this script ends.
in_namespace() {
  local root=$1 archives=$2 toolkit=$3 id=$4
  shift 4
  mount -t proc proc "$root/proc"
  mount -t sysfs -o ro sysfs "$root/sys"
  mount -t tmpfs -o mode=755 tmpfs "$root/dev"
  local device
  for device in null zero full random urandom tty; do
    touch "$root/dev/$device"
    mount --bind "/dev/$device" "$root/dev/$device"
  done
  ln -s /proc/self/fd "$root/dev/fd"
  local stream
  for stream in stdin:0 stdout:1 stderr:2; do ln -s "/proc/self/fd/${stream#*:}" "$root/dev/${stream%:*}"; done
  mkdir "$root/dev/shm" "$root/dev/pts"
  mount -t tmpfs -o mode=1777 tmpfs "$root/dev/shm"
  mount -t devpts -o newinstance,ptmxmode=0666 devpts "$root/dev/pts"
  ln -s pts/ptmx "$root/dev/ptmx"
  mount --bind "$archives" "$root/var/cache/apt/archives"
  if [[ $toolkit != none ]]; then
    mkdir -p "$root/usr/local/cuda"
    mount --bind "$toolkit" "$root/usr/local/cuda"
    mount -o remount,bind,ro "$root/usr/local/cuda"
  fi
  exec chroot --userspec="$id:$id" --groups="$id" "$root" "$@"
}

# enter USER COMMAND...: runs a command in the root, in the user's clone.
enter() {
  local user=$1 id=0 home=/root settings=() name
  shift
  if [[ $user == user ]]; then id=1000 home=/home/user; fi
  for name in $(compgen -e); do  # how this machine reaches package registries
    if [[ $name == PIP_* || ${name,,} =~ ^(https?|ftp|all|no)_proxy$ ]]; then settings+=("$name=${!name}"); fi
  done
  # In the background a signal to this script is seen immediately; env undoes that interrupts are ignored
  # there.
  setpriv --pdeathsig KILL unshare --mount --pid --fork --kill-child \
    bash -euc "$(declare -f in_namespace); in_namespace \"\$@\"" in_namespace "$root" "$cache/archives" "$toolkit" $id \
    /usr/bin/env -i --default-signal --chdir="$home/cuclip" HOME="$home" USER="$user" CCACHE_DISABLE=1 \
    PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin "${settings[@]}" "$@" &
  child=$!
  local code=0
  wait "$child" || code=$?
  child=
  return $code
}

# This machine's Debian mirrors, as "ADDRESS SUITE CODENAME".
mirrors() {
  apt-get indextargets --format '$(REPO_URI) $(RELEASE) $(CODENAME)' 'Created-By: Packages' 'Origin: Debian' \
    'Component: main'
}

make_root() {
  local mirror
  mirror=$(mirrors | awk '$3 !~ /-/ { print $1; exit }')
  rm -rf "$root"
  if [[ ! -e $cache/base.tar ]]; then
    echo "== A minimal $suite, by debootstrap"
    # Without a mirror: debootstrap's own. The certificates are for a mirror that is read by https.
    debootstrap --variant=minbase ${mirror:+$([[ $mirror != https:* ]] || echo --include=ca-certificates)} \
      --cache-dir="$cache/archives" "$suite" "$root" ${mirror:+"$mirror"} >"$cache/debootstrap.log" ||
      { tail -n 5 "$cache/debootstrap.log" >&2; refuse 1 "debootstrap could not make a $suite: see above"; }
    tar -C "$root" -cf "$cache/base.tar.part" .
    mv "$cache/base.tar.part" "$cache/base.tar"
    rm -rf "$root"
  fi
  mkdir "$root"
  tar -C "$root" -xf "$cache/base.tar"

  local sources
  sources=$(mirrors | awk -v suite="$suite" '$3 ~ "^" suite "(-updates|-security)?$" { print "deb", $1, $2, "main" }')
  if [[ -n $sources ]]; then echo "$sources" >"$root/etc/apt/sources.list"; fi
  apt-config dump | grep -E '^Acquire::(https?|ftp|Check|Retries|ForceIPv)' >"$root/etc/apt/apt.conf.d/99host" || true
  cp -L /etc/resolv.conf /etc/hosts "$root/etc/"
  if [[ -e /etc/pip.conf ]]; then cp /etc/pip.conf "$root/etc/"; fi
  mkdir -p "$root/usr/local/share/ca-certificates"
  find /usr/local/share/ca-certificates -name '*.crt' -exec cp -t "$root/usr/local/share/ca-certificates" {} +

  chroot "$root" useradd --create-home --uid 1000 user
  local home
  for home in root home/user; do
    git clone --quiet --no-checkout "file://$PWD" "$root/$home/cuclip"
    git -C "$root/$home/cuclip" checkout --quiet --detach "$commit"
  done
  chown -R 1000:1000 "$root/home/user/cuclip"
}

# What each part runs. A shell in the clone, as the user; $1: --whole or nothing.
declare -A commands=(
  [quickstart]='
    run=runs/quickstart cut=()
    if [[ -z $1 ]]; then run=runs/quickstart-5-steps cut=(--max-steps 5); fi
    train/quickstart.sh "${cut[@]}"
    test -s $run/report.json
    test -s $run/search-a-bird.png'
  [install]='
    scripts/install_packages.sh build
    cmake --preset cpu
    cmake --build --preset cpu -- --quiet
    cmake --install build/cpu --prefix ~/installed >/dev/null
    cp -r tests/consumer ~/app
    mv ~/cuclip ~/out-of-the-way
    cd ~/app
    cmake -G Ninja -B build -DCMAKE_BUILD_TYPE=Release -DCMAKE_PREFIX_PATH=$HOME/installed
    cmake --build build
    build/consumer
    ~/installed/bin/cuclip --version
    mv ~/out-of-the-way ~/cuclip
    rm -r ~/app ~/installed'
  [presets]='
    scripts/install_packages.sh build test
    for preset in $(cmake --list-presets | sed -n "s/^ *\"\([a-z-]*\)\".*/\1/p"); do
      case $preset in
        cuda-tests) echo "-- $preset is for a machine with a GPU"; continue ;;
        cuda*) if [[ ! -e /usr/local/cuda ]]; then echo "-- $preset needs a toolkit"; continue; fi ;;
      esac
      echo "-- $preset"
      cmake --preset $preset -B ~/preset >~/preset.log || { cat ~/preset.log; exit 1; }
      rm -r ~/preset
    done'
  [tests]='
    if [[ -n $1 ]]; then
      scripts/install_packages.sh browser  # no test is skipped for want of it
      tests/run.sh
    else
      tests/run.sh --quick
    fi'
)

results=() failed=0
# record NAME COMMAND...: runs it and keeps its time and whether it failed.
record() {
  local name="$suite, toolkit $toolkit, $1" start=$SECONDS result=passed
  shift
  printf '\n==== %s\n' "$name"
  "$@" || { result=FAILED; failed=1; }
  results+=("$(printf '%s %4d s  %s' $result $((SECONDS - start)) "$name")")
}

# An ordinary user without sudo can install nothing: told what root has to do.
told_what_is_missing() {
  local said code=0
  said=$(enter user scripts/install_packages.sh build 2>&1) || code=$?
  echo "$said"
  [[ $code == 1 && $said == *"as root, run /home/user/cuclip/scripts/install_packages.sh build"* ]]
}

commit=$(git rev-parse --short HEAD)
[[ -z $(git status --porcelain) ]] || echo "Changes that are not committed are left out: the clone is of commit $commit"
for toolkit in "${toolkits[@]}"; do
  make_root
  record "user: packages missing" told_what_is_missing
  for user in "${users[@]}"; do
    if [[ $user == user ]]; then
      groups=(build)
      if [[ " ${parts[*]} " =~ \ (presets|tests)\  ]]; then groups+=(test); fi
      record "root: packages for user" enter root scripts/install_packages.sh "${groups[@]}"
    fi
    for part in quickstart install presets tests; do
      [[ " ${parts[*]} " == *" $part "* ]] || continue
      argument=
      if $whole; then argument=--whole; fi
      record "$user: $part$($whole && [[ $part =~ quickstart|tests ]] && echo ", whole" || true)" \
        enter "$user" bash -euo pipefail -c "${commands[$part]}" "$part" "$argument"
    done
  done
done

printf '\n==== %s of commit %s\n' "scripts/clean_machine.sh" "$commit"
printf '%s\n' "${results[@]}"
exit $failed
