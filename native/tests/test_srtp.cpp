#include <doctest/doctest.h>

#include <numeric>
#include <stdexcept>

#include "hex.hpp"
#include "hmac_sha1.hpp"
#include "rtp.hpp"
#include "srtp.hpp"
#include "srtp_keys.hpp"
#include "srtp_transform.hpp"

using namespace plane;
using namespace plane::srtp;

namespace {

using Packet = std::vector<std::uint8_t>;

constexpr Profile profiles[] = {Profile::aes128_cm_sha1_80, Profile::aead_aes_128_gcm, Profile::aead_aes_256_gcm};

Packet counting(std::size_t size, std::uint8_t from) {
    Packet bytes(size);
    std::iota(bytes.begin(), bytes.end(), from);
    return bytes;
}

Sealer make_sealer(Profile profile, std::uint32_t first_rtcp_index = 0) {
    return Sealer(profile, counting(shape(profile).key, 1), counting(shape(profile).salt, 101), first_rtcp_index);
}

Opener make_opener(Profile profile) {
    return Opener(profile, counting(shape(profile).key, 1), counting(shape(profile).salt, 101));
}

Packet seal(Sealer& sealer, std::uint64_t index, std::uint32_t ssrc = 1, std::size_t payload_size = 100) {
    const std::uint8_t level[] = {0x27};
    const rtp::Element elements[] = {{.id = 1, .data = level}};
    const std::uint32_t csrcs[] = {77};
    Packet out(200 + payload_size);
    const rtp::Header header{.payload_type = 111,
                             .sequence = static_cast<std::uint16_t>(index),
                             .timestamp = static_cast<std::uint32_t>(index * 960),
                             .ssrc = ssrc};
    const std::size_t header_size = rtp::write_header(out, header, csrcs, elements);
    const Packet payload = counting(payload_size, static_cast<std::uint8_t>(index));
    const std::size_t size = sealer.rtp(index, header_size, payload, out);
    REQUIRE(size > header_size + payload_size);
    out.resize(size);
    return out;
}

std::optional<std::uint64_t> open(Opener& opener, Packet packet) {
    const auto opened = opener.rtp(packet);
    if (!opened) return std::nullopt;
    const std::size_t payload_size = opened->size - opened->header_size;
    CHECK(to_hex(Bytes{packet}.subspan(opened->header_size, payload_size)) ==
          to_hex(counting(payload_size, static_cast<std::uint8_t>(opened->index))));
    return opened->index;
}

const Packet report = from_hex("81c90007 0000000100000002 00000000 00010000 00000000 00000000 00000000");

Packet seal_rtcp(Sealer& sealer, Bytes compound = report) {
    Packet out(compound.size() + rtcp_overhead);
    const std::size_t size = sealer.rtcp(compound, out);
    REQUIRE(size > compound.size());
    out.resize(size);
    return out;
}

bool open_rtcp(Opener& opener, Packet packet, Bytes compound = report) {
    const auto size = opener.rtcp(packet);
    if (size) CHECK(to_hex(Bytes{packet}.first(*size)) == to_hex(compound));
    return size.has_value();
}

std::unique_ptr<Transform> session(Profile profile, Direction direction, std::string_view key, std::string_view salt,
                                   std::string_view authentication = "") {
    SessionKeys keys;
    const auto copy = [](std::string_view text, MutableBytes to) {
        const auto bytes = from_hex(text);
        std::copy(bytes.begin(), bytes.end(), to.begin());
    };
    copy(key, keys.encryption);
    copy(salt, keys.salt);
    copy(authentication, keys.authentication);
    return make_transform(profile, direction, keys);
}

}  // namespace

