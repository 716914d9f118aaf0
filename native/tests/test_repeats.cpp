// What is sent again is what was sent, or nothing: histories of feeds, logs of slots, and both together under everything
// that moves a listener about.
#include <doctest/doctest.h>

#include <algorithm>
#include <map>
#include <memory>
#include <random>
#include <vector>

#include "audience.hpp"
#include "srtp.hpp"

using namespace plane;

namespace {

const Instant start{seconds{1000}};

void fill(Packet& packet, const Position& position, std::mt19937& random) {
    packet.position = position;
    packet.csrc_count = static_cast<std::uint8_t>(random() % 4);
    for (std::size_t i = 0; i < packet.csrc_count; ++i) {
        packet.csrcs[i] = static_cast<std::uint32_t>(random());
        packet.csrc_levels[i] = static_cast<std::uint8_t>(random() % 128);
    }
    packet.level = {random() % 2 == 0, static_cast<std::uint8_t>(random() % 128)};
    packet.payload_offset = static_cast<std::uint16_t>(random() % 40);
    packet.payload_size = static_cast<std::uint16_t>(1 + random() % (random() % 8 == 0 ? 1200 : 200));
    for (std::size_t i = 0; i < packet.payload_size; ++i) packet.bytes[packet.payload_offset + i] = static_cast<std::uint8_t>(random());
}

std::vector<std::uint8_t> bytes_of(Bytes bytes) { return {bytes.begin(), bytes.end()}; }

Position at(std::uint32_t run, std::uint64_t index, Instant time = start) {
    return {run, index, static_cast<std::uint32_t>(index * 960), false, time};
}

}  // namespace

TEST_CASE("a history gives back what it was given, and not what is gone or never was") {
    std::mt19937 random{1};
    auto history = std::make_unique<History>();
    auto packet = std::make_unique<Packet>(), again = std::make_unique<Packet>();
    std::map<std::uint64_t, std::vector<std::uint8_t>> payloads;
    for (std::uint64_t index = 65500; index < 65700; ++index) {
        fill(*packet, at(3, index), random);
        payloads[index] = bytes_of(packet->payload());
        history->record(*packet, packet->position);
        REQUIRE(history->recall(3, index, *again));
        CHECK(again->level.level == packet->level.level);
        CHECK(again->csrc_count == packet->csrc_count);
        for (std::size_t i = 0; i < packet->csrc_count; ++i) CHECK(again->csrcs[i] == packet->csrcs[i]);
        std::size_t known = 0;
        for (std::uint64_t back = 0; back < 100; ++back) {
            if (!history->recall(3, index - back, *again)) continue;
            ++known;
            CHECK(back < History::max_packets);
            CHECK(bytes_of(again->payload()) == payloads.at(index - back));
        }
        CHECK(known >= std::min<std::size_t>(20, index - 65499));
        CHECK_FALSE(history->recall(3, index + 1, *again));
        CHECK_FALSE(history->recall(2, index, *again));
        CHECK_FALSE(history->recall(0, index, *again));
    }
    history->clear();
    CHECK_FALSE(history->recall(3, 65699, *again));
}

TEST_CASE("the largest packets push out older ones and nothing else") {
    std::mt19937 random{2};
    auto history = std::make_unique<History>();
    auto packet = std::make_unique<Packet>(), again = std::make_unique<Packet>();
    std::map<std::uint64_t, std::vector<std::uint8_t>> payloads;
    for (std::uint64_t index = 0; index < 300; ++index) {
        fill(*packet, at(1, index), random);
        packet->payload_offset = 0;
        packet->payload_size = 1500;
        payloads[index] = bytes_of(packet->payload());
        history->record(*packet, packet->position);
        std::size_t known = 0;
        for (std::uint64_t back = 0; back < 64 && back <= index; ++back) {
            if (!history->recall(1, index - back, *again)) continue;
            ++known;
            CHECK(bytes_of(again->payload()) == payloads.at(index - back));
        }
        CHECK(known <= History::max_bytes / 1500);
        CHECK(known >= std::min<std::size_t>(index + 1, History::max_bytes / 1500 - 1));
    }
}

