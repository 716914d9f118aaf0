"""Options: what is refused and how, and which of command line, environment, file and default wins."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mediaserver import cli, server
from mediaserver.events import DEFAULT_TYPES, Types
from mediaserver.keys import EVERY_ROOM, MIN_SECRET_BYTES, ApiKey, Rights
from mediaserver.settings import DEVELOPMENT_KEY, IceServer, MediaAddress, Settings, SettingsError, Webhook
from mediaserver.tracing import TracingError
from mediaserver.turn import Turn

SECRET = "s" * MIN_SECRET_BYTES
KEY = f"alpha:{SECRET}"

Serve = Callable[..., Settings]


@pytest.fixture
def serve(monkeypatch: pytest.MonkeyPatch) -> Serve:
    """Runs `mediaserver serve` with these arguments up to the point where the server would start."""
    seen: list[Settings] = []
    monkeypatch.setattr(server, "run", seen.append)

    def serve(*arguments: str) -> Settings:
        cli.main(["serve", *arguments])
        return seen.pop()

    return serve


def test_without_options_it_is_a_development_server_on_loopback(serve: Serve) -> None:
    settings = serve()
    assert settings.development
    assert (settings.host, settings.port) == ("127.0.0.1", 8090)
    assert settings.api_keys == (ApiKey(*DEVELOPMENT_KEY),)
    assert settings.media == (MediaAddress("127.0.0.1", "127.0.0.1"),)


def test_a_key_makes_it_a_production_server(serve: Serve) -> None:
    settings = serve("--api-key", KEY, "--host", "0.0.0.0", "--media-address", "192.0.2.1")
    assert not settings.development
    assert settings.api_keys == (ApiKey("alpha", SECRET),)


def test_the_command_line_wins_over_the_environment_over_the_file_over_the_default(
    serve: Serve, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    config = tmp_path / "mediaserver.toml"
    config.write_text("port = 1001\nmedia-port = 2001\nworkers = 3\nlog-level = 'warning'\n")
    monkeypatch.setenv("MEDIASERVER_PORT", "1002")
    monkeypatch.setenv("MEDIASERVER_MEDIA_PORT", "2002")
    settings = serve("--config", str(config), "--port", "1003")
    assert (settings.port, settings.media_port, settings.workers) == (1003, 2002, 3)
    assert (settings.log_level, settings.host) == ("warning", "127.0.0.1")


def test_the_file_may_be_named_by_the_environment(
    serve: Serve, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    config = tmp_path / "mediaserver.toml"
    config.write_text(f"api_key = ['{KEY}']\nmedia_address = ['127.0.0.1', '::1']\nmax_rooms = 5\n")
    monkeypatch.setenv("MEDIASERVER_CONFIG", str(config))
    settings = serve()
    assert settings.api_keys == (ApiKey("alpha", SECRET),)
    assert settings.media == (MediaAddress("127.0.0.1", "127.0.0.1"), MediaAddress("::1", "::1"))
    assert settings.limits.rooms == 5


def test_several_keys_may_come_from_the_environment(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MEDIASERVER_API_KEY", f"{KEY} beta:{SECRET}")
    settings = serve("--media-address", "192.0.2.1")
    assert [key.id for key in settings.api_keys] == ["alpha", "beta"]


def test_keys_in_the_environment_may_have_rights_and_patterns(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MEDIASERVER_API_KEY", f"{KEY} read lobby-* a%3Ab\n beta:{SECRET}  gamma:{SECRET} control")
    alpha, beta, gamma = serve("--media-address", "192.0.2.1").api_keys
    assert (alpha.id, alpha.rights, beta.id, beta.rights) == ("alpha", Rights.READ, "beta", Rights.ADMIN)
    assert [alpha.reaches(name) for name in ("lobby-1", "a:b", "lobby")] == [True, True, False]
    assert (gamma.id, gamma.rights, gamma.rooms) == ("gamma", Rights.CONTROL, EVERY_ROOM)


def test_keys_of_the_command_line_may_have_rights_and_patterns(serve: Serve) -> None:
    keys = serve(
        "--api-key", f"{KEY} read a:b", "--api-key", f" beta:{SECRET} control", "--media-address", "::1"
    ).api_keys
    assert [(key.id, key.rights, key.reaches("a:b")) for key in keys] == [
        ("alpha", Rights.READ, True),
        ("beta", Rights.CONTROL, True),
    ]


def test_keys_of_options_and_file_are_told_apart(serve: Serve, tmp_path: Path) -> None:
    keys = tmp_path / "keys"
    keys.write_text(f"beta:{SECRET}\n")
    settings = serve("--api-key", KEY, "--api-key-file", str(keys), "--media-address", "192.0.2.1")
    assert [key.id for key in settings.api_keys] == ["alpha", "beta"]
    assert [key.id for key in settings.option_api_keys] == ["alpha"]
    assert settings.api_key_file == keys


@pytest.mark.parametrize(
    "content", ["", "# none\n", SECRET, f"{SECRET}:beta", f"beta:{SECRET} {SECRET}", f"{KEY}\n{KEY}", "beta:short"]
)
def test_a_key_file_at_fault_is_refused_and_never_development_mode(
    content: str, serve: Serve, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    keys = tmp_path / "keys"
    keys.write_text(content)
    with pytest.raises(SystemExit) as exit_:
        serve("--api-key-file", str(keys))
    assert exit_.value.code == cli.USAGE_EXIT_CODE
    output = capsys.readouterr().err
    assert output.count("\n") == 1
    assert SECRET not in output


def test_the_development_key_is_admin_of_all_rooms(serve: Serve) -> None:
    (key,) = serve().api_keys
    assert key.rights is Rights.ADMIN
    assert key.reaches("any")


def test_keys_may_come_from_a_file_with_comments(serve: Serve, tmp_path: Path) -> None:
    keys = tmp_path / "keys"
    keys.write_text(f"# of the room service\n{KEY}\n\n")
    settings = serve("--api-key-file", str(keys), "--media-address", "192.0.2.1")
    assert settings.api_keys == (ApiKey("alpha", SECRET),)


@pytest.mark.parametrize(
    "arguments",
    [
        ["--production"],
        ["--host", "0.0.0.0"],
        ["--host", "media.example.org"],
        ["--media-address", "192.0.2.1"],
        ["--media-address", "127.0.0.1=192.0.2.1"],
        ["--media-address", "0.0.0.0=127.0.0.1"],
        ["--api-key", KEY],
        ["--api-key", "alpha:short", "--media-address", "192.0.2.1"],
        ["--api-key", SECRET, "--media-address", "192.0.2.1"],
        ["--api-key", f"a b:{SECRET}", "--media-address", "192.0.2.1"],
        ["--api-key", KEY, "--api-key", KEY, "--media-address", "192.0.2.1"],
        ["--api-key", KEY, "--media-address", "0.0.0.0"],
        ["--api-key", KEY, "--media-address", "media.example.org"],
        ["--api-key", KEY, "--media-address", "192.0.2.1=2001:db8::1"],
        ["--api-key", KEY, "--media-address", "192.0.2.1", "--media-address", "192.0.2.1"],
        ["--api-key-file", "/nonexistent"],
        ["--api-key", f"{KEY} {SECRET}", "--media-address", "192.0.2.1"],
        ["--api-key", f"{SECRET}:alpha", "--media-address", "192.0.2.1"],
        ["--api-key", f"{KEY} read %", "--media-address", "192.0.2.1"],
        ["--config", "/nonexistent"],
        ["--port", "65536"],
        ["--port", "http"],
        ["--media-port", "65535", "--workers", "2"],
        ["--workers", "0"],
        ["--max-rooms", "0"],
        ["--cors-origin", "example.org"],
        ["--ice-server", "http://example.org"],
        ["--state", ""],
        ["--webhook", "https://example.org/hook"],
        ["--webhook", f"ftp://example.org/ {SECRET}"],
        ["--webhook", f"https:///hook {SECRET}"],
        ["--webhook", f"https://example.org:0/ {SECRET}"],
        ["--webhook", f"https://example.org:port/ {SECRET}"],
        ["--webhook", f"https://[::1/ {SECRET}"],
        ["--webhook", f"https://ann:{SECRET}@example.org/ {SECRET}"],
        ["--webhook", f"https://bücher.example/ {SECRET}"],
        ["--webhook", "https://example.org/hook short"],
        ["--webhook", f"https://example.org/ {SECRET} rooms.*"],
        ["--webhook", f"https://example.org/ {SECRET}", "--webhook", f"https://example.org/ {SECRET} room.*"],
        [*["--webhook", f"https://example.org/ {SECRET}"] * 17],
        ["--webhook-file", "/nonexistent"],
        ["--ice-server", "turn:example.org,user"],
        ["--ice-server", 'turn:example.org,user,"'],
        ["--turn", "turn:example.org"],
        ["--turn-secret", SECRET],
        ["--turn", "stun:example.org", "--turn-secret", SECRET],
        ["--turn", "turn:example.org", "--turn-secret", "short"],
        ["--turn", "turn:example.org", "--turn-secret", SECRET, "--turn-secret-file", "/nonexistent"],
        ["--turn", "turn:example.org", "--turn-secret-file", "/nonexistent"],
        ["--turn", "turn:example.org", "--turn-secret", SECRET, "--turn-ttl", "1"],
        ["--log-level", "loud"],
        ["--log-format", "xml"],
        ["--otlp-endpoint", "collector:4318"],
        ["--drain-timeout", "-1"],
        ["--max-worker-load", "1.5"],
        ["--rate-per-key", "-1"],
        ["--rate-per-address", "nan"],
        ["--trusted-proxy", "proxy.example.org"],
        ["--trusted-proxy", "10.0.0.1/8"],
        ["--media-allow-network", "10.0.0.1/8"],
        ["--media-allow-network", "nas.example.org"],
        ["--media-allow-host", "http://radio.example.org"],
        ["--media-allow-host", "*"],
        ["--media-file-mib", "0"],
        ["--media-total-gib", "-1"],
        ["--no-such-option"],
        ["surplus"],
    ],
)
def test_bad_options_are_refused_in_one_sentence(
    arguments: list[str], serve: Serve, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as exit_:
        serve(*arguments)
    assert exit_.value.code == cli.USAGE_EXIT_CODE
    output = capsys.readouterr()
    assert output.out == ""
    assert output.err.startswith("mediaserver: ")
    assert output.err.rstrip().endswith(".")
    assert output.err.count("\n") == 1
    assert SECRET not in output.err


@pytest.mark.parametrize(
    "text", ["= 1", "ports = 1", "port = [1]", "api_key = 'alpha'", "port = 'http'", "config = 'other.toml'"]
)
def test_a_bad_file_is_refused_in_one_sentence(
    text: str, serve: Serve, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = tmp_path / "mediaserver.toml"
    config.write_text(text)
    with pytest.raises(SystemExit) as exit_:
        serve("--config", str(config))
    assert exit_.value.code == cli.USAGE_EXIT_CODE
    assert capsys.readouterr().err.count("\n") == 1


def test_help_explains_every_option(capsys: pytest.CaptureFixture[str]) -> None:
    cli.main(["serve", "--help"])
    output = capsys.readouterr().out
    for parameter in cli.serve.params:
        assert parameter.opts[0] in output
        assert getattr(parameter, "help", None), parameter.name
    assert "MEDIASERVER_API_KEY" in output


def test_workers_have_consecutive_ports_on_every_address() -> None:
    settings = Settings.check(media_address=["127.0.0.1", "::1"], media_port=5000, workers=2)
    assert settings.binds() == [[("127.0.0.1", 5000), ("::1", 5000)], [("127.0.0.1", 5001), ("::1", 5001)]]


def test_the_kernel_chooses_all_ports_when_none_is_set() -> None:
    assert Settings.check(workers=2).binds() == [[("127.0.0.1", 0)], [("127.0.0.1", 0)]]


def test_clients_are_told_the_announced_address_with_the_bound_port() -> None:
    settings = Settings.check(
        api_key=[KEY], media_address=["10.0.0.1=192.0.2.1", "fd00::1=2001:db8::1"], media_port=5000, workers=1
    )
    bound = [("10.0.0.1", 5000), ("fd00::1", 5000)]
    assert settings.announced(bound) == [("192.0.2.1", 5000), ("2001:db8::1", 5000)]


def test_ipv6_addresses_may_be_bracketed() -> None:
    assert MediaAddress.parse("[::1]") == MediaAddress("::1", "::1")
    with pytest.raises(SettingsError):
        MediaAddress.parse("[::1")


def test_media_over_tcp_is_on_until_it_is_turned_off(
    serve: Serve, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert serve().media_tcp
    assert not serve("--no-media-tcp").media_tcp
    config = tmp_path / "mediaserver.toml"
    config.write_text("media-tcp = false\n")
    assert not serve("--config", str(config)).media_tcp
    monkeypatch.setenv("MEDIASERVER_MEDIA_TCP", "false")
    assert not serve().media_tcp
    assert serve("--media-tcp").media_tcp


def test_turn_servers_share_the_secret_of_a_file(tmp_path: Path) -> None:
    file = tmp_path / "secret"
    file.write_text(f"# of both\n{SECRET}\n")
    urls = ["turn:[2001:db8::1]:3478", "turns:turn.example.org:443?transport=tcp"]
    turn = Settings.check(turn=urls, turn_secret_file=file, turn_ttl=600).turn
    assert turn == Turn(tuple(urls), SECRET, 600)
    assert SECRET not in repr(turn)
    file.write_text(f"{SECRET}\nanother\n")
    with pytest.raises(SettingsError, match="one line"):
        Settings.check(turn=urls, turn_secret_file=file)


def test_ice_servers_may_have_credentials() -> None:
    settings = Settings.check(ice_server=["stun:stun.example.org:3478", "turn:[2001:db8::1]?transport=tcp,ann,secret"])
    assert settings.ice_servers == (
        IceServer("stun:stun.example.org:3478"),
        IceServer("turn:[2001:db8::1]?transport=tcp", "ann", "secret"),
    )


def test_secrets_are_not_in_the_representation() -> None:
    settings = Settings.check(api_key=[KEY], media_address=["192.0.2.1"])
    assert SECRET not in repr(settings)


def test_trusted_proxies_are_addresses_or_networks() -> None:
    settings = Settings.check(trusted_proxy=["10.0.0.0/8", "::1", "192.0.2.1"])
    assert [str(network) for network in settings.trusted_proxies] == ["10.0.0.0/8", "::1/128", "192.0.2.1/32"]


def test_tracing_without_its_packages_is_refused_in_one_sentence(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def run(_: Settings) -> None:
        raise TracingError("Tracing needs OpenTelemetry: install voicerooms[otel].")

    monkeypatch.setattr(server, "run", run)
    with pytest.raises(SystemExit) as exit_:
        cli.main(["serve", "--otlp-endpoint", "http://127.0.0.1:4318"])
    assert exit_.value.code == cli.USAGE_EXIT_CODE
    assert capsys.readouterr().err == "mediaserver: Tracing needs OpenTelemetry: install voicerooms[otel].\n"


def test_state_is_kept_in_a_file_except_in_development() -> None:
    assert Settings.check().state is None
    production: dict[str, Any] = {"api_key": [KEY], "media_address": ["192.0.2.1"]}
    assert Settings.check(**production).state == "mediaserver.db"
    assert Settings.check(**production, state="none").state is None
    assert Settings.check(state="/var/lib/rooms.db").state == "/var/lib/rooms.db"


def test_a_webhook_has_types_and_rooms_or_all_but_who_speaks() -> None:
    url = "https://example.org:8443/hook?token=1"
    assert Webhook.parse(f"{url} {SECRET}") == Webhook(url, SECRET, DEFAULT_TYPES, "*")
    assert Webhook.parse(f" {url}  {SECRET}  default music/* of all ") == Webhook(
        url, SECRET, DEFAULT_TYPES, "music/* of all"
    )
    assert Webhook.parse(f"{url} {SECRET} room.*,speaking.started").types == Types.parse(["room.*", "speaking.started"])


def test_webhooks_come_from_options_files_and_the_environment(
    serve: Serve, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    file = tmp_path / "webhooks"
    file.write_text(f"# of the room service\nhttps://example.org/1 {SECRET} *\n")
    monkeypatch.setenv("MEDIASERVER_WEBHOOK", f"https://example.org/2 {SECRET} *\nhttps://example.org/3 {SECRET}\n")
    settings = serve("--webhook-file", str(file))
    assert [webhook.url[-1] for webhook in settings.webhooks] == ["2", "3", "1"]
    assert SECRET not in repr(settings)
    assert "example.org" not in repr(settings.webhooks)
    settings = serve("--webhook", f"https://example.org/4 {SECRET} * a b")
    assert [(webhook.url[-1], webhook.rooms) for webhook in settings.webhooks] == [("4", "a b")]


def test_where_music_comes_from_and_goes_to(serve: Serve, tmp_path: Path) -> None:
    music = serve().music
    assert (music.directory, music.hosts, music.networks) == (None, (), ())
    options = [
        "--media-dir",
        str(tmp_path),
        "--media-allow-host",
        "*.Radio.example",
        "--media-allow-network",
        "fd00::/8",
    ]
    music = serve(*options, "--media-file-mib", "7", "--media-total-gib", "0.5").music
    assert (music.directory, music.hosts) == (tmp_path, ("*.radio.example",))
    assert [str(network) for network in music.networks] == ["fd00::/8"]
    assert (music.bounds.max_file, music.bounds.max_total) == (7 * 1024**2, 1024**3 // 2)
