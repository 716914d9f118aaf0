#include "client.hpp"

namespace load {

using namespace plane;

namespace {

constexpr std::uint32_t frame_samples = 960;
constexpr std::size_t scratch_size = 1500;

// Any fixed epoch serves: a round trip needs two times of one clock.
std::uint64_t ntp(Instant now) noexcept {
    const auto ns = static_cast<std::uint64_t>(now.time_since_epoch() / nanoseconds{1});
    return (ns / 1'000'000'000) << 32 | ((ns % 1'000'000'000) << 32) / 1'000'000'000;
}

bool is_rtcp(Bytes datagram) noexcept { return datagram[1] >= 192 && datagram[1] <= 223; }  // RFC 5761 section 4

}  // namespace

Client::Client(ClientConfig config, Instant now)
    : config_{std::move(config)}, agent_{config_.agent, now}, talk_{config_.speaking ? config_.speaking->talk : TalkConfig{}} {
    if (config_.hearing) hearing_.emplace(*config_.hearing);
    Random random{config_.agent.seed ^ 0x52545021};
    index_ = random.bits() & 0x7FFF;  // low, so that the first packets do not roll over before the receiver knows them
    timestamp_ = static_cast<std::uint32_t>(random.bits());
}

Instant Client::due() const noexcept {
    if (left_ || told_failed_) return Instant::max();
    Instant due = agent_.failed() ? Instant{} : agent_.due();
    if (connected()) {
        due = std::min(due, next_report_);
        if (config_.speaking && !hushed_) due = std::min(due, next_frame_);
    }
    return due;
}

void Client::advance(Instant now, Outbox& out, Measured& measured) {
    if (left_ || told_failed_) return;
    std::array<std::uint8_t, 256> check;
    while (now >= agent_.due()) {
        const auto output = agent_.advance(now, check);
        if (output.size == 0) break;
        out.send(output.to, Bytes{check}.first(output.size));
    }
    if (agent_.failed()) {
        told_failed_ = true;
        out.tell(Happened::ice_failed, {});
        return;
    }
    if (!connected()) return;
    if (config_.speaking && !hushed_) speak(now, out, measured);
    if (now >= next_report_) report(now, out);
}

bool Client::is_rtp(Bytes datagram) noexcept {
    return datagram.size() >= rtp::fixed_header_size && datagram[0] >= 128 && datagram[0] <= 191 && !is_rtcp(datagram);
}

void Client::lose(Instant now, MutableBytes datagram) {
    if (left_ || !opener_ || !hearing_ || !is_rtp(datagram)) return;
    if (hearing_->is_duplicate(load32(&datagram[8]), load16(&datagram[2]))) return hearing_->count_duplicate();
    const auto opened = opener_->rtp(datagram);
    if (!opened) return hearing_->count_undecryptable();
    hearing_->lose(now, datagram.first(opened->size));
}

void Client::receive(Instant now, const Endpoint& from, MutableBytes datagram, Outbox& out, Measured& measured, Duration waited) {
    if (left_ || datagram.size() < 12) return;
    const std::uint8_t first = datagram[0];  // RFC 7983
    if (first < 4) {
        std::array<std::uint8_t, 256> answer;
        const auto output = agent_.receive(now, from, datagram, answer);
        if (output.size != 0) out.send(output.to, Bytes{answer}.first(output.size));
        if (agent_.selected() && !told_connected_) {
            told_connected_ = true;
            out.tell(Happened::ice_connected, {});
        }
    } else if (first >= 20 && first <= 63) {
        out.tell(Happened::datagram, datagram);
    } else if (first >= 128 && first <= 191 && opener_) {
        if (is_rtcp(datagram)) {
            on_rtcp(now, datagram, out);
        } else {
            on_rtp(now, datagram, measured, waited);
        }
    }
}

void Client::send(Bytes datagram, Outbox& out) {
    if (agent_.selected() && !left_) out.send(*agent_.selected(), datagram);
}

bool Client::set_keys(Instant now, srtp::Profile profile, Bytes material, bool client) {
    const auto keys = srtp::split(profile, material);
    if (!keys) return false;
    if (connected() || left_) return true;
    if (client) {
        sealer_.emplace(profile, keys->client_key, keys->client_salt);
        opener_.emplace(profile, keys->server_key, keys->server_salt);
    } else {
        sealer_.emplace(profile, keys->server_key, keys->server_salt);
        opener_.emplace(profile, keys->client_key, keys->client_salt);
    }
    if (config_.speaking) next_frame_ = now + config_.speaking->phase;
    Random random{config_.agent.seed ^ 0x52544350};
    next_report_ = now + std::chrono::duration_cast<Duration>(random.share() * report_interval);
    return true;
}

