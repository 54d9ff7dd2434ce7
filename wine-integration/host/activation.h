// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

// Decides, once per process, whether write watches of this Wine are ours, and takes them over.
// Called by the preload when Wine's loader has opened ntdll.so and before it calls into it: there
// is one thread yet. Any reason against it leaves Wine untouched, and is logged as one line.
extern "C" __attribute__((visibility("default"))) void
writewatch_wine_activate(void* ntdll) noexcept;
