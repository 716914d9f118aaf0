#include "srtp.hpp"

#include <algorithm>
#include <stdexcept>
#include <string>

#include "replay.hpp"
#include "rtp.hpp"
#include "srtp_keys.hpp"
#include "srtp_transform.hpp"

namespace plane::srtp {
namespace {

constexpr std::size_t max_rtp_streams = 8;
constexpr std::size_t max_rtcp_streams = 24;  // a listener of 16 streams may report of each from an SSRC of its own
constexpr std::size_t max_packet_size = 0xFFFF;  // no UDP datagram is longer, and OpenSSL counts in int

struct Stream {
    std::uint32_t ssrc = 0;
    ReplayWindow window;
};

// The SSRCs that have authenticated. Their number is bounded, so looking through them is faster than hashing.
template <std::size_t max>
class Streams {
public:
    Stream* find(std::uint32_t ssrc) noexcept {
        const auto end = streams_.begin() + static_cast<std::ptrdiff_t>(count_);
        const auto found = std::find_if(streams_.begin(), end, [ssrc](const Stream& s) { return s.ssrc == ssrc; });
        return found == end ? nullptr : &*found;
    }

    bool full() const noexcept { return count_ == streams_.size(); }

    void accept(Stream* stream, std::uint32_t ssrc, std::uint64_t index) noexcept {
        if (stream == nullptr) {
            stream = &streams_[count_++];
            stream->ssrc = ssrc;
        }
        stream->window.accept(index);
    }

private:
    std::array<Stream, max> streams_{};
    std::size_t count_ = 0;
};

void check(Profile profile, Bytes key, Bytes salt) {
    const Shape wanted = shape(profile);
    if (wanted.key == 0)
        throw std::invalid_argument("srtp: unknown profile " + std::to_string(static_cast<unsigned>(profile)));
    if (key.size() != wanted.key || salt.size() != wanted.salt)
        throw std::invalid_argument("srtp: the profile takes a master key of " + std::to_string(wanted.key) +
                                    " bytes and a salt of " + std::to_string(wanted.salt));
}

struct Labels {
    Label encryption, authentication, salt;
};
constexpr Labels rtp_labels{Label::rtp_encryption, Label::rtp_authentication, Label::rtp_salt};
constexpr Labels rtcp_labels{Label::rtcp_encryption, Label::rtcp_authentication, Label::rtcp_salt};

std::unique_ptr<Transform> make_transform(Profile profile, Direction direction, Bytes key, Bytes salt,
                                          const Labels& labels) {
    check(profile, key, salt);
    SessionKeys keys;
    derive(key, salt, labels.encryption, MutableBytes{keys.encryption}.first(key.size()));
    derive(key, salt, labels.authentication, keys.authentication);
    derive(key, salt, labels.salt, MutableBytes{keys.salt}.first(salt.size()));
    return make_transform(profile, direction, keys);
}

}  // namespace

Shape shape(Profile profile) noexcept {
    switch (profile) {
    case Profile::aes128_cm_sha1_80: return {.key = 16, .salt = 14, .tag = 10};
    case Profile::aead_aes_128_gcm: return {.key = 16, .salt = 12, .tag = 16};
    case Profile::aead_aes_256_gcm: return {.key = 32, .salt = 12, .tag = 16};
    }
    return {.key = 0, .salt = 0, .tag = 0};
}

namespace {

// state: of a Sealer or an Opener.
void prefetch(const auto& state, Ahead ahead, Of of) noexcept {
    if (ahead == Ahead::state) return plane::prefetch(&state);
    const Transform& transform = of == Of::rtp ? *state.rtp : *state.rtcp;
    if (ahead == Ahead::transform) return plane::prefetch(&transform, transform_size);
    transform.prefetch_cipher();
}

}  // namespace

struct Sealer::State {
    std::unique_ptr<Transform> rtp;
    std::unique_ptr<Transform> rtcp;
    std::size_t tag;
    std::uint32_t next_rtcp_index;
};

Sealer::Sealer(Profile profile, Bytes master_key, Bytes master_salt, std::uint32_t first_rtcp_index)
    : state_(new State{.rtp = make_transform(profile, Direction::seal, master_key, master_salt, rtp_labels),
                       .rtcp = make_transform(profile, Direction::seal, master_key, master_salt, rtcp_labels),
                       .tag = shape(profile).tag,
                       .next_rtcp_index = first_rtcp_index}) {}
Sealer::~Sealer() = default;
Sealer::Sealer(Sealer&&) noexcept = default;
Sealer& Sealer::operator=(Sealer&&) noexcept = default;

std::size_t Sealer::rtp(std::uint64_t index, std::size_t header_size, Bytes payload, MutableBytes out) noexcept {
    if (index >= index_limit || header_size < plane::rtp::fixed_header_size || header_size > out.size()) return 0;
    if (payload.size() > max_packet_size || out.size() - header_size < payload.size() + state_->tag) return 0;
    if (!state_->rtp->seal_rtp(index, header_size, payload, out.data())) return 0;
    return header_size + payload.size() + state_->tag;
}

std::size_t Sealer::rtcp(Bytes compound, MutableBytes out) noexcept {
    const std::size_t size = compound.size() + state_->tag + rtcp_index_size;
    if (compound.size() < rtcp_header_size || compound.size() > max_packet_size || out.size() < size) return 0;
    if (state_->next_rtcp_index >= encrypted_flag) return 0;
    // The index counts as used even when sealing fails: a gap is harmless, the same index twice is not.
    if (!state_->rtcp->seal_rtcp(state_->next_rtcp_index++, compound, out.data())) return 0;
    return size;
}

struct Opener::State {
    std::unique_ptr<Transform> rtp;
    std::unique_ptr<Transform> rtcp;
    std::size_t tag;
    Streams<max_rtp_streams> rtp_streams{};
    Streams<max_rtcp_streams> rtcp_streams{};
};

Opener::Opener(Profile profile, Bytes master_key, Bytes master_salt)
    : state_(new State{.rtp = make_transform(profile, Direction::open, master_key, master_salt, rtp_labels),
                       .rtcp = make_transform(profile, Direction::open, master_key, master_salt, rtcp_labels),
                       .tag = shape(profile).tag}) {}
Opener::~Opener() = default;
Opener::Opener(Opener&&) noexcept = default;
Opener& Opener::operator=(Opener&&) noexcept = default;

void Sealer::prefetch(Ahead ahead, Of of) const noexcept { srtp::prefetch(*state_, ahead, of); }
void Opener::prefetch(Ahead ahead, Of of) const noexcept { srtp::prefetch(*state_, ahead, of); }

std::optional<Opened> Opener::rtp(MutableBytes packet) noexcept {
    if (packet.size() < state_->tag || packet.size() > max_packet_size) return std::nullopt;
    const std::size_t size = packet.size() - state_->tag;
    const std::optional<std::size_t> header_size = plane::rtp::header_size(packet.first(size));
    if (!header_size) return std::nullopt;

    const std::uint16_t sequence = load16(&packet[2]);
    const std::uint32_t ssrc = load32(&packet[8]);
    Stream* stream = state_->rtp_streams.find(ssrc);
    if (stream == nullptr && state_->rtp_streams.full()) return std::nullopt;
    // Before the first packet the roll-over counter is 0: a sender starts below 2^15 for that reason (section 3.3.1).
    const std::optional<std::uint64_t> index =
        stream == nullptr ? std::uint64_t{sequence} : estimate_index(stream->window.highest(), sequence);
    if (!index || (stream != nullptr && !stream->window.fresh(*index))) return std::nullopt;

    if (!state_->rtp->open_rtp(*index, *header_size, packet)) return std::nullopt;
    state_->rtp_streams.accept(stream, ssrc, *index);
    return Opened{.index = *index, .header_size = *header_size, .size = size};
}

std::optional<std::size_t> Opener::rtcp(MutableBytes packet) noexcept {
    const std::size_t overhead = state_->tag + rtcp_index_size;
    if (packet.size() < rtcp_header_size + overhead || packet.size() > max_packet_size) return std::nullopt;
    const std::uint32_t word = state_->rtcp->rtcp_index_word(packet);
    if ((word & encrypted_flag) == 0) return std::nullopt;
    const std::uint32_t index = word & ~encrypted_flag;

    const std::uint32_t ssrc = load32(&packet[4]);
    Stream* stream = state_->rtcp_streams.find(ssrc);
    if (stream == nullptr ? state_->rtcp_streams.full() : !stream->window.fresh(index)) return std::nullopt;

    if (!state_->rtcp->open_rtcp(packet)) return std::nullopt;
    state_->rtcp_streams.accept(stream, ssrc, index);
    return packet.size() - overhead;
}

std::optional<Material> split(Profile profile, Bytes exported) noexcept {
    const Shape wanted = shape(profile);
    if (wanted.key == 0 || exported.size() != 2 * (wanted.key + wanted.salt)) return std::nullopt;
    return Material{.client_key = exported.subspan(0, wanted.key),
                    .server_key = exported.subspan(wanted.key, wanted.key),
                    .client_salt = exported.subspan(2 * wanted.key, wanted.salt),
                    .server_salt = exported.subspan(2 * wanted.key + wanted.salt, wanted.salt)};
}

}  // namespace plane::srtp
