"""mediaserver/_native.pyi is what the compiled plane says of itself. To write it anew:

python -m nanobind.stubgen -q -m mediaserver._native -o mediaserver/_native.pyi && ruff format mediaserver/_native.pyi
"""

import subprocess
import sys
from pathlib import Path

import mediaserver

STUB = Path(mediaserver.__file__).parent / "_native.pyi"


def test_the_stub_is_the_one_that_the_module_generates(tmp_path: Path) -> None:
    generated = tmp_path / "_native.pyi"
    stubgen = [sys.executable, "-m", "nanobind.stubgen", "-q", "-m", "mediaserver._native", "-o", str(generated)]
    subprocess.run(stubgen, check=True, timeout=60)
    config = STUB.parent.parent / "pyproject.toml"
    formatter = [sys.executable, "-m", "ruff", "format", "--quiet", "--config", str(config), str(generated)]
    subprocess.run(formatter, check=True, timeout=60)
    assert generated.read_text(encoding="utf-8") == STUB.read_text(encoding="utf-8")
