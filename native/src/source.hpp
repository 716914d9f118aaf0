// A publisher as its room's home hears it: whether he speaks, his audio until the tick, and which packets follow on
// which for the listeners. How the packets came is his Reception's business, on his own worker, which may be another.
#pragma once

#include <memory>

#include "capture.hpp"
#include "packet.hpp"
#include "playout.hpp"
#include "replay.hpp"
#include "stats.hpp"
#include "voice.hpp"

namespace plane {

class Room;

struct SourceConfig {
    std::uint32_t csrc = 0;          // the user's id in the room
    std::uint32_t peer = 0;          // whose he is
    double silence_dbov = -64.0;     // what is quieter is not mixed
};

class Source {
public:
    // room: the home that hears this source; it outlives the source. serial: rises with every source; of two sources of
    // one user the newer is heard. stats: the levels and the playout's are written from here.
    Source(SourceConfig config, Room& room, std::uint32_t serial, std::shared_ptr<PeerStats> stats);

    // Takes a packet that the Reception has accepted, and fills what listeners are to see of it: whose it is, and its run
    // in the room.
    void take(Packet& packet, Instant now) noexcept;

    // Whether the packet of this index may go to listeners now: each does once, itself or its copy.
    bool passes(std::uint64_t index) noexcept {
        if (!passed_.fresh(index)) return false;
        passed_.accept(index);
        return true;
    }
    // Whether it has not gone yet, and belongs to what listeners may hear: nothing from before the run does.
    bool lacks(std::uint64_t index) const noexcept { return run_ != 0 && index >= run_first_ && passed_.fresh(index); }

    // Muted or not, what the sender's voice does.
    const Voice& voice() const noexcept { return voice_; }
    void tick(Instant now) noexcept;
    // The packet that was taken may be heard by others, or not.
    void pass(const Packet& packet, Instant now) noexcept;
    void mute() noexcept;

    // Whether he speaks, is silent or clips is not as it was at the last told(). Hysteresis bounds how often: speaking
    // changes twice in Voice::hangover at most, whatever the packets say.
    bool has_news() const noexcept { return state() != told_; }
    void told() noexcept { told_ = state(); }

    // Set by the Room while it mixes: where the audio waits for the tick.
    std::shared_ptr<Playout> playout;

    // The run ends here: what follows is not continuous with it (mute, seat lost).
    void break_run() noexcept { run_ = 0; }

    const SourceConfig& config() const noexcept { return config_; }
    Room& room() const noexcept { return room_; }
    std::uint32_t serial() const noexcept { return serial_; }

private:
    void publish_voice() noexcept;
    std::uint8_t state() const noexcept {
        return static_cast<std::uint8_t>(voice_.speaking() | capture_.silent() << 1 | capture_.clipping() << 2);
    }

    SourceConfig config_;
    Room& room_;
    std::uint32_t serial_;
    std::shared_ptr<PeerStats> stats_;
    Voice voice_;
    Capture capture_;
    std::uint64_t clipped_ = 0;      // of the playout's packets, as capture_ knows it
    std::uint8_t told_ = 0;
    std::uint32_t stretch_ = 0;      // of the Reception, to which the run belongs
    std::uint32_t run_ = 0;          // 0: the next packet begins a new one
    std::uint64_t run_first_ = 0;    // its first packet
    srtp::ReplayWindow passed_;
};

}  // namespace plane
