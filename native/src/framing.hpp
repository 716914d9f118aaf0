// RFC 4571: over TCP each packet stands behind its length in 16 bits.
#pragma once

#include <algorithm>
#include <array>

#include "packet.hpp"

namespace plane {

constexpr std::size_t frame_header = 2;

// Puts packets together again from a stream that comes in pieces of any size.
class Deframer {
public:
    // Hands each packet that is complete to sink(Bytes); empty ones mean nothing. False once a length is greater than
    // max_datagram: what follows cannot be read, and sink has seen the last.
    template <class Sink>
    bool feed(Bytes bytes, Sink&& sink) {
        while (!bytes.empty()) {
            if (held_ == 0 && bytes.size() >= frame_header) {
                // The usual case needs no copy.
                const std::size_t size = load16(bytes.data());
                if (size > max_datagram) return false;
                if (bytes.size() >= frame_header + size) {
                    if (size != 0) sink(bytes.subspan(frame_header, size));
                    bytes = bytes.subspan(frame_header + size);
                    continue;
                }
            }
            if (held_ < frame_header) {
                hold(bytes, frame_header);
                if (held_ < frame_header) return true;
            }
            const std::size_t size = load16(partial_.data());
            if (size > max_datagram) return false;
            hold(bytes, frame_header + size);
            if (held_ < frame_header + size) return true;
            held_ = 0;
            if (size != 0) sink(Bytes{partial_}.subspan(frame_header, size));
        }
        return true;
    }

private:
    // Moves bytes from the front of `bytes` until `size` are held.
    void hold(Bytes& bytes, std::size_t size) noexcept {
        const std::size_t taken = std::min(bytes.size(), size - held_);
        std::copy_n(bytes.begin(), taken, partial_.begin() + static_cast<std::ptrdiff_t>(held_));
        held_ += taken;
        bytes = bytes.subspan(taken);
    }

    std::array<std::uint8_t, frame_header + max_datagram> partial_;
    std::size_t held_ = 0;
};

}  // namespace plane
