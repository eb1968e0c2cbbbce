#!/bin/sh
# Install what tools/packages.txt names and the host does not have.
# Says nothing and is done at once when nothing is missing.
set -eu

list=$(dirname "$0")/packages.txt
wanted=$(sed -e 's/#.*//' "$list")

missing=
for package in $wanted; do
	state=$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null || true)
	[ "$state" = installed ] || missing="$missing $package"
done
[ -n "$missing" ] || exit 0

if [ "$(id -u)" = 0 ]; then
	as_root=
elif command -v sudo >/dev/null; then
	as_root=sudo
else
	echo "deps: as root, run: apt-get install$missing" >&2
	exit 2
fi
echo "deps: installing$missing"
export DEBIAN_FRONTEND=noninteractive
# shellcheck disable=SC2086
$as_root apt-get -q update
# shellcheck disable=SC2086
$as_root apt-get -q -y --no-install-recommends install $missing
