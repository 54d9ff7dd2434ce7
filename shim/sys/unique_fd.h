// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include <cstdint>
#include <utility>

namespace writewatch::sys {

// Owns a file descriptor.
class UniqueFd {
  public:
    UniqueFd() = default;
    explicit UniqueFd(int fd) noexcept : fd_(fd) {}
    UniqueFd(UniqueFd&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
    UniqueFd& operator=(UniqueFd&& other) noexcept
    {
        if (this != &other) {
            close();
            fd_ = std::exchange(other.fd_, -1);
        }
        return *this;
    }
    ~UniqueFd() { close(); }

    int get() const noexcept { return fd_; }
    explicit operator bool() const noexcept { return fd_ >= 0; }
    void close() noexcept;

    // The open file that the number stands for. Files have one each; of those without a name,
    // a userfaultfd does (Linux 5.13).
    struct File {
        std::uint64_t device = 0;
        std::uint64_t inode = 0;
        friend bool operator==(const File&, const File&) = default;
    };
    File file() const noexcept;

    // From here on the number stands for what `other` does, or for nothing if that cannot be. Not
    // when it is no more for `file`: a program that closes all descriptors may have opened another
    // there. Async-signal-safe.
    void become(const UniqueFd& other, const File& file) noexcept;

  private:
    int fd_ = -1;
};

} // namespace writewatch::sys
