// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include <string>

namespace writewatch::sys {

// For messages only: what a kernel can do is found out by trying (backend/probe.h).
std::string kernel_release();

} // namespace writewatch::sys