TEST_CASE("session keys are those of RFC 3711 appendix B.3 and RFC 6188 section 7.2") {
    struct Vector {
        std::string_view key, salt, encryption, session_salt, authentication;
    };
    const Vector vectors[] = {
        {"e1f97a0d3e018be0d64fa32c06de4139", "0ec675ad498afeebb6960b3aabe6", "c61e7a93744f39ee10734afe3ff7a087",
         "30cbbc08863d8c85d49db34a9ae1",
         "cebe321f6ff7716b6fd4ab49af256a156d38baa48f0a0acf3c34e2359e6cdbcee049646c43d9327ad175578ef72270986371c10c9a369ac2"
         "f94a8c5fbcdddc256d6e919a48b610ef17c2041e474035766b68642c59bbfc2f34db60dbdfb2"},
        {"f0f04914b513f2763a1b1fa130f10e2998f6f6e43e4309d1e622a0e332b9f1b6", "3b04803de51ee7c96423ab5b78d2",
         "5ba1064e30ec51613cad926c5a28ef731ec7fb397f70a960653caf06554cd8c4", "fa31791685ca444a9e07c6c64e93",
         "fd9c32d39ed5fbb5a9dc96b30818454d1313dc05"}};
    for (const Vector& vector : vectors) {
        const auto derived = [&vector](Label label, std::string_view expected) {
            Packet out(expected.size() / 2);
            derive(from_hex(vector.key), from_hex(vector.salt), label, out);
            CHECK(to_hex(out) == expected);
        };
        derived(Label::rtp_encryption, vector.encryption);
        derived(Label::rtp_salt, vector.session_salt);
        derived(Label::rtp_authentication, vector.authentication);
    }
}

TEST_CASE("a key of another size than the profile's is refused when deriving") {
    Packet out(16);
    CHECK_THROWS_AS(derive(counting(15, 0), counting(14, 0), Label::rtp_salt, out), std::invalid_argument);
    CHECK_THROWS_AS(derive(counting(16, 0), counting(15, 0), Label::rtp_salt, out), std::invalid_argument);
}

TEST_CASE("counter mode encrypts with the keystream of RFC 3711 appendix B.2") {
    const auto cipher = session(Profile::aes128_cm_sha1_80, Direction::seal, "2b7e151628aed2a6abf7158809cf4f3c",
                                "f0f1f2f3f4f5f6f7f8f9fafbfcfd");
    Packet packet = from_hex("800000000000000000000000");
    packet.resize(12 + 48 + 10);
    REQUIRE(cipher->seal_rtp(0, 12, Packet(48), packet.data()));
    CHECK(to_hex(Bytes{packet}.subspan(12, 48)) ==
          "e03ead0935c95e80e166b16dd92b4eb4d23513162b02d0f72a43a2fe4a5f97ab41e95b3bb0a2e8dd477901e4fca894c0");
}

TEST_CASE("the MAC of counter mode covers the packet and then the roll-over counter") {
    const std::string_view authentication = "cebe321f6ff7716b6fd4ab49af256a156d38baa4";
    const auto cipher = session(Profile::aes128_cm_sha1_80, Direction::seal, "2b7e151628aed2a6abf7158809cf4f3c",
                                "f0f1f2f3f4f5f6f7f8f9fafbfcfd", authentication);
    Packet packet = from_hex("80000004 00000000 00000000");
    packet.resize(12 + 48 + 10);
    REQUIRE(cipher->seal_rtp(0x123456780004, 12, Packet(48), packet.data()));
    Packet covered(packet.begin(), packet.end() - 10);
    const auto counter = from_hex("12345678");
    covered.insert(covered.end(), counter.begin(), counter.end());
    const auto mac = HmacSha1(from_hex(authentication)).mac(covered);
    CHECK(to_hex(Bytes{packet}.last(10)) == to_hex(Bytes{mac}.first(10)));
}

