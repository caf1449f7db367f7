#!/bin/sh
# Installs gometheus-agent from a release's archive, after its SHA-256 was found
# right. On a machine with systemd it also installs the service, with a user of its
# own, and enables nothing. --help says more.
set -eu

url=https://github.com/gometheus/gometheus/releases
name=gometheus-agent
base='' version='' prefix=/usr/local server='' dry=''

usage() {
	cat <<EOF
usage: install-agent.sh [options]

Installs gometheus-agent into PREFIX/bin, after its checksum was found right. As
root on a machine with systemd it installs the service too; you enable it.

  --version VERSION  this one; without it the newest
  --server ADDRESS   the server to send to, host:port or a URL: written to
                     /etc/gometheus/agent.env if that is not there yet
  --from PLACE       a folder, or a URL of one, that has the archive and
                     checksums.txt; without it the project's releases
  --prefix PREFIX    where to install; without it /usr/local
  --dry-run          fetch and check, say what would be done, and change nothing
  --help             print this
EOF
}

say() { printf 'install-agent: %s\n' "$*"; }
die() {
	printf 'install-agent: %s\n' "$*" >&2
	exit 1
}
have() { command -v "$1" >/dev/null 2>&1; }

while [ $# -gt 0 ]; do
	case $1 in
	--version | --server | --from | --prefix)
		if [ $# -lt 2 ] || [ -z "$2" ]; then die "$1 needs a value"; fi
		case $1 in
		--version) version=${2#v} ;;
		--server) server=$2 ;;
		--from) base=${2%/} ;;
		--prefix) prefix=${2%/} ;;
		esac
		shift 2
		;;
	--dry-run) dry=yes && shift ;;
	--help | -h) usage && exit 0 ;;
	*) die "$1: no such option; --help lists them" ;;
	esac
done
case $server in *[!A-Za-z0-9.:/_@%~\[\]-]*) die "--server $server: want host:port or a URL" ;; esac

# ROOT is for tests: what stands before every path but the prefix.
root=${INSTALL_ROOT:-}

system=$(uname -s)
machine=$(uname -m)
case $system in
Linux) os=linux ;;
Darwin) os=darwin ;;
*) die "there is no archive for $system; Windows has a .zip among the releases" ;;
esac
case $machine in
x86_64 | amd64) arch=amd64 ;;
aarch64 | arm64) arch=arm64 ;;
armv7* | armv8l) arch=armv7 ;;
*) die "there is no archive for $machine" ;;
esac
[ "$os-$arch" != darwin-armv7 ] || die "there is no archive for $machine on $system"

if have sha256sum; then
	sha256() { sha256sum "$1" | cut -d ' ' -f 1; }
elif have shasum; then
	sha256() { shasum -a 256 "$1" | cut -d ' ' -f 1; }
else
	die 'needs sha256sum or shasum to check what it installs'
fi
have tar || die 'needs tar'

# fetch FILE TO
fetch() {
	case $base in
	http://* | https://*)
		if have curl; then
			curl -fsSL --retry 3 --connect-timeout 20 -o "$2" "$base/$1"
		elif have wget; then
			wget -q -t 3 -T 20 -O "$2" "$base/$1"
		else
			die 'needs curl or wget'
		fi || die "can't fetch $base/$1"
		;;
	*)
		[ -f "$base/$1" ] || die "$base has no $1"
		cp "$base/$1" "$2"
		;;
	esac
}

if [ -z "$base" ]; then
	if [ -n "$version" ]; then base=$url/download/v$version; else base=$url/latest/download; fi
fi

tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
trap 'exit 1' HUP INT TERM

# The checksums name the archives, so they also say which version the newest is.
fetch checksums.txt "$tmp/checksums.txt"
suffix=_${os}_$arch.tar.gz
archive=$(sed -n 's/^[0-9a-f]\{64\} [ *]\('"$name"'_[A-Za-z0-9.+~-]*'"$suffix"'\)$/\1/p' "$tmp/checksums.txt")
if [ -n "$version" ]; then
	archive=$(printf '%s\n' "$archive" | grep -Fx "${name}_$version$suffix") ||
		die "checksums.txt of $base has no ${name}_$version$suffix"
fi
[ -n "$archive" ] || die "checksums.txt of $base has no $name for $os on $arch"
[ "$(printf '%s\n' "$archive" | wc -l)" -eq 1 ] || die "$base has several versions: say which with --version"

fetch "$archive" "$tmp/$archive"
want=$(sed -n 's/^\([0-9a-f]\{64\}\) [ *]'"$archive"'$/\1/p' "$tmp/checksums.txt")
got=$(sha256 "$tmp/$archive")
[ "$got" = "$want" ] || die "$archive is not what was released: its SHA-256 is $got, checksums.txt says $want. Nothing was installed."
say "$archive: the checksum is right"

mkdir "$tmp/x"
tar -xzf "$tmp/$archive" -C "$tmp/x"
[ -f "$tmp/x/$name" ] || die "$archive has no $name"
reports=$("$tmp/x/$name" --version 2>&1) || die "$name doesn't run on this machine: $reports"

run() { # run COMMAND…, or say it
	if [ -n "$dry" ]; then
		printf 'would run:'
		printf ' %s' "$@"
		echo
	else
		"$@"
	fi
}

# put MODE FILE TO: in one step, so that a program that runs is not in the way.
put() {
	run mkdir -p "$(dirname "$3")"
	run cp "$2" "$3.new"
	run chmod "$1" "$3.new"
	run mv -f "$3.new" "$3"
}

[ -n "$dry" ] || { mkdir -p "$prefix/bin" && [ -w "$prefix/bin" ]; } 2>/dev/null ||
	die "can't write into $prefix/bin: run this as root, or say --prefix"
put 0755 "$tmp/x/$name" "$prefix/bin/$name"

service=''
if [ "$os" = linux ] && [ -d "$root/run/systemd/system" ]; then
	if [ -n "$root" ] || [ "$(id -u)" -eq 0 ]; then service=yes; else say 'without root there is no service'; fi
fi
if [ -n "$service" ]; then
	sed "s|^ExecStart=/usr/bin/|ExecStart=$prefix/bin/|" "$tmp/x/$name.service" >"$tmp/service"
	put 0644 "$tmp/service" "$root/etc/systemd/system/$name.service"
	env=$root/etc/gometheus/agent.env
	if [ -e "$env" ]; then
		say "$env stays as it is"
	else
		if [ -n "$server" ]; then
			sed "s|^#ADDRESS=.*|ADDRESS=$server|" "$tmp/x/agent.env" >"$tmp/env"
		else
			cp "$tmp/x/agent.env" "$tmp/env"
		fi
		put 0600 "$tmp/env" "$env"
	fi
	if ! grep -q "^$name:" "$root/etc/passwd" 2>/dev/null; then
		if [ -n "$root" ]; then set -- --prefix "$root"; else set --; fi
		run useradd "$@" --system --user-group --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin "$name"
	fi
	[ -n "$root" ] || run systemctl daemon-reload
fi

[ -z "$dry" ] || {
	say "nothing was changed; it would be $reports"
	exit 0
}
say "installed $prefix/bin/$name: $reports"
if [ -n "$service" ]; then
	say "systemctl enable --now $name starts it now and at boot"
else
	say "$prefix/bin/$name --address ${server:-HOST:PORT} starts it"
fi
