#include "bell.hpp"

#include <sys/eventfd.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <system_error>

namespace plane {

Bell::Bell() : fd_{eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)} {
    if (fd_ < 0) throw std::system_error(errno, std::generic_category(), "eventfd");
}
Bell::~Bell() { close(fd_); }
void Bell::ring() noexcept {
    const std::uint64_t one = 1;
    [[maybe_unused]] const auto written = write(fd_, &one, sizeof one);  // fails only when it rings already
}

void Bell::clear() noexcept {
    std::uint64_t count;
    [[maybe_unused]] const auto got = read(fd_, &count, sizeof count);
}

}  // namespace plane
