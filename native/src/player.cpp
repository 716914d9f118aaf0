#include "player.hpp"

#include <algorithm>
#include <cmath>
#include <numbers>
#include <utility>

namespace plane {

namespace {

// +12 dB beyond full scale; decoders clip at 0, and a broken one may say anything.
constexpr float largest = 4.0F;

float sane(float sample) noexcept { return std::isfinite(sample) ? std::clamp(sample, -largest, largest) : 0.0F; }

}  // namespace

float Player::Deck::gain() const noexcept {
    if (faded >= fade) return to;
    const float quarter = std::numbers::pi_v<float> / 2 * static_cast<float>(faded) / static_cast<float>(fade);
    // Rising with the sine, falling with the cosine: powers add up to one.
    return to >= from ? from + (to - from) * std::sin(quarter) : to + (from - to) * std::cos(quarter);
}

void Player::add_deck(DeckId id, std::shared_ptr<Ring> ring, float gain, std::size_t fade_samples) {
    if (decks_.size() == max_decks) decks_.erase(decks_.begin());
    decks_.push_back({.id = id, .ring = std::move(ring), .to = gain, .fade = fade_samples});
}

void Player::fade_deck(DeckId id, float gain, std::size_t fade_samples, Then then) {
    for (Deck& deck : decks_) {
        if (deck.id != id) continue;
        deck.from = deck.gain();
        deck.to = gain;
        deck.fade = fade_samples;
        deck.faded = 0;
        deck.then = then;
        deck.held = false;
    }
}

bool Player::active() const noexcept {
    return std::any_of(decks_.begin(), decks_.end(), [](const Deck& deck) { return !deck.held; });
}

void Player::render(Instant end, std::size_t samples, unsigned channels, Happenings& happenings) {
    frame_.assign(samples * channels, 0.0F);
    piece_.resize(samples * ring_channels);
    fresh_ = !std::exchange(sounds_, false);
    for (Deck& deck : decks_) {
        if (!deck.held) play(deck, end, channels, happenings);
    }
    std::erase_if(decks_, [](const Deck& deck) { return deck.gone; });
}

void Player::play(Deck& deck, Instant end, unsigned channels, Happenings& happenings) {
    const std::size_t wanted = piece_.size() / ring_channels;
    const bool finished = deck.ring->finished();  // before it is asked how much there is
    const std::size_t there = deck.ring->buffered();
    if (deck.starved && deck.then != Then::go_on) deck.faded = deck.fade;  // nobody hears it fade
    if (deck.starved && deck.then == Then::go_on && (there >= enough || finished)) {
        deck.starved = false;
        deck.from = 0;
        deck.fade = std::max(deck.fade - deck.faded, dry_fade);
        deck.faded = 0;
        happenings.push_back({Happening::Kind::resumed, deck.id});
    }
    if (!deck.starved && !finished && there < wanted + dry_fade) {
        deck.starved = true;
        happenings.push_back({Happening::Kind::starved, deck.id});
        const std::size_t rest = deck.ring->read(std::span{piece_}.first(std::min(there, wanted) * ring_channels));
        mix_in(deck, rest, true, channels);
    } else if (!deck.starved) {
        const std::size_t read = deck.ring->read(piece_);
        mix_in(deck, read, finished && there <= wanted, channels);
        if (finished && there <= wanted) {
            deck.gone = true;
            happenings.push_back({Happening::Kind::ended, deck.id});
        }
    }
    deck.ring->note_position(deck.played, end);
    if (deck.faded < deck.fade) return;
    if (deck.then == Then::hold) deck.held = true;
    if (deck.then == Then::remove) deck.gone = true;
}

void Player::mix_in(Deck& deck, std::size_t frames, bool last, unsigned channels) noexcept {
    const std::size_t ending = last ? std::min(frames, dry_fade) : 0;
    for (std::size_t i = 0; i < frames; ++i) {
        float gain = deck.gain();
        deck.faded = std::min(deck.fade, deck.faded + 1);
        if (i + ending >= frames) gain *= static_cast<float>(frames - i) / static_cast<float>(ending + 1);
        const float left = sane(piece_[2 * i]) * gain, right = sane(piece_[2 * i + 1]) * gain;
        if (channels == 2) {
            frame_[2 * i] += left;
            frame_[2 * i + 1] += right;
        } else {
            frame_[i] += (left + right) / 2;
        }
    }
    deck.played += frames;
    sounds_ |= frames > 0;
}

bool Player::pull(Instant, std::span<float> out) noexcept {
    std::fill(out.begin(), out.end(), 0.0F);
    std::copy_n(frame_.begin(), std::min(frame_.size(), out.size()), out.begin());
    return sounds_;
}

}  // namespace plane