TEST_CASE("GCM gives the packets of RFC 7714 sections 16 and 17") {
    struct Vector {
        Profile profile;
        std::string_view key, srtp, srtcp;
    };
    constexpr std::string_view salt = "517569642070726f2071756f";
    const Packet rtp_packet = from_hex(
        "8040f17b8041f8d35501a0b247616c6c696120657374206f6d6e69732064697669736120696e207061727465732074726573");
    const Packet rtcp_packet = from_hex(
        "81c8000d4d6172734e5450314e545032525450200000042a0000e9304c756e61deadbeefdeadbeefdeadbeefdeadbeefdeadbeef");
    const Vector vectors[] = {
        {Profile::aead_aes_128_gcm, "000102030405060708090a0b0c0d0e0f",
         "8040f17b8041f8d35501a0b2f24de3a3fb34de6cacba861c9d7e4bcabe633bd50d294e6f42a5f47a51c7d19b36de3adf8833899d7f27beb1"
         "6a9152cf765ee4390cce",
         "81c8000d4d61727363e94885dcdab67ca727d7662f6b7e997ff5c0f76c06f32dc676a5f1730d6fda4ce09b4686303ded0bb9275bc84aa458"
         "96cf4d2fc5abf87245d9eade800005d4"},
        {Profile::aead_aes_256_gcm, "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f",
         "8040f17b8041f8d35501a0b232b1de78a822fe12ef9f78fa332e33aab18012389a58e2f3b50b2a0276ffae0f1ba63799b87b7aa3db36dfff"
         "d6b0f9bb7878d7a76c13",
         "81c8000d4d617273d50ae4d1f5ce5d304ba297e47d470c282c3ece5dbffe0a50a2eaa5c1110555be8415f658c61de0476f1b6fad1d1eb30c"
         "4446839f57ff6f6cb26ac3be800005d4"}};
    for (const Vector& vector : vectors) {
        const auto sealing = session(vector.profile, Direction::seal, vector.key, salt);
        const auto opening = session(vector.profile, Direction::open, vector.key, salt);

        Packet srtp(rtp_packet.begin(), rtp_packet.begin() + 12);
        srtp.resize(rtp_packet.size() + 16);
        REQUIRE(sealing->seal_rtp(0xf17b, 12, Bytes{rtp_packet}.subspan(12), srtp.data()));
        CHECK(to_hex(srtp) == vector.srtp);
        REQUIRE(opening->open_rtp(0xf17b, 12, srtp));
        CHECK(to_hex(Bytes{srtp}.first(rtp_packet.size())) == to_hex(rtp_packet));

        Packet srtcp(rtcp_packet.size() + 20);
        REQUIRE(sealing->seal_rtcp(0x5d4, rtcp_packet, srtcp.data()));
        CHECK(to_hex(srtcp) == vector.srtcp);
        CHECK(opening->rtcp_index_word(srtcp) == 0x800005d4);
        REQUIRE(opening->open_rtcp(srtcp));
        CHECK(to_hex(Bytes{srtcp}.first(rtcp_packet.size())) == to_hex(rtcp_packet));
    }
}

TEST_CASE("payloads of every size come back") {
    for (Profile profile : profiles) {
        Sealer sealer = make_sealer(profile);
        Opener opener = make_opener(profile);
        for (std::size_t size = 0; size < 300; ++size) {
            const Packet packet = seal(sealer, size, 1, size);
            CHECK(packet.size() == 12 + 4 + 4 + 4 + size + shape(profile).tag);
            CHECK(open(opener, packet) == size);
        }
    }
}

