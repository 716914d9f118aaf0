"""The SDK's modules without a browser: what is pure of them in Node.js, and that its declarations say what there is."""

import json
import re
import subprocess
from pathlib import Path

ROOT = Path(__file__).parent.parent
SDK = ROOT / "web" / "sdk"

# Every class that index.js exports with the names on its prototype, and other exports with none.
EXPORTS = """
Object.assign(globalThis, {location: {href: 'http://localhost/'}, addEventListener() {}, removeEventListener() {}});
const found = await import('./web/sdk/index.js');
const names = value => value.prototype ? Object.getOwnPropertyNames(value.prototype) : [];
console.log(JSON.stringify(Object.fromEntries(Object.entries(found).map(([name, value]) => [name, names(value)]))));
"""


def node(*arguments: str) -> str:
    done = subprocess.run(["node", *arguments], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_its_pure_modules_in_node() -> None:
    output = node("--test", *map(str, sorted((ROOT / "tests" / "sdk").glob("*.test.mjs"))))
    assert re.search(r"^# fail 0$", output, re.MULTILINE), output


def test_the_declarations_have_every_export_and_every_method() -> None:
    exported = json.loads(node("--input-type=module", "--eval", EXPORTS))
    text = SDK.joinpath("index.d.ts").read_text(encoding="utf-8")
    parts = re.findall(r"^export (class|function) (\w+)(.*?)(?=^export |^/\*\*|\Z)", text, re.MULTILINE | re.DOTALL)
    assert set(exported) == {name for _, name, _ in parts}
    for kind, name, members in parts:
        written = set(re.findall(r"^    (?:static |readonly )*(\w+)\??[<(:]", members, re.MULTILINE))
        assert kind == "function" or set(exported[name]) - {"constructor"} <= written | INTERNAL.get(name, set()), name


# Between its own modules.
INTERNAL = {"Call": {"join", "rejoin", "update", "happened", "over", "elsewhere", "end"}}


def test_it_can_be_published_as_it_stands() -> None:
    package = json.loads(SDK.joinpath("package.json").read_text(encoding="utf-8"))
    version = re.search(
        r'^version = "([^"]+)"', ROOT.joinpath("pyproject.toml").read_text(encoding="utf-8"), re.MULTILINE
    )
    assert version is not None
    assert package["version"] == version[1]
    assert SDK.joinpath(package["types"]).is_file()
    assert SDK.joinpath("LICENSE").read_text() == ROOT.joinpath("LICENSE").read_text()
    for file in SDK.glob("*.js"):
        for module in re.findall(r"from '([^']+)'", file.read_text(encoding="utf-8")):
            assert SDK.joinpath(module).is_file(), f"{file.name} needs {module}"
