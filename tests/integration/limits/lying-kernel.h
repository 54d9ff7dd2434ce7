// SPDX-License-Identifier: LGPL-2.1-or-later
//
// A library between a program and libc that answers ioctl requests as a broken kernel might: the
// request is made, then its answer is spoiled. LYING_KERNEL=NAME lies from the start.
#pragma once

// From here on; null: the truth. The names are in lying-kernel.cpp.
void lie(const char* name);
