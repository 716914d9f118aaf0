// A music player's column: decks, each a ring that a decoder fills, with an envelope of its own. A track that begins, ends, is
// sought in, or passes into the next is a deck that is faded in while another is faded out.
//
// A deck waits until its ring has enough, which is told as `resumed`. When the ring runs dry the deck is faded out before, tells
// `starved`, and waits again; at the end of its track it plays what there is, and tells `ended`.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "ring.hpp"
#include "sound.hpp"

namespace plane {

using DeckId = std::uint32_t;

// What a player or an effect tells of itself: which deck or effect, and what.
struct Happening {
    enum class Kind : std::uint8_t { starved, resumed, ended, effect_ended } kind = Kind::ended;
    std::uint32_t id = 0;
};
using Happenings = std::vector<Happening>;

class Player final : public Sound {
public:
    // What becomes of a deck that has been faded.
    enum class Then : std::uint8_t { go_on, hold, remove };

    // Samples that a dry deck fades over (10 ms), and frames that it waits for until it goes on (0.5 s). A shorter fade clicks; less
    // to go on with runs dry again sooner, more is a longer silence.
    static constexpr std::size_t dry_fade = 480;
    static constexpr std::size_t enough = 24'000;
    // Two for a cross-fade, and more while somebody skips faster than fades end.
    static constexpr std::size_t max_decks = 8;

    // It plays from the next frame on, from silence to `gain` over so many samples. The oldest goes when there are too many.
    void add_deck(DeckId deck, std::shared_ptr<Ring> ring, float gain, std::size_t fade_samples);
    // From where it is to `gain`. A deck that is held goes on. Nothing happens when there is none of this id.
    void fade_deck(DeckId deck, float gain, std::size_t fade_samples, Then then);

    // The next frame: `samples` of `channels`, 1 or 2, which is over at `end`. Once a tick.
    void render(Instant end, std::size_t samples, unsigned channels, Happenings& happenings);
    // The frame has something in it.
    bool sounds() const noexcept { return sounds_; }
    // There is something to play, now or when it comes.
    bool active() const noexcept;

    bool pull(Instant now, std::span<float> out) noexcept override;
    void pass(Instant) noexcept override {}
    bool begin() noexcept override { return fresh_; }
    void count(WorkerStats&) noexcept override {}

private:
    struct Deck {
        DeckId id;
        std::shared_ptr<Ring> ring;
        std::uint64_t played = 0;
        // The envelope: equal power from one gain to the other, so that a cross-fade keeps its loudness.
        float from = 0, to = 0;
        std::size_t fade = 0, faded = 0;
        Then then = Then::go_on;
        bool held = false, starved = true, gone = false;

        float gain() const noexcept;
    };
    void play(Deck& deck, Instant end, unsigned channels, Happenings& happenings);
    void mix_in(Deck& deck, std::size_t frames, bool last, unsigned channels) noexcept;

    std::vector<Deck> decks_;
    std::vector<float> frame_, piece_;  // the frame of this tick; what a deck has for it
    bool sounds_ = false, fresh_ = false;  // the frame before was silence
};

}  // namespace plane
