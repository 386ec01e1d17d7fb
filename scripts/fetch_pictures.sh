#!/usr/bin/env bash
# Fetches the picture collections that train/quickstart.sh trains on: Debian packages, unpacked below a folder
# instead of installed, since some depend on whole programs that nobody needs for their pictures. Needs no
# root, and apt's lists of packages (apt-get update).
#
#   scripts/fetch_pictures.sh FOLDER     for  cuclip data prepare --from collections:FOLDER
#
# What is unpacked already is not fetched again. A package that apt does not know is named and left out.
# docs/pictures.md says what is in each, and under which licence.
set -euo pipefail

packages=(openclipart-png openclipart-svg tuxpaint-stamps-default
          fonts-noto-color-emoji fonts-symbola fonts-noto-core unicode-cldr-core
          fonts-materialdesignicons-webfont fonts-material-design-icons-iconfont fonts-font-awesome
          ruby-gemojione pysiogame qabcs-data scratch)

refuse() { echo "scripts/fetch_pictures.sh: $2" >&2; exit "$1"; }

case "${1:-}" in
  -h | --help) sed -n '2,9s/^# \{0,1\}//p' "$0"; exit 0 ;;
  "" | -*) refuse 2 "expected a folder, got '${1:-}' (see --help)" ;;
esac
(($# == 1)) || refuse 2 "expected one folder, got $# (see --help)"
folder=$1

for tool in apt-get dpkg-deb; do
  command -v $tool >/dev/null || refuse 1 "$tool is not there: not a Debian system. Unpack Debian 12's packages \
${packages[*]} below $folder"
done
mkdir -p "$folder/.unpacked"

missing=()
for package in "${packages[@]}"; do
  [[ -e $folder/.unpacked/$package ]] || missing+=("$package")
done
if ((${#missing[@]} == 0)); then echo "already in $folder"; exit 0; fi

# Prints 'ADDRESS' FILE BYTES HASH, or nothing for a package that apt does not know.
address() { apt-get download --print-uris "$1" 2>/dev/null || true; }
find_packages() {
  wanted=() unknown=() bytes=0
  local package size
  for package in "${missing[@]}"; do
    size=$(address "$package" | awk 'NR == 1 { print $3 }')
    if [[ $size =~ ^[0-9]+$ ]]; then wanted+=("$package"); bytes=$((bytes + size)); else unknown+=("$package"); fi
  done
}
find_packages
if ((${#wanted[@]} == 0 && EUID == 0)); then apt-get update -qq; find_packages; fi
if ((${#unknown[@]} > 0)); then echo "Left out, since apt does not know them: ${unknown[*]}"; fi
if ((${#wanted[@]} == 0)); then
  # Nothing more to be had: fine where an earlier run got some.
  [[ -z $(ls -A "$folder/.unpacked") ]] || exit 0
  refuse 1 "apt knows none of the packages: its lists may be missing (as root: apt-get update)"
fi
echo "Fetching ${#wanted[@]} of ${#packages[@]} packages, $(((bytes + 999999) / 1000000)) MB, into $folder"

downloads=$(mktemp -d "$folder/.download-XXXXXX")
trap 'rm -rf "$downloads"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
for package in "${wanted[@]}"; do
  # The user apt downloads as when root calls it may not write here.
  (cd "$downloads" && apt-get download -qq -o APT::Sandbox::User=root "$package") ||
    refuse 1 "apt-get could not download $package: see above"
  dpkg-deb --extract "$downloads"/*.deb "$folder" || refuse 1 "dpkg-deb could not unpack $package: see above"
  rm "$downloads"/*.deb
  touch "$folder/.unpacked/$package"  # last: what was cut off before is unpacked again
done
