// SPDX-License-Identifier: LGPL-2.1-or-later
//
// Our functions in the place of Wine's. All of them are System V functions; in a Wine that uses the
// Microsoft ABI they are reached through entries.cpp.
//
// A fault on a pointer of the program's inside any of them makes Wine return
// STATUS_ACCESS_VIOLATION to the program without unwinding, and a thread can be suspended or ended
// (pthread_exit from a signal handler) at any instruction. So no hook holds anything while it
// touches the program's memory or calls Wine, and none has a destructor to run.
#pragma once

#include "wine-integration/host/wine_functions.h"

namespace writewatch::wine {

// watch_hooks.cpp
GetWriteWatch hook_get_write_watch;
ResetWriteWatch hook_reset_write_watch;
SetInformationVirtualMemory hook_set_information_virtual_memory;

// memory_hooks.cpp
AllocateVirtualMemory hook_allocate_virtual_memory;
AllocateVirtualMemoryEx hook_allocate_virtual_memory_ex;
FreeVirtualMemory hook_free_virtual_memory;
ProtectVirtualMemory hook_protect_virtual_memory;

// mapping_hooks.cpp
//
// The last mmap of this thread that failed did so for want of memory or mappings. Wine answers
// STATUS_INVALID_PARAMETER to a program then, where Windows answers STATUS_NO_MEMORY.
extern constinit thread_local bool out_of_mappings;
Mmap hook_mmap;
Munmap hook_munmap;

} // namespace writewatch::wine
