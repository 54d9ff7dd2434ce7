// SPDX-License-Identifier: LGPL-2.1-or-later
#include "shim/sys/release.h"

#include <sys/utsname.h>

namespace writewatch::sys {

std::string kernel_release()
{
    utsname name = {};
    return ::uname(&name) == 0 ? name.release : "unknown";
}

} // namespace writewatch::sys
