// SRTP: nothing unauthentic opens, and whatever order genuine packets come in, each opens once and with its own index.
//
// The first byte picks the profile. The rest is tried as a packet of RTP and of RTCP, then read as a script of what a
// network does to genuine packets: how far the next one jumps ahead or back, and whether it is damaged on the way.

#include <algorithm>
#include <array>
#include <set>

#include "fuzz.hpp"
#include "replay.hpp"
#include "rtp.hpp"
#include "srtp.hpp"

using namespace plane;
using namespace plane::srtp;

namespace {

constexpr std::array<std::uint8_t, 32> key{1, 2, 3, 4, 5, 6, 7, 8, 9};
constexpr std::array<std::uint8_t, 14> salt{9, 8, 7, 6, 5, 4, 3, 2, 1};
constexpr std::size_t payload_size = 24;
constexpr std::uint32_t ssrc = 0x01020304;

std::vector<std::uint8_t> seal_rtp(Sealer& sealer, std::uint64_t index) {
    std::vector<std::uint8_t> out(rtp::fixed_header_size + payload_size + rtp_overhead);
    const rtp::Header header{.payload_type = 111,
                             .sequence = static_cast<std::uint16_t>(index),
                             .timestamp = static_cast<std::uint32_t>(index) * 960,
                             .ssrc = ssrc};
    const std::size_t header_size = rtp::write_header(out, header, {}, {});
    const std::vector<std::uint8_t> payload(payload_size, static_cast<std::uint8_t>(index));
    const std::size_t size = sealer.rtp(index, header_size, payload, out);
    FUZZ_REQUIRE(size != 0);
    out.resize(size);
    return out;
}

// A model of the receiver: the set of indexes that must be refused.
class Model {
public:
    bool accepts(std::uint64_t index) const {
        if (seen_.empty()) return index < 0x10000;  // before the first packet the roll-over counter is 0
        const std::uint64_t highest = *seen_.rbegin();
        // Farther ahead, the sequence number stands for another index; at a tie the roll-over counter stays.
        if (index > highest + ((highest & 0xFFFF) < 0x8000 ? 0x8000 : 0x7FFF)) return false;
        return !seen_.contains(index) && (index > highest || highest - index < ReplayWindow::size);
    }
    void accept(std::uint64_t index) { seen_.insert(index); }

private:
    std::set<std::uint64_t> seen_;
};

void run_rtp(Sealer& sealer, Opener& opener, Bytes script) {
    Model model;
    std::uint64_t index = 0x7000;
    for (std::size_t at = 0; at + 2 < script.size(); at += 3) {
        const auto jump = static_cast<std::int16_t>(load16(&script[at]));
        // Small steps mostly: far ones rarely open.
        const std::int64_t step = script[at + 2] & 0x80 ? jump : jump % 200;
        if (step >= 0 || index >= static_cast<std::uint64_t>(-step)) index += static_cast<std::uint64_t>(step);

        std::vector<std::uint8_t> packet = seal_rtp(sealer, index);
        if (script[at + 2] & 0x40) {
            packet[script[at] % packet.size()] ^= static_cast<std::uint8_t>(script[at + 1] | 1);
            FUZZ_REQUIRE(!opener.rtp(packet));
            continue;
        }
        const auto opened = opener.rtp(packet);
        FUZZ_REQUIRE(opened.has_value() == model.accepts(index));
        if (!opened) continue;
        model.accept(index);
        FUZZ_REQUIRE(opened->index == index);
        FUZZ_REQUIRE(opened->header_size == rtp::fixed_header_size);
        FUZZ_REQUIRE(opened->size == rtp::fixed_header_size + payload_size);
        for (std::size_t i = opened->header_size; i < opened->size; ++i)
            FUZZ_REQUIRE(packet[i] == static_cast<std::uint8_t>(index));
    }
}

void run_rtcp(Sealer& sealer, Opener& opener, Bytes script) {
    // Sealed in order, opened in the order that the script says, damaged where it says so.
    std::array<std::uint8_t, 32> compound{0x81, 201, 0, 7};
    std::vector<std::vector<std::uint8_t>> packets;
    for (std::size_t i = 0; i < script.size() && i < 256; ++i) {
        compound[31] = static_cast<std::uint8_t>(i);
        std::vector<std::uint8_t> out(compound.size() + rtcp_overhead);
        out.resize(sealer.rtcp(compound, out));
        FUZZ_REQUIRE(!out.empty());
        packets.push_back(std::move(out));
    }
    ReplayWindow window;
    for (std::size_t at = 0; at + 1 < script.size(); at += 2) {
        const std::size_t index = script[at] % packets.size();
        std::vector<std::uint8_t> packet = packets[index];
        if (script[at + 1] & 0x80) {
            packet[script[at + 1] % packet.size()] ^= 0x20;
            FUZZ_REQUIRE(!opener.rtcp(packet));
            continue;
        }
        const auto size = opener.rtcp(packet);
        FUZZ_REQUIRE(size.has_value() == window.fresh(index));
        if (!size) continue;
        window.accept(index);
        FUZZ_REQUIRE(*size == compound.size() && packet[31] == static_cast<std::uint8_t>(index));
    }
}

}  // namespace

std::vector<std::vector<std::uint8_t>> seeds() {
    std::vector<std::vector<std::uint8_t>> result;
    for (std::uint8_t profile = 0; profile < 3; ++profile) {
        std::vector<std::uint8_t> forward{profile};
        std::vector<std::uint8_t> wrapping{profile};
        std::vector<std::uint8_t> shuffled{profile};
        for (std::uint8_t i = 0; i < 60; ++i) {
            forward.insert(forward.end(), {0, 1, 0});
            wrapping.insert(wrapping.end(), {0x3F, i, 0x80});
            shuffled.insert(shuffled.end(), {static_cast<std::uint8_t>(i * 67), static_cast<std::uint8_t>(i * 31), i});
        }
        result.insert(result.end(), {forward, wrapping, shuffled});
    }
    return result;
}

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    if (size == 0) return 0;
    constexpr Profile profiles[] = {Profile::aes128_cm_sha1_80, Profile::aead_aes_128_gcm, Profile::aead_aes_256_gcm};
    const Profile profile = profiles[data[0] % 3];
    const Bytes script{data + 1, size - 1};
    const Bytes master_key = Bytes{key}.first(shape(profile).key);
    const Bytes master_salt = Bytes{salt}.first(shape(profile).salt);
    Sealer sealer(profile, master_key, master_salt);
    Opener opener(profile, master_key, master_salt);

    std::vector<std::uint8_t> packet(script.begin(), script.end());
    FUZZ_REQUIRE(!opener.rtp(packet));
    packet.assign(script.begin(), script.end());
    FUZZ_REQUIRE(!opener.rtcp(packet));

    run_rtp(sealer, opener, script);
    run_rtcp(sealer, opener, script);
    return 0;
}