void Client::leave(Outbox& out) {
    if (connected() && agent_.selected() && !left_) {
        std::array<std::uint8_t, scratch_size> compound;
        const std::uint32_t ssrc = config_.speaking ? config_.speaking->ssrc : config_.report_ssrc;
        const MutableBytes room{compound.data(), compound.size() - srtp::rtcp_overhead};
        std::size_t size = rtcp::write_receiver_report(room, ssrc, {});
        size += rtcp::write_bye(room.subspan(size), ssrc, "");
        size = sealer_->rtcp(Bytes{compound}.first(size), compound);
        if (size != 0) out.send(*agent_.selected(), Bytes{compound}.first(size));
    }
    left_ = true;
}

void Client::speak(Instant now, Outbox& out, Measured& measured) {
    const SpeakingConfig& speaking = *config_.speaking;
    std::array<std::uint8_t, scratch_size> packet, payload;
    // The schedule is kept whatever the generator is late by: what should have been sent is sent, and its delay counts from then.
    for (; now >= next_frame_; next_frame_ += frame) {
        const Instant due = next_frame_;
        const bool talks = talk_.next();
        const std::vector<Frame>& frames = speaking.sound->frames;
        const std::size_t place = (speaking.first_frame + frames_) % frames.size();
        const Frame& sound = frames[place];
        ++frames_;
        timestamp_ += frame_samples;
        if (!talks) {
            paused_ = true;
            continue;
        }
        if (now - due > max_lateness) {
            ++measured.packets_skipped;
            continue;
        }
        if (const auto& chirp = speaking.sound->chirp; chirp && chirp->frame == place && speaking.board) {
            // What is sent now began to be spoken a frame ago.
            speaking.board->say(chirp->kind, due - frame + nanoseconds{std::int64_t{chirp->sample} * 1'000'000 / 48});
            ++measured.chirps_said;
        }
        const auto number = static_cast<std::uint32_t>(packets_sent_);
        const Marker marker{speaking.run, speaking.room, speaking.speaker, number, due};
        const std::size_t size = write_marked(payload, sound.payload, marker);
        if (size == 0) continue;  // set-up has refused such sounds
        const std::array<std::uint8_t, 1> level{static_cast<std::uint8_t>(0x80 | sound.level)};
        const rtp::Element element{speaking.level_id, level};
        const rtp::Header header{paused_, speaking.payload_type, static_cast<std::uint16_t>(index_), timestamp_, speaking.ssrc};
        const std::size_t header_size =
            rtp::write_header(packet, header, {}, {&element, speaking.level_id != 0 ? std::size_t{1} : std::size_t{0}});
        const std::size_t sealed = sealer_->rtp(index_, header_size, Bytes{payload}.first(size), packet);
        paused_ = false;
        ++index_;
        ++packets_sent_;
        octets_sent_ += size;
        last_sent_ = now;
        ++measured.packets_sent;
        measured.lateness.record(now - due);
        if (sealed == 0) continue;
        const bool on_its_way = out.send(*agent_.selected(), Bytes{packet}.first(sealed));
        if (!on_its_way && speaking.board) speaking.board->withhold(speaking.speaker, number);
    }
}

void Client::report(Instant now, Outbox& out) {
    next_report_ = now + report_interval;
    std::array<std::uint8_t, scratch_size> compound;
    const MutableBytes room{compound.data(), compound.size() - srtp::rtcp_overhead};
    std::size_t size = 0;
    std::uint32_t ssrc = config_.report_ssrc;
    if (config_.speaking) {
        if (packets_sent_ == 0) return;
        ssrc = config_.speaking->ssrc;
        const rtcp::SenderInfo info{ntp(now), timestamp_, static_cast<std::uint32_t>(packets_sent_), static_cast<std::uint32_t>(octets_sent_)};
        size = rtcp::write_sender_report(room, ssrc, info, {});
    } else if (hearing_) {
        std::array<rtcp::ReportBlock, Hearing::max_streams> blocks;
        const std::size_t count = hearing_->report(now, blocks);
        size = rtcp::write_receiver_report(room, ssrc, {blocks.data(), count});
    }
    if (size == 0) return;
    size += rtcp::write_cname(room.subspan(size), ssrc, config_.cname);
    size = sealer_->rtcp(Bytes{compound}.first(size), compound);
    if (size != 0) out.send(*agent_.selected(), Bytes{compound}.first(size));
}

void Client::on_rtp(Instant now, MutableBytes datagram, Measured& measured, Duration waited) {
    if (!hearing_) return;
    ++measured.packets_received;
    if (hearing_->is_duplicate(load32(&datagram[8]), load16(&datagram[2]))) return hearing_->count_duplicate();
    const auto opened = opener_->rtp(datagram);
    if (!opened) return hearing_->count_undecryptable();
    hearing_->packet(now, datagram.first(opened->size), measured.times, waited);
}

void Client::on_rtcp(Instant now, MutableBytes datagram, Outbox& out) {
    const auto size = opener_->rtcp(datagram);
    if (!size) return;
    const auto reports = rtcp::parse(datagram.first(*size));
    if (!reports) return;
    if (reports->sender && hearing_) hearing_->sender_report(now, reports->sender_ssrc, *reports->sender);
    if (reports->bye) out.tell(Happened::goodbye, {});
}

}  // namespace load
