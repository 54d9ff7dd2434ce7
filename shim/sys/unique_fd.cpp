// SPDX-License-Identifier: LGPL-2.1-or-later
#include "shim/sys/unique_fd.h"

#include <unistd.h>

namespace writewatch::sys {

void UniqueFd::close() noexcept
{
    if (fd_ >= 0)
        ::close(std::exchange(fd_, -1));
}

} // namespace writewatch::sys
