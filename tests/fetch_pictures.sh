#!/usr/bin/env bash
# scripts/fetch_pictures.sh against an apt-get and a dpkg-deb that only pretend: what is there is not fetched
# again, what is unknown is left out, and what was cut off does not count.
set -euo pipefail
script=$(realpath "$(dirname "${BASH_SOURCE[0]}")/../scripts/fetch_pictures.sh")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir "$work/bin"

# Knows all packages but those in $UNKNOWN; writes down what it is asked to download; fails for $BROKEN.
cat >"$work/bin/apt-get" <<'FAKE'
#!/usr/bin/env bash
package=${!#}
if [[ $1 == update ]]; then exit 0; fi
if [[ $UNKNOWN == all || " $UNKNOWN " == *" $package "* ]]; then echo "E: Unable to locate $package" >&2; exit 100; fi
if [[ "$*" == *--print-uris* ]]; then echo "'http://mirror/$package.deb' $package.deb 1000000 SHA256:0"; exit 0; fi
echo "$package" >>"$LOG"
if [[ $BROKEN == "$package" ]]; then exit 100; fi
echo "$package" >"$package.deb"
FAKE
# Unpacks a file of the package's name; dies half-way for $CUT_OFF.
cat >"$work/bin/dpkg-deb" <<'FAKE'
#!/usr/bin/env bash
package=$(cat "$2")
mkdir -p "$3/usr/share" && echo whole >"$3/usr/share/$package"
if [[ $CUT_OFF == "$package" ]]; then echo half >"$3/usr/share/$package"; exit 2; fi
FAKE
chmod +x "$work/bin/apt-get" "$work/bin/dpkg-deb"

export LOG=$work/log UNKNOWN= BROKEN= CUT_OFF=
folder="$work/a folder"
fetch() {
  : >"$LOG"
  code=0
  said=$(PATH="$work/bin:$PATH" "$script" "$@" 2>&1) || code=$?
}
check() { "$@" || { echo "failed: $* (exit status $code, said: $said)" >&2; exit 1; }; }
says() { [[ $said == *"$1"* ]]; }

fetch
check test $code == 2
fetch "$folder" more
check test $code == 2
fetch --help
check test $code == 0
check says "Fetches the picture collections"

UNKNOWN=all fetch "$folder"
check test $code == 1
check says "apt knows none of the packages"

BROKEN=scratch fetch "$folder"
check test $code == 1
check says "could not download scratch"
check test ! -e "$folder/.unpacked/scratch"
check test -e "$folder/usr/share/qabcs-data"

CUT_OFF=scratch fetch "$folder"
check test $code == 1
check says "could not unpack scratch"
check test "$(cat "$LOG")" == scratch  # nothing else again
check test ! -e "$folder/.unpacked/scratch"

UNKNOWN="scratch" fetch "$folder"
check test $code == 0
check says "apt does not know them: scratch"

fetch "$folder"
check test $code == 0
check says "Fetching 1 of 14 packages, 1 MB"
check test "$(cat "$LOG")" == scratch
check test "$(cat "$folder/usr/share/scratch")" == whole

fetch "$folder"
check test $code == 0
check says "already in $folder"
check test ! -s "$LOG"
check test -z "$(find "$folder" -name '*.deb' -o -name '.download-*')"
