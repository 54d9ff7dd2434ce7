// SPDX-License-Identifier: LGPL-2.1-or-later
#include "shim/sys/sysfs.h"

#include "shim/sys/unique_fd.h"

#include <fcntl.h>
#include <unistd.h>

namespace writewatch::sys {

bool read_flag(const char* path) noexcept
{
    const UniqueFd file(::open(path, O_RDONLY | O_CLOEXEC));
    char digit = '0';
    return file && ::read(file.get(), &digit, 1) == 1 && digit != '0';
}

} // namespace writewatch::sys
