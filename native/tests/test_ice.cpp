#include <doctest/doctest.h>

#include "ice.hpp"

using namespace plane;

namespace {

const IceCredentials ours{"ourufrag", "a-password-of-22-chars"};
const Instant start{seconds{1000}};

struct Client {
    Endpoint address;
    std::string remote_ufrag = "theirs";

    IceLite::Outcome check(IceLite& ice, Instant now, const IceCredentials& with, bool nominate) const {
        std::array<std::uint8_t, 256> datagram;
        const std::size_t size = stun::write_request(datagram, {}, with.ufrag + ":" + remote_ufrag, with.password, 1, nominate, 7);
        const Bytes bytes{datagram.data(), size};
        const auto request = stun::parse_request(bytes);
        REQUIRE(request);
        return ice.request(now, address, 0, bytes, *request);
    }
};

Client client(std::uint16_t port) { return {*Endpoint::from_text("127.0.0.1", port)}; }

}  // namespace

TEST_CASE("an authenticated request makes a path, a nomination selects it") {
    IceLite ice{ours, start};
    CHECK(ice.selected() == nullptr);
    auto outcome = client(1000).check(ice, start, ours, false);
    REQUIRE(outcome.path);
    CHECK_FALSE(outcome.selected_changed);
    CHECK_FALSE(ice.nominated());
    CHECK(ice.selected()->remote.port() == 1000);  // the handshake may begin before the nomination

    outcome = client(1001).check(ice, start, ours, true);
    CHECK(outcome.selected_changed);
    CHECK(ice.selected()->remote.port() == 1001);
    CHECK_FALSE(client(1001).check(ice, start, ours, true).selected_changed);
}

TEST_CASE("a request with a wrong password changes nothing") {
    IceLite ice{ours, start};
    const auto outcome = client(1000).check(ice, start + seconds{20}, {ours.ufrag, "another-password-of-22"}, true);
    CHECK(outcome.path == nullptr);
    CHECK(ice.paths().empty());
    CHECK(ice.consent_expired(start + seconds{31}));
}

TEST_CASE("consent lasts 30 s after the last request") {
    IceLite ice{ours, start};
    client(1000).check(ice, start + seconds{10}, ours, true);
    CHECK_FALSE(ice.consent_expired(start + seconds{40}));
    CHECK(ice.consent_expired(start + seconds{41}));
}

TEST_CASE("after a goodbye, consent lasts 8 s unless the peer asks again") {
    IceLite ice{ours, start};
    client(1000).check(ice, start, ours, true);
    ice.goodbye(start + seconds{1});
    CHECK_FALSE(ice.consent_expired(start + seconds{9}));
    CHECK(ice.consent_expired(start + seconds{10}));
    client(1000).check(ice, start + seconds{5}, ours, true);
    CHECK_FALSE(ice.consent_expired(start + seconds{30}));
}

TEST_CASE("the old credentials stay good until the first request with the new ones") {
    IceLite ice{ours, start};
    client(1000).check(ice, start, ours, true);
    const IceCredentials fresh{"fresh", "fresh-password-of-22-ch"};
    CHECK(ice.restart(fresh).empty());
    CHECK(client(1000).check(ice, start, ours, true).path);
    const auto outcome = client(1002).check(ice, start, fresh, true);
    CHECK(outcome.path);
    CHECK(outcome.retired_ufrag == ours.ufrag);
    CHECK(client(1000).check(ice, start, ours, true).path == nullptr);
    CHECK(ice.selected()->remote.port() == 1002);
}

TEST_CASE("a second restart before the first was used keeps the credentials that the peer has") {
    IceLite ice{ours, start};
    ice.restart({"second", "second-password-22-char"});
    CHECK(ice.restart({"third", "third-password-of-22-ch"}) == "second");
    CHECK(client(1000).check(ice, start, ours, true).path);
    CHECK(client(1000).check(ice, start, {"second", "second-password-22-char"}, true).path == nullptr);
    CHECK(client(1000).check(ice, start, {"third", "third-password-of-22-ch"}, true).path);
}

TEST_CASE("an unproved address gets at most three times what it sent") {
    IceLite ice{ours, start};
    Path& path = *client(1000).check(ice, start, ours, false).path;
    const std::uint64_t allowance = 3 * path.bytes_received;
    CHECK(ice.allow(path, allowance));
    CHECK_FALSE(ice.allow(path, 1));
    ice.prove();
    CHECK(ice.allow(path, 1'000'000));
}

TEST_CASE("paths are bounded; the one unused for longest goes, never the selected one") {
    IceLite ice{ours, start};
    client(1).check(ice, start, ours, true);
    for (std::uint16_t port = 2; port <= 8; ++port) client(port).check(ice, start + seconds{port}, ours, false);
    const auto outcome = client(9).check(ice, start + seconds{9}, ours, false);
    REQUIRE(outcome.evicted);
    CHECK(outcome.evicted->remote.port() == 2);
    CHECK(ice.paths().size() == IceLite::max_paths);
    CHECK(ice.selected()->remote.port() == 1);
}

TEST_CASE("consent is late 7 s after the last request over any path, however the peer said goodbye") {
    IceLite ice{ours, start};
    client(1000).check(ice, start, ours, true);
    CHECK_FALSE(ice.consent_late(start + seconds{6}));
    CHECK(ice.consent_late(start + seconds{7}));
    client(1001).check(ice, start + seconds{7}, ours, false);
    client(1001).check(ice, start + seconds{12}, {ours.ufrag, "another-password-of-22"}, false);
    ice.goodbye(start + seconds{8});
    CHECK_FALSE(ice.consent_late(start + seconds{13}));
    CHECK(ice.consent_late(start + seconds{14}));
}

TEST_CASE("a forgotten path is not used, and the selection of the others stays") {
    for (const std::uint16_t selected : {1, 2, 3}) {
        for (const std::uint16_t gone : {1, 2, 3}) {
            IceLite ice{ours, start};
            for (std::uint16_t port = 1; port <= 3; ++port) client(port).check(ice, start + seconds{port}, ours, port == selected);
            ice.forget(client(gone).address);
            CHECK(ice.paths().size() == 2);
            CHECK(ice.find(client(gone).address) == nullptr);
            CHECK(ice.nominated() == (selected != gone));
            // Without a nomination, the one that asked last.
            const int expected = selected != gone ? selected : gone == 3 ? 2 : 3;
            CHECK(ice.selected()->remote.port() == expected);
        }
    }
    IceLite ice{ours, start};
    client(1).check(ice, start, ours, true);
    ice.forget(client(2).address);
    CHECK(ice.paths().size() == 1);
    ice.forget(client(1).address);
    CHECK(ice.selected() == nullptr);
    CHECK(client(1).check(ice, start, ours, true).selected_changed);
}
