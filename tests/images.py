"""The Dockerfile without Docker: each of its stages is a directory with Debian in it, and each of its commands runs
there in a chroot, with mounts and process ids of its own. It needs root, debootstrap and Debian's mirror."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Self

ROOT = Path(__file__).parent.parent
# Debian's, in place of the official image of compose.yaml.
PROXY = """
FROM debian:12-slim AS proxy
RUN apt-get update && apt-get install -y --no-install-recommends caddy
ENV XDG_DATA_HOME=/data
CMD ["caddy", "run", "--config", "/etc/caddy/Caddyfile"]
"""
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
MIRROR = "http://deb.debian.org/debian"
BASES = {"debian:12-slim": ("bookworm", "minbase")}
# Of a machine whose way out is a proxy, perhaps with a certificate of its own: what builds needs them.
OF_THE_MACHINE = ("PIP_CERT", "http_proxy", "https_proxy", "no_proxy")
CERTIFICATES = "usr/local/share/ca-certificates"
# A chroot whose end is the end of all that it started.
ENTER = r"""
for name in dev sys; do mount --rbind /$name "$0/$name"; done
root=$0 user=$1 directory=$2; shift 2
exec chroot --userspec="$user" "$root" env --ignore-environment --chdir="$directory" "$@"
"""


@dataclass(frozen=True)
class Image:
    """What a stage has become."""

    root: Path
    user: str = "root"
    directory: str = "/"
    environment: Mapping[str, str] = field(default_factory=lambda: {"PATH": PATH})
    arguments: Mapping[str, str] = field(default_factory=dict)
    check: Sequence[str] = ()
    entry: Sequence[str] = ()
    command: Sequence[str] = ()

    @classmethod
    def built(cls, directory: Path, target: str) -> Self:
        """What a builder made before."""
        kept = json.loads((directory / f"{target}.json").read_text())
        return cls(**{**kept, "root": Path(kept["root"])})

    def entering(self, command: Sequence[str], environment: Mapping[str, str]) -> list[str]:
        """The command that runs one in the image, as its user."""
        return [
            *("unshare", "--mount", "--pid", "--fork", "--kill-child", f"--mount-proc={self.root}/proc"),
            *("sh", "-ec", ENTER, str(self.root), self.user, self.directory),
            *(f"{name}={value}" for name, value in {**self.environment, **environment}.items()),
            *command,
        ]


def instructions(text: str) -> list[tuple[str, str]]:
    """Names and what follows them; comments are left out, continued lines are one."""
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    joined = re.sub(r"\\\n", "", "\n".join(lines))
    return [(name, rest.strip()) for name, _, rest in (line.partition(" ") for line in joined.splitlines() if line)]


class Builder:
    """context: what is copied from. directory: where stages are; what is there already of a base is used again, the
    rest is made anew."""

    def __init__(self, dockerfile: str, context: Path, directory: Path) -> None:
        self._context = context
        self._directory = directory
        self._log = directory / "log"
        self._of: dict[str, list[tuple[str, str]]] = {}
        self._arguments: dict[str, str] = {}  # those before the first stage
        self._made: dict[str, Image] = {}
        stage: list[tuple[str, str]] | None = None
        for name, rest in instructions(dockerfile):
            if name == "FROM":
                stage = self._of[rest.split()[2]] = []
            if stage is None:
                self._arguments |= dict([rest.split("=", 1)])
            else:
                stage.append((name, rest))

    def build(self, target: str) -> Image:
        if target not in self._made:
            image = Image(self._directory / target)
            for name, rest in self._of[target]:
                image = self._step(image, name, rest)
            self._made[target] = image
            (self._directory / f"{target}.json").write_text(json.dumps(asdict(image), default=str))
        return self._made[target]

    def _step(self, image: Image, name: str, rest: str) -> Image:
        match name:
            case "FROM":
                image = self._begun(image.root, rest.partition(" ")[0])
            case "ARG":
                image = replace(image, arguments={**image.arguments, rest: self._arguments[rest]})
            case "RUN":
                self._run(image, rest)
            case "WORKDIR":
                (image.root / rest.lstrip("/")).mkdir(parents=True, exist_ok=True)
                image = replace(image, directory=rest)
            case "COPY":
                self._copy(image, rest.split())
            case "ENV":
                given = dict(pair.split("=", 1) for pair in rest.split())
                known = {**image.environment, **image.arguments}
                given = {key: re.sub(r"\$(\w+)", lambda m: known[m[1]], value) for key, value in given.items()}
                image = replace(image, environment={**image.environment, **given})
            case "USER":
                image = replace(image, user=f"{rest}:{rest}")
            case "ENTRYPOINT":
                image = replace(image, entry=json.loads(rest))
            case "CMD":
                image = replace(image, command=json.loads(rest))
            case "HEALTHCHECK":
                image = replace(image, check=json.loads(rest.partition(" CMD ")[2]))
            case "EXPOSE":
                pass
            case _:
                raise ValueError(f"This reads no instruction {name} of a Dockerfile.")
        return image

    def _begun(self, root: Path, base: str) -> Image:
        before = Image(self._debian(base)) if base in BASES else self.build(base)
        shutil.rmtree(root, ignore_errors=True)
        self._do(["cp", "--archive", "--reflink=auto", str(before.root), str(root)])
        shutil.copy("/etc/resolv.conf", root / "etc/resolv.conf")
        if Path("/", CERTIFICATES).is_dir():
            shutil.copytree(Path("/", CERTIFICATES), root / CERTIFICATES, dirs_exist_ok=True)
        return replace(before, root=root, arguments={})

    def _debian(self, base: str) -> Path:
        root = self._directory / base.replace(":", "-")
        if not (root / "made").exists():
            shutil.rmtree(root, ignore_errors=True)
            suite, variant = BASES[base]
            self._do(["debootstrap", f"--variant={variant}", suite, str(root), MIRROR])
            (root / "made").touch()
        return root

    def _run(self, image: Image, script: str) -> None:
        given = {name: os.environ[name] for name in OF_THE_MACHINE if name in os.environ} | dict(image.arguments)
        self._do(image.entering(["/bin/sh", "-c", script], given))

    def _copy(self, image: Image, words: list[str]) -> None:
        options = dict(word[2:].split("=") for word in words if word.startswith("--"))
        *sources, to = [word for word in words if not word.startswith("--")]
        place = image.root / (to if to.startswith("/") else f"{image.directory}/{to}").lstrip("/")
        for source in sources:
            if "from" in options:
                read = self.build(options["from"]).root / source.lstrip("/")
                shutil.copytree(read, place, symlinks=True)
            else:
                self._copy_of_context(source, place)
        if "chown" in options:
            self._do(image.entering(["chown", "-R", options["chown"], to], {}))

    def _copy_of_context(self, source: str, place: Path) -> None:
        """What git knows: .dockerignore leaves out what is built."""
        asked = ["git", "-C", str(self._context), "ls-files", "-z", "--", source]
        for name in subprocess.run(asked, check=True, capture_output=True, text=True).stdout.split("\0")[:-1]:
            inside = Path(name).relative_to(source)
            to = place / (name if inside == Path() else inside)
            to.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(self._context / name, to)

    def _do(self, command: Sequence[str]) -> None:
        """subprocess.CalledProcessError, with what it said in the log."""
        with self._log.open("ab") as log:
            subprocess.run(command, check=True, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT)


def main(directory: Path) -> None:
    directory.mkdir(parents=True, exist_ok=True)
    targets = ("roomservice", "mediaserver", "proxy")
    builder = Builder((ROOT / "Dockerfile").read_text() + PROXY, ROOT, directory)
    for number, target in enumerate(targets, 1):
        print(f"images: {number} of {len(targets)}: {target}", file=sys.stderr)
        builder.build(target)


if __name__ == "__main__":
    main(Path(sys.argv[1]).resolve())
