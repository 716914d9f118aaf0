// An eventfd that one thread waits on and others ring.
#pragma once

namespace plane {

class Bell {
public:
    // std::system_error when the process has no descriptor left.
    Bell();
    ~Bell();
    Bell(const Bell&) = delete;
    Bell& operator=(const Bell&) = delete;
    int fd() const noexcept { return fd_; }
    void ring() noexcept;
    void clear() noexcept;

private:
    int fd_;
};

}  // namespace plane
