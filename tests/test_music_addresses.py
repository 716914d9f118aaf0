"""Which addresses music may be fetched from."""

import ipaddress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mediaserver.music.addresses import Policy, RefusedError, is_public

ANY = Policy()


@pytest.mark.parametrize(
    ("url", "scheme", "host", "port"),
    [
        ("http://radio.example.org/live", "http", "radio.example.org", 80),
        ("https://radio.example.org:8443/live?x=1#t", "https", "radio.example.org", 8443),
        ("HTTP://Radio.Example.ORG", "http", "radio.example.org", 80),
        ("http://93.184.216.34/a.mp3", "http", "93.184.216.34", 80),
        ("http://[2606:2800:220:1::1]/a.mp3", "http", "2606:2800:220:1::1", 80),
    ],
)
def test_addresses_of_the_internet_are_taken(url: str, scheme: str, host: str, port: int) -> None:
    found = ANY.parse(url)
    assert (found.scheme, found.host, found.port) == (scheme, host, port)
    assert "#" not in found.url


@pytest.mark.parametrize(
    "url",
    [
        "file:///etc/passwd",
        "file://localhost/etc/passwd",
        "/etc/passwd",
        "concat:http://example.org/a|file:///etc/passwd",
        "data:audio/mpeg;base64,SUQz",
        "ftp://example.org/a.mp3",
        "gopher://example.org/",
        "subfile,,start,0,end,9,,:/etc/passwd",
        "rtmp://example.org/live",
        "pipe:0",
        "http:",
        "http://",
        "http:///a",
        "http://user@example.org/",
        "http://user:secret@example.org/",
        "http://@example.org/",
        "http://example.org:0/",
        "http://example.org:99999/",
        "http://example.org:x/",
        "http://exa mple.org/",
        "http://example.org/\r\nX-Header: 1",
        "http://example.org\\@127.0.0.1/",
        "http://exam%70le.org%2f/",
        "http://-example.org/",
        "http://" + "a" * 64 + ".org/",
        "http://example.org/" + "a" * 3000,
        "http://[::1",
        "http://[fe80::1%25eth0]/",
        "http://rädio.example/",  # as written in ASCII, it would be taken
    ],
)
def test_what_is_no_plain_http_address_is_refused(url: str) -> None:
    with pytest.raises(RefusedError) as refused:
        ANY.parse(url)
    assert url not in str(refused.value)


@pytest.mark.parametrize(
    "host",
    [
        *("127.0.0.1", "127.1.2.3", "0.0.0.0", "0.1.2.3", "10.0.0.1", "172.16.0.1", "172.31.255.255", "192.168.1.1"),
        *("169.254.169.254", "100.64.0.1", "100.100.100.200", "168.63.129.16", "192.0.0.192", "198.18.0.1"),
        *("224.0.0.1", "239.255.255.250", "240.0.0.1", "255.255.255.255", "192.0.2.1", "203.0.113.9"),
        *("[::1]", "[::]", "[::ffff:127.0.0.1]", "[::ffff:10.0.0.1]", "[::ffff:a9fe:a9fe]", "[::127.0.0.1]"),
        *("[fe80::1]", "[fc00::1]", "[fd00:ec2::254]", "[ff02::1]", "[2001:db8::1]", "[fec0::1]"),
        *("[64:ff9b::7f00:1]", "[64:ff9b::a9fe:a9fe]", "[64:ff9b:1::1]", "[2002:7f00:1::]", "[2002:a00:1::1]"),
        *("[2001:0:7f00:1::]", "[100::1]"),
        # the same in other forms
        *("2130706433", "0x7f000001", "0x7f.0.0.1", "0177.0.0.1", "017700000001", "127.1", "127.0.1", "0"),
        *("10.1", "127.0.0.1.", "00000177.0.0.1", "0x7f.1", "127.0.0.0x1"),
        *("①②⑦.⓪.⓪.①", "127。0。0。1"),
    ],
)
def test_no_form_of_a_private_address_is_taken(host: str) -> None:
    with pytest.raises(RefusedError):
        ANY.parse(f"http://{host}/a.mp3")


@pytest.mark.parametrize("ip", ["93.184.216.34", "8.8.8.8", "2606:2800:220:1::1", "::ffff:8.8.8.8", "64:ff9b::808:808"])
def test_public_addresses_are_public(ip: str) -> None:
    assert is_public(ipaddress.ip_address(ip))


def test_one_bad_address_of_a_name_is_enough_to_refuse_it() -> None:
    good, bad = ipaddress.ip_address("8.8.8.8"), ipaddress.ip_address("127.0.0.1")
    ANY.check([good])
    for found in ([bad], [good, bad], [bad, good], []):
        with pytest.raises(RefusedError):
            ANY.check(found)


def test_an_operator_can_allow_a_network_of_his_own() -> None:
    policy = Policy(networks=(ipaddress.ip_network("10.1.0.0/16"),))
    for host in ("10.1.2.3", "[::ffff:10.1.2.3]"):
        policy.parse(f"http://{host}/")
    for host in ("10.2.0.1", "127.0.0.1"):
        with pytest.raises(RefusedError):
            policy.parse(f"http://{host}/")


def test_hosts_and_ports_can_be_listed() -> None:
    policy = Policy(hosts=("cdn.example.org", "*.radio.example"), ports=(80, 443))
    for url in ("http://cdn.example.org/", "https://a.radio.example/x", "http://CDN.example.org./"):
        policy.parse(url)
    for url in (
        *("http://example.org/", "http://radio.example/", "http://evilradio.example/", "http://cdn.example.org.evil/"),
        *("http://cdn.example.org:8080/", "http://8.8.8.8/"),
    ):
        with pytest.raises(RefusedError):
            policy.parse(url)


def test_a_relative_address_is_one_of_its_base_and_an_absolute_one_is_checked_as_any() -> None:
    base = "http://radio.example/live/list.m3u8"
    assert ANY.parse("seg1.ts", base).url == "http://radio.example/live/seg1.ts"
    assert ANY.parse("//other.example/seg1.ts", base).host == "other.example"
    for nested in ("file:///etc/passwd", "//127.0.0.1/x", "http://[::1]/", "data:,x"):
        with pytest.raises(RefusedError):
            ANY.parse(nested, base)


@settings(max_examples=300, derandomize=True)
@given(st.one_of(st.text(max_size=80), st.from_regex(r"https?://[^/]{0,40}/.{0,20}", fullmatch=True)))
def test_any_text_is_an_address_or_refused(text: str) -> None:
    try:
        found = ANY.parse(text)
    except RefusedError:
        return
    assert found.url.isascii()
    assert found.scheme in ("http", "https")
    assert ANY.parse(found.url) == found


@settings(max_examples=300, derandomize=True)
@given(st.ip_addresses())
def test_no_address_is_public_that_the_library_calls_private(ip: ipaddress.IPv4Address | ipaddress.IPv6Address) -> None:
    if is_public(ip) and (ip.version == 4 or ip.ipv4_mapped is None):
        assert ip.is_global
        assert not any((ip.is_private, ip.is_multicast, ip.is_loopback, ip.is_link_local))
