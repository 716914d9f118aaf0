#include <arpa/inet.h>
#include <doctest/doctest.h>

#include <set>

#include "endpoint.hpp"
#include "hex.hpp"

using plane::Endpoint;

TEST_CASE("a numeric address keeps its bytes, text and port") {
    const auto v4 = Endpoint::from_text("192.0.2.1", 32853);
    REQUIRE(v4);
    CHECK(v4->valid());
    CHECK_FALSE(v4->is_ipv6());
    CHECK(to_hex(v4->address()) == "c0000201");
    CHECK(v4->address_text() == "192.0.2.1");
    CHECK(v4->port() == 32853);
    CHECK(v4->raw_size() == sizeof(sockaddr_in));

    const auto v6 = Endpoint::from_text("2001:db8:1234:5678:11:2233:4455:6677", 65535);
    REQUIRE(v6);
    CHECK(v6->valid());
    CHECK(v6->is_ipv6());
    CHECK(to_hex(v6->address()) == "20010db8123456780011223344556677");
    CHECK(v6->address_text() == "2001:db8:1234:5678:11:2233:4455:6677");
    CHECK(v6->port() == 65535);
    CHECK(v6->raw_size() == sizeof(sockaddr_in6));
}

TEST_CASE("an endpoint's text has its IPv6 address in brackets") {
    CHECK(Endpoint::from_text("127.0.0.1", 50000)->text() == "127.0.0.1:50000");
    CHECK(Endpoint::from_text("::1", 8090)->text() == "[::1]:8090");
}

TEST_CASE("what is not a numeric address gives nothing") {
    for (const char* text : {"", "localhost", "256.0.0.1", "1.2.3", "1.2.3.4:80", "::g", "1::2::3", "fe80::1%lo", " ::1"})
        CHECK_MESSAGE(!Endpoint::from_text(text, 1), text);
}

TEST_CASE("the kernel's structure is what the address says") {
    const auto endpoint = Endpoint::from_text("127.0.0.1", 0x1234);
    REQUIRE(endpoint);
    sockaddr_in expected{};
    expected.sin_family = AF_INET;
    expected.sin_port = htons(0x1234);
    expected.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    CHECK(std::memcmp(endpoint->raw(), &expected, sizeof expected) == 0);
}

TEST_CASE("an endpoint that was never set is not valid") { CHECK_FALSE(Endpoint{}.valid()); }

TEST_CASE("endpoints are equal when family, address and port are") {
    const auto a = *Endpoint::from_text("127.0.0.1", 5000);
    CHECK(a == *Endpoint::from_text("127.0.0.1", 5000));
    CHECK(a.hash() == Endpoint::from_text("127.0.0.1", 5000)->hash());
    CHECK_FALSE(a == *Endpoint::from_text("127.0.0.1", 5001));
    CHECK_FALSE(a == *Endpoint::from_text("127.0.0.2", 5000));
    CHECK_FALSE(a == *Endpoint::from_text("::ffff:127.0.0.1", 5000));
    CHECK(*Endpoint::from_text("::1", 5000) == *Endpoint::from_text("0:0:0:0:0:0:0:1", 5000));
}

TEST_CASE("a port of TCP is another than the same of UDP") {
    const auto udp = *Endpoint::from_text("127.0.0.1", 5000);
    const Endpoint tcp = udp.over_tcp();
    CHECK(tcp.is_tcp());
    CHECK_FALSE(udp.is_tcp());
    CHECK_FALSE(tcp == udp);
    CHECK(tcp == udp.over_tcp());
    CHECK(tcp.hash() != udp.hash());
    CHECK(tcp.text() == udp.text());
}

TEST_CASE("flow label and scope that the kernel fills in do not make another endpoint") {
    auto received = *Endpoint::from_text("fe80::1", 5000);
    auto* raw = reinterpret_cast<sockaddr_in6*>(received.raw());
    raw->sin6_flowinfo = htonl(7);
    CHECK(received == *Endpoint::from_text("fe80::1", 5000));
    CHECK(received.hash() == Endpoint::from_text("fe80::1", 5000)->hash());
}

TEST_CASE("ports and addresses near each other hash apart") {
    std::set<std::size_t> hashes;
    for (int i = 0; i < 256; ++i) {
        hashes.insert(Endpoint::from_text("10.0.0." + std::to_string(i), 5000)->hash());
        hashes.insert(Endpoint::from_text("10.0.1.1", static_cast<std::uint16_t>(6000 + i))->hash());
    }
    CHECK(hashes.size() == 512);
}