TEST_CASE("the index follows the sequence over its wraps") {
    for (Profile profile : profiles) {
        Sealer sealer = make_sealer(profile);
        Opener opener = make_opener(profile);
        for (std::uint64_t index = 20'000; index < 400'000; index += 5'000) CHECK(open(opener, seal(sealer, index)) == index);
    }
}

TEST_CASE("packets reordered over the wrap each get the index they were sealed with") {
    for (Profile profile : profiles) {
        Sealer sealer = make_sealer(profile);
        Opener opener = make_opener(profile);
        CHECK(open(opener, seal(sealer, 32'767)) == 32'767);
        CHECK(open(opener, seal(sealer, 65'500)) == 65'500);
        for (std::uint64_t index = 65'560; index > 65'500; --index) CHECK(open(opener, seal(sealer, index)) == index);
        for (std::uint64_t index = 65'560; index >= 65'500; --index) CHECK_FALSE(open(opener, seal(sealer, index)));
    }
}

TEST_CASE("a sequence before the first roll-over is not guessed into a negative one") {
    Sealer sealer = make_sealer(Profile::aead_aes_128_gcm);
    Opener opener = make_opener(Profile::aead_aes_128_gcm);
    CHECK(open(opener, seal(sealer, 10)) == 10);
    CHECK_FALSE(open(opener, seal(sealer, 0xFFF0)));
    CHECK(open(opener, seal(sealer, 9)) == 9);
}

TEST_CASE("a late packet opens once, if it is not older than the window") {
    for (Profile profile : profiles) {
        Sealer sealer = make_sealer(profile);
        Opener opener = make_opener(profile);
        CHECK(open(opener, seal(sealer, 1'000)));
        CHECK(open(opener, seal(sealer, 1'000 - 127)));
        CHECK_FALSE(open(opener, seal(sealer, 1'000 - 128)));
        CHECK(open(opener, seal(sealer, 950)));
        CHECK_FALSE(open(opener, seal(sealer, 950)));
        CHECK_FALSE(open(opener, seal(sealer, 1'000)));
    }
}

TEST_CASE("a retransmission is sealed to the same bytes") {
    for (Profile profile : profiles) {
        Sealer sealer = make_sealer(profile);
        const Packet first = seal(sealer, 65'540);
        seal(sealer, 65'541);
        CHECK(seal(sealer, 65'540) == first);
    }
}

TEST_CASE("a packet with any byte changed does not open and leaves no trace") {
    for (Profile profile : profiles) {
        Sealer sealer = make_sealer(profile);
        Opener opener = make_opener(profile);
        CHECK(open(opener, seal(sealer, 5)));
        const Packet genuine = seal(sealer, 6, 1, 20);
        for (std::size_t at = 0; at < genuine.size(); ++at) {
            for (std::uint8_t change : {0x01, 0x80}) {
                Packet forged = genuine;
                forged[at] ^= change;
                CHECK_FALSE(opener.rtp(forged));
            }
        }
        CHECK(open(opener, genuine) == 6);
    }
}

TEST_CASE("a packet cut at any byte or with bytes appended does not open") {
    for (Profile profile : profiles) {
        Sealer sealer = make_sealer(profile);
        Opener opener = make_opener(profile);
        const Packet genuine = seal(sealer, 6, 1, 20);
        for (std::size_t size = 0; size < genuine.size(); ++size) {
            Packet cut(genuine.begin(), genuine.begin() + static_cast<std::ptrdiff_t>(size));
            CHECK_FALSE(opener.rtp(cut));
        }
        Packet longer = genuine;
        longer.push_back(0);
        CHECK_FALSE(opener.rtp(longer));
        CHECK(open(opener, genuine) == 6);
    }
}

TEST_CASE("a forged jump does not move the roll-over counter") {
    for (Profile profile : profiles) {
        Sealer sealer = make_sealer(profile);
        Opener opener = make_opener(profile);
        CHECK(open(opener, seal(sealer, 40'000)));
        Packet forged = seal(sealer, 40'001);
        store16(&forged[2], 100);  // would be the next roll-over
        CHECK_FALSE(opener.rtp(forged));
        CHECK(open(opener, seal(sealer, 40'001)) == 40'001);
    }
}

TEST_CASE("eight SSRCs are kept and a ninth is refused") {
    for (Profile profile : profiles) {
        Sealer sealer = make_sealer(profile);
        Opener opener = make_opener(profile);
        for (std::uint32_t ssrc = 100; ssrc < 200; ++ssrc) {
            Packet forged = seal(sealer, 1, ssrc);
            forged.back() ^= 1;
            CHECK_FALSE(opener.rtp(forged));  // does not take a place
        }
        for (std::uint32_t ssrc = 1; ssrc <= 8; ++ssrc) CHECK(open(opener, seal(sealer, 10 * ssrc, ssrc)) == 10 * ssrc);
        CHECK_FALSE(open(opener, seal(sealer, 1, 9)));
        for (std::uint32_t ssrc = 1; ssrc <= 8; ++ssrc) {
            CHECK_FALSE(open(opener, seal(sealer, 10 * ssrc, ssrc)));
            CHECK(open(opener, seal(sealer, 10 * ssrc + 1, ssrc)) == 10 * ssrc + 1);
        }
    }
}

TEST_CASE("24 SSRCs of RTCP are kept and a further one is refused") {
    for (Profile profile : profiles) {
        Sealer sealer = make_sealer(profile);
        Opener opener = make_opener(profile);
        Packet compound = report;
        for (std::uint8_t ssrc = 1; ssrc <= 25; ++ssrc) {
            store32(&compound[4], ssrc);
            CHECK(open_rtcp(opener, seal_rtcp(sealer, compound), compound) == (ssrc <= 24));
        }
        CHECK(open_rtcp(opener, seal_rtcp(sealer)));
    }
}

TEST_CASE("a packet index beyond 48 bits or a wrong header size is not sealed") {
    for (Profile profile : profiles) {
        Sealer sealer = make_sealer(profile);
        Packet out(200);
        out[0] = 0x80;
        const Packet payload(20);
        CHECK(sealer.rtp((std::uint64_t{1} << 48) - 1, 12, payload, out) == 32 + shape(profile).tag);
        CHECK(sealer.rtp(std::uint64_t{1} << 48, 12, payload, out) == 0);
        CHECK(sealer.rtp(0, 11, payload, out) == 0);
        CHECK(sealer.rtp(0, 201, payload, out) == 0);
        Packet large(100'000);
        CHECK(sealer.rtp(0, 12, Packet(65'535), large) == 12 + 65'535 + shape(profile).tag);
        CHECK(sealer.rtp(0, 12, Packet(65'536), large) == 0);
    }
}

TEST_CASE("sealing says 0 for every buffer that is too small") {
    for (Profile profile : profiles) {
        const std::size_t tag = shape(profile).tag;
        Sealer sealer = make_sealer(profile);
        const Packet payload(20);
        for (std::size_t room = 12; room < 60; ++room) {
            Packet exact(room);
            CHECK(sealer.rtp(1, 12, payload, exact) == (room < 32 + tag ? 0 : 32 + tag));
        }
        const std::size_t size = report.size() + tag + 4;
        for (std::size_t room = 0; room < size + 4; ++room) {
            Packet exact(room);
            CHECK(sealer.rtcp(report, exact) == (room < size ? 0 : size));
        }
        Packet out(100);
        CHECK(sealer.rtcp(Bytes{report}.first(7), out) == 0);
        Packet large(100'000);
        CHECK(sealer.rtcp(Packet(65'536), large) == 0);
    }
}

TEST_CASE("a packet is sealed in place to the same bytes") {
    for (Profile profile : profiles) {
        Sealer sealer = make_sealer(profile);
        const Packet apart = seal(sealer, 3, 1, 50);
        Packet packet = apart;
        Opener opener = make_opener(profile);
        const auto opened = opener.rtp(packet);
        REQUIRE(opened);
        const Packet payload(packet.begin() + static_cast<std::ptrdiff_t>(opened->header_size),
                             packet.begin() + static_cast<std::ptrdiff_t>(opened->size));
        REQUIRE(sealer.rtp(3, opened->header_size,
                           Bytes{packet}.subspan(opened->header_size, opened->size - opened->header_size), packet));
        CHECK(packet == apart);

        Sealer one = make_sealer(profile);
        Sealer two = make_sealer(profile);
        Packet compound = report;
        compound.resize(report.size() + rtcp_overhead);
        const std::size_t size = one.rtcp(Bytes{compound}.first(report.size()), compound);
        compound.resize(size);
        CHECK(compound == seal_rtcp(two));
    }
}

TEST_CASE("RTCP is numbered from 0 and opens once in any order within the window") {
    for (Profile profile : profiles) {
        Sealer sealer = make_sealer(profile);
        Opener opener = make_opener(profile);
        std::vector<Packet> packets;
        for (int i = 0; i < 200; ++i) packets.push_back(seal_rtcp(sealer));
        const std::size_t word = report.size() + (profile == Profile::aes128_cm_sha1_80 ? 0 : 16);
        CHECK(load32(&packets[0][word]) == 0x80000000);
        CHECK(load32(&packets[199][word]) == 0x800000C7);

        CHECK(open_rtcp(opener, packets[150]));
        CHECK(open_rtcp(opener, packets[140]));
        CHECK_FALSE(open_rtcp(opener, packets[140]));
        CHECK(open_rtcp(opener, packets[23]));
        CHECK_FALSE(open_rtcp(opener, packets[22]));
        CHECK(open_rtcp(opener, packets[199]));
        CHECK_FALSE(open_rtcp(opener, packets[150]));
    }
}

TEST_CASE("RTCP with any byte changed does not open and leaves no trace") {
    for (Profile profile : profiles) {
        Sealer sealer = make_sealer(profile);
        Opener opener = make_opener(profile);
        const Packet genuine = seal_rtcp(sealer);
        for (std::size_t at = 0; at < genuine.size(); ++at) {
            for (std::uint8_t change : {0x01, 0x80}) {
                Packet forged = genuine;
                forged[at] ^= change;
                CHECK_FALSE(opener.rtcp(forged));
            }
        }
        for (std::size_t size = 0; size < genuine.size(); ++size) {
            Packet cut(genuine.begin(), genuine.begin() + static_cast<std::ptrdiff_t>(size));
            CHECK_FALSE(opener.rtcp(cut));
        }
        CHECK(open_rtcp(opener, genuine));
    }
}

TEST_CASE("RTCP that is authentic but not encrypted is refused") {
    const Profile profile = Profile::aes128_cm_sha1_80;
    SessionKeys keys;
    derive(counting(16, 1), counting(14, 101), Label::rtcp_encryption, MutableBytes{keys.encryption}.first(16));
    derive(counting(16, 1), counting(14, 101), Label::rtcp_authentication, keys.authentication);
    Packet packet = report;
    packet.resize(report.size() + 4);  // an index word of 0: no flag
    const auto mac = HmacSha1(keys.authentication).mac(packet);
    packet.insert(packet.end(), mac.begin(), mac.begin() + 10);

    Packet copy = packet;
    CHECK(make_transform(profile, Direction::open, keys)->open_rtcp(copy));  // the MAC is not what is wrong
    CHECK_FALSE(make_opener(profile).rtcp(packet));
}

TEST_CASE("a sealer stops rather than use an SRTCP index twice") {
    for (Profile profile : profiles) {
        Sealer sealer = make_sealer(profile, 0x7FFFFFFE);
        Opener opener = make_opener(profile);
        CHECK(open_rtcp(opener, seal_rtcp(sealer)));
        CHECK(open_rtcp(opener, seal_rtcp(sealer)));
        Packet out(100);
        CHECK(sealer.rtcp(report, out) == 0);
        CHECK(sealer.rtcp(report, out) == 0);
    }
}

TEST_CASE("another key or another salt opens nothing") {
    for (Profile profile : profiles) {
        Sealer sealer = make_sealer(profile);
        Opener other(profile, counting(shape(profile).key, 2), counting(shape(profile).salt, 101));
        Opener salted(profile, counting(shape(profile).key, 1), counting(shape(profile).salt, 102));
        Packet packet = seal(sealer, 1);
        CHECK_FALSE(other.rtp(packet));
        packet = seal(sealer, 1);
        CHECK_FALSE(salted.rtp(packet));
        packet = seal_rtcp(sealer);
        CHECK_FALSE(other.rtcp(packet));
        packet = seal_rtcp(sealer);
        CHECK_FALSE(salted.rtcp(packet));
    }
}

TEST_CASE("keys and salts of the wrong size and unknown profiles are invalid arguments") {
    for (Profile profile : profiles) {
        const auto [key, salt, tag] = shape(profile);
        for (auto [key_size, salt_size] : {std::pair{key - 1, salt}, {key + 1, salt}, {key, salt - 1}, {key, salt + 1},
                                           {std::size_t{0}, salt}, {key, std::size_t{0}}}) {
            CHECK_THROWS_AS(Sealer(profile, counting(key_size, 0), counting(salt_size, 0)), std::invalid_argument);
            CHECK_THROWS_AS(Opener(profile, counting(key_size, 0), counting(salt_size, 0)), std::invalid_argument);
        }
    }
    CHECK_THROWS_AS(Sealer(Profile{2}, counting(16, 0), counting(14, 0)), std::invalid_argument);
    CHECK_THROWS_AS(Opener(Profile{0}, {}, {}), std::invalid_argument);
}

TEST_CASE("exported keying material is client key, server key, client salt, server salt") {
    for (Profile profile : profiles) {
        const auto [key, salt, tag] = shape(profile);
        const Packet exported = counting(2 * (key + salt), 0);
        const auto material = split(profile, exported);
        REQUIRE(material);
        CHECK(to_hex(material->client_key) == to_hex(counting(key, 0)));
        CHECK(to_hex(material->server_key) == to_hex(counting(key, static_cast<std::uint8_t>(key))));
        CHECK(to_hex(material->client_salt) == to_hex(counting(salt, static_cast<std::uint8_t>(2 * key))));
        CHECK(to_hex(material->server_salt) == to_hex(counting(salt, static_cast<std::uint8_t>(2 * key + salt))));
        CHECK_FALSE(split(profile, Bytes{exported}.first(exported.size() - 1)));
        CHECK_FALSE(split(profile, {}));
    }
    CHECK_FALSE(split(Profile{0}, {}));
}

TEST_CASE("a moved sealer and a moved opener go on where they were") {
    Sealer first = make_sealer(Profile::aead_aes_128_gcm);
    const Packet packet = seal_rtcp(first);
    Sealer second = std::move(first);
    CHECK(load32(&seal_rtcp(second)[report.size() + 16]) == 0x80000001);
    first = std::move(second);
    CHECK(load32(&seal_rtcp(first)[report.size() + 16]) == 0x80000002);

    Opener one = make_opener(Profile::aead_aes_128_gcm);
    CHECK(open_rtcp(one, packet));
    Opener two = std::move(one);
    CHECK_FALSE(open_rtcp(two, packet));
    one = std::move(two);
    CHECK_FALSE(open_rtcp(one, packet));
}