TEST_CASE("a packet is sent again twice at most, not at once, and a stream not more than its rate") {
    SentLog log;
    CHECK(log.allow(7, start));
    CHECK_FALSE(log.allow(7, start + milliseconds{10}));
    CHECK(log.allow(7, start + milliseconds{25}));
    CHECK_FALSE(log.allow(7, start + milliseconds{90}));
    CHECK(log.allow(8, start + milliseconds{90}));

    SentLog greedy;
    unsigned allowed = 0;
    for (unsigned ms = 0; ms < 10'000; ++ms) allowed += greedy.allow(ms, start + milliseconds{ms}) ? 1 : 0;
    CHECK(allowed <= SentLog::burst + 10 * SentLog::repeats_per_second + 1);
    CHECK(allowed >= 10 * SentLog::repeats_per_second);
}

TEST_CASE("a slot without NACK remembers nothing, one with it nothing before its first packet") {
    Slot without{{.ssrc = 1}, 100, 0}, with{{.ssrc = 1, .nack = true}, 100, 0};
    REQUIRE(without.map(at(1, 5)));
    CHECK_FALSE(without.sent(100));
    CHECK_FALSE(with.sent(99));
    CHECK_FALSE(with.sent(100));
    CHECK_FALSE(with.sent(65535));
    REQUIRE(with.map(at(1, 5)));
    REQUIRE(with.sent(100));
    CHECK(with.sent(100)->feed_index() == 5);
    CHECK_FALSE(with.sent(99));
    CHECK_FALSE(with.sent(101));
}

TEST_CASE("sequence numbers that wrap around are found behind the wrap") {
    Slot slot{{.ssrc = 1, .nack = true}, 0x7fff, 0};
    for (std::uint64_t index = 0; index <= 0x18010; ++index) REQUIRE(slot.map(at(1, index)));
    // Our indices end at 0x7fff + 0x18010 = 0x2000f.
    const auto before = slot.sent(0xfff8), after = slot.sent(0x000f);
    REQUIRE(before);
    CHECK(before->index == 0x1fff8);
    REQUIRE(after);
    CHECK(after->index == 0x2000f);
    CHECK_FALSE(slot.sent(0x0010));
    CHECK_FALSE(slot.sent(0xff00));  // too long ago
}

// A worker's way of sending and sending again, without sockets. Listeners turn from feed to feed and from room to room while
// packets of many runs come in and out of order, some never sent; they ask for random sequence numbers all the time.
TEST_CASE("no index appears with two ciphertexts, whatever is asked for in whatever history") {
    for (const auto& [profile, seed] : {std::pair{srtp::Profile::aead_aes_128_gcm, 1U}, {srtp::Profile::aes128_cm_sha1_80, 2U},
                                        {srtp::Profile::aead_aes_256_gcm, 3U}, {srtp::Profile::aead_aes_128_gcm, 4U}}) {
        CAPTURE(seed);
        std::mt19937 random{seed};
        const srtp::Shape shape = srtp::shape(profile);
        const std::vector<std::uint8_t> key(shape.key, 1), salt(shape.salt, 2);
        srtp::Sealer sealer{profile, key, salt};

        std::map<std::uint32_t, std::unique_ptr<Audience>> rooms;
        for (std::uint32_t room : {1U, 2U}) rooms.emplace(room, std::make_unique<Audience>(room));
        Listener listener;
        listener.csrc = 99;
        for (std::uint32_t i = 0; i < 2; ++i) {
            const SlotConfig config{.ssrc = 10 + i, .payload_type = 111, .mid = "0", .mid_id = 4, .level_id = 1, .csrc_level_id = 2, .nack = true};
            listener.slots.emplace_back(config, static_cast<std::uint16_t>(0x7fff - 400 * i), static_cast<std::uint32_t>(random()));
        }
        std::uint32_t where = 1;
        rooms.at(where)->add(listener);

        // Sources 1..4 of each room, each with a run and an index of its own; what was handed in stays known for reordering.
        struct Source {
            std::uint32_t run = 0;
            std::uint64_t index = 0;
            std::vector<std::unique_ptr<Packet>> delayed;
        };
        std::map<std::pair<std::uint32_t, std::uint32_t>, Source> sources;
        std::uint32_t last_run = 0;
        std::map<std::pair<std::uint32_t, std::uint64_t>, std::vector<std::uint8_t>> wire;  // by SSRC and SRTP index
        std::size_t originals = 0, repeats = 0, same = 0;

        const auto put = [&](Slot& slot, const Slot::Mapped& mapped, const Packet& packet) {
            std::array<std::uint8_t, 2000> out{};
            const std::size_t header = slot.write_header(out, mapped, packet);
            const std::size_t size = sealer.rtp(mapped.index, header, packet.payload(), out);
            REQUIRE(size != 0);
            const auto [known, fresh] = wire.emplace(std::pair{slot.config().ssrc, mapped.index}, bytes_of({out.data(), size}));
            CHECK(known->second == bytes_of({out.data(), size}));
            return fresh;
        };
        const auto carry = [&](std::uint32_t room, std::uint32_t csrc, const Packet& packet) {
            Audience::Feed* feed = rooms.at(room)->feed(csrc);
            if (!feed) return;
            if (feed->history) feed->history->record(packet, packet.position);
            if (random() % 20 == 0) return;  // no path just then
            for (const auto& [subscriber, number] : feed->subscribers) {
                if (!subscriber) continue;
                Slot& slot = subscriber->slots[number];
                if (const auto mapped = slot.map(packet.position)) {
                    CHECK(put(slot, *mapped, packet));
                    ++originals;
                }
            }
        };

        auto recalled = std::make_unique<Packet>();
        Instant now = start;
        for (int step = 0; step < 30'000; ++step) {
            now += milliseconds{2};
            const std::uint32_t room = 1 + random() % 2, csrc = 1 + random() % 4;
            Source& source = sources[{room, csrc}];
            if (source.run == 0 || random() % 300 == 0) {
                source.run = ++last_run;
                source.index = random() % 70000;
                source.delayed.clear();
            }
            source.index += random() % 30 == 0 ? 1 + random() % 5 : 1;
            auto packet = std::make_unique<Packet>();
            fill(*packet, {source.run, source.index, static_cast<std::uint32_t>(random()), random() % 9 == 0, now}, random);
            if (random() % 15 == 0) {
                source.delayed.push_back(std::move(packet));
            } else {
                carry(room, csrc, *packet);
            }
            if (!source.delayed.empty() && random() % 3 == 0) {
                carry(room, csrc, *source.delayed.front());
                source.delayed.erase(source.delayed.begin());
            }
            if (random() % 40 == 0) {
                std::vector<std::uint32_t> order{1, 2, 3, 4};
                std::shuffle(order.begin(), order.end(), random);
                order.resize(random() % 5);
                rooms.at(1 + random() % 2)->set_order(order);
            }
            if (random() % 200 == 0) {
                rooms.at(where)->remove(listener);
                where = 1 + random() % 2;
                rooms.at(where)->add(listener);
            }
            for (Slot& slot : listener.slots) {
                // Near the end of what it has, and anywhere.
                const auto last = wire.upper_bound({slot.config().ssrc, ~std::uint64_t{0}});
                const std::uint64_t latest = last == wire.begin() ? 0 : std::prev(last)->first.second;
                const auto wanted = static_cast<std::uint16_t>(random() % 10 == 0 ? random() : latest - random() % 80 + 3);
                const auto sent = slot.sent(wanted);
                if (!sent || !slot.may_repeat(*sent, now)) continue;
                const auto audience = rooms.find(sent->run.room);
                const History* history = audience->second->history(sent->run.feed);
                if (!history || !history->recall(sent->run.run, sent->feed_index(), *recalled)) continue;
                ++repeats;
                same += put(slot, Slot::map_again(*sent, recalled->position), *recalled) ? 0 : 1;
            }
        }
        CHECK(originals > 3'000);
        CHECK(repeats > 500);
        CHECK(same > repeats / 2);
        MESSAGE(originals << " sent, " << repeats << " asked for and sent again, " << same << " of them had been sent before");
    }
}
