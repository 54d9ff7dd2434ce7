// SPDX-License-Identifier: LGPL-2.1-or-later
#include "shim/sys/unique_fd.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

namespace writewatch::sys {

void UniqueFd::close() noexcept
{
    if (fd_ >= 0)
        ::close(std::exchange(fd_, -1));
}

UniqueFd::File UniqueFd::file() const noexcept
{
    struct stat status = {};
    if (fd_ < 0 || ::fstat(fd_, &status) != 0)
        return {};
    return {status.st_dev, status.st_ino};
}

void UniqueFd::become(const UniqueFd& other, const File& file) noexcept
{
    if (fd_ < 0 || this->file() != file)
        return;
    if (!other || ::dup3(other.get(), fd_, O_CLOEXEC) < 0)
        close();
}

} // namespace writewatch::sys
