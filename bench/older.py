"""Results of the benchmarks whose files have a form of their own, in the common one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from bench import results
from bench.results import Cell, Column, Series, Table

Document = Mapping[str, Any]


class Found:
    """What a file says: to be given to Run.result()."""

    def __init__(
        self,
        keys: dict[str, float | None],
        tables: list[Table],
        series: list[Series] | None = None,
        noise: dict[str, float] | None = None,
    ) -> None:
        self.keys = keys
        self.tables = tables
        self.series = series or []
        self.noise = noise or {}


def plane(document: Document) -> Found:
    found: Found = Found({}, [])
    rows: list[list[Cell]] = []
    for each in document["results"]:
        n = each["n"]
        for kind in ("forward", "mix"):
            us, floor = each[f"{kind}_us_all"], each["floor_us_all"]
            found.keys[f"plane_{kind}_us_{n}"] = each[f"{kind}_us_per_packet"]
            found.keys[f"plane_ratio_{kind}_{n}"] = each[f"ratio_{kind}"]
            found.noise[f"plane_{kind}_us_{n}"] = results.spread(us)
            found.noise[f"plane_ratio_{kind}_{n}"] = results.spread([x / y for x, y in zip(us, floor, strict=True)])
        names = ("forward_us_per_packet", "mix_us_per_packet", "floor_us_per_packet", "ratio_forward", "ratio_mix")
        rows.append([n, *(each[name] for name in names)])
    columns = [Column("listeners"), *(Column(name, "µs") for name in ("forward", "mix", "floor"))]
    columns += [Column("forward / floor"), Column("mix / floor")]
    found.tables.append(Table("CPU time of the plane for each packet sent", columns, rows))
    found.series = [
        Series(
            name,
            "cost",
            [float(each["n"]) for each in document["results"]],
            [float(each[f"{key}_us_per_packet"]) for each in document["results"]],
            "listeners",
            "CPU time a packet (µs)",
            floor=key == "floor",
        )
        for name, key in (("forwarded", "forward"), ("mixed", "mix"), ("floor: OpenSSL and sendmmsg", "floor"))
    ]
    return found


def control(document: Document) -> Found:
    keys: dict[str, float | None] = {
        name: float(value) for name, value in document.items() if name.startswith("control_")
    }
    rows: list[list[Cell]] = []
    for title, name in (
        ("a call, from when it was due", "call"),
        ("the same of an empty application (floor)", "floor_call"),
        ("until a mute or unmute is heard", "effect"),
        ("the same on an idle server", "idle_effect"),
    ):
        rows.append([title, *(document[f"control_{name}_{point}_ms"] for point in ("p50", "p90", "p99", "max"))])
    times = Table("Control calls", [Column("time of"), *(Column(p, "ms") for p in ("p50", "p90", "p99", "max"))], rows)
    costs: list[list[Cell]] = [
        ["event loop", document["control_loop_cpu_ms_per_call"]],
        ["store", document["control_store_cpu_ms_per_call"]],
        ["floor: an empty application, and its share of a commit", document["control_floor_cpu_ms_per_call"]],
    ]
    tables = [times, Table("What a control call costs", [Column("part"), Column("CPU", "ms", 3)], costs)]
    return Found(keys, tables, noise=document.get("noise"))


def music(document: Document) -> Found:
    keys: dict[str, float | None] = {}
    noise: dict[str, float] = {}
    rows: list[list[Cell]] = []
    for each in document["results"]:
        key = "music_" + "".join(c if c.isalnum() else "_" for c in each["what"].lower())
        keys[f"{key}_us"] = each["plane_us"]
        if len(each.get("plane_us_all", ())) > 1:
            noise[f"{key}_us"] = results.spread(each["plane_us_all"])
        rows.append([each["what"], each["per"], each["plane_us"], each.get("room_us"), each.get("children_us")])
    columns = [Column("added to a room"), Column("per"), *(Column(n, "µs") for n in ("plane", "room", "decoder"))]
    return Found(keys, [Table("CPU time per tick of 20 ms, more than the room without", columns, rows)], noise=noise)


def kernels(document: Document) -> Found:
    keys: dict[str, float | None] = {}
    noise: dict[str, float] = {}
    rows: list[list[Cell]] = []
    for each in document["results"]:
        what = [f"{each[name]} {name}" for name in ("columns", "rows", "channels") if name in each]
        what += [str(each["gain"])] if "gain" in each else []
        key = "kernel_" + "_".join([each["kernel"], *what]).replace(" ", "_").replace("-", "_")
        keys[f"{key}_us"] = each["kernel_min_ns"] / 1e3
        if "kernel_iqr_ns" in each:
            noise[f"{key}_us"] = each["kernel_iqr_ns"] / 2 / each["kernel_median_ns"]
        numpy_us = each["numpy_min_ns"] / 1e3 if "numpy_min_ns" in each else None
        rows.append([each["kernel"], ", ".join(what), each["kernel_min_ns"] / 1e3, numpy_us, each.get("speedup")])
    columns = [Column("kernel"), Column("of"), Column("kernel", "µs", 3), Column("NumPy", "µs", 3)]
    columns.append(Column("NumPy / kernel", digits=1))
    title = f"Numerical kernels, minima for a frame of {document['samples']} samples"
    return Found(keys, [Table(title, columns, rows)], noise=noise)


def moved(document: Document) -> Found:
    keys: dict[str, float | None] = {}
    noise: dict[str, float] = {}
    rows: list[list[Cell]] = []
    for each in document["results"]:
        key = f"moved_more_us_{each['listeners']}_{each['burst']}"
        keys[key] = each["more_us"]
        if len(each.get("more_us_all", ())) > 1:
            noise[key] = results.spread(each["more_us_all"])
        rows.append([each[name] for name in ("listeners", "burst", "home_us", "moved_us", "more_us")])
    columns = [Column("listeners"), Column("packets at once")]
    columns += [Column(name, "µs") for name in ("at home", "moved", "more")]
    return Found(
        keys, [Table("CPU time a packet of a publisher who moved to another worker", columns, rows)], noise=noise
    )


def quality(document: Document) -> Found:
    nested = ("features", "machine", "cases", "noise")
    keys: dict[str, float | None] = {name: value for name, value in document.items() if name not in nested}
    names = ("content", "path", "side", "network", "repair", "pesq", "pesq_loss", "visqol_loss", "delay_p50_ms")
    rows: list[list[Cell]] = [[each[name] for name in names] for each in document["cases"]]
    return Found(
        keys, [Table("Quality of what is heard", [Column(name) for name in names], rows)], noise=document.get("noise")
    )


READERS: dict[str, Callable[[Document], Found]] = {
    "plane": plane,
    "control": control,
    "music": music,
    "kernels": kernels,
    "moved": moved,
    "quality": quality,
}
