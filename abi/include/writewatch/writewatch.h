/* SPDX-License-Identifier: LGPL-2.1-or-later */
/**
 * \file writewatch/writewatch.h
 * \brief Which pages of this process's memory were written: the C API (library libwritewatch).
 *
 *     ww_tracker *tracker;
 *     ww_open(NULL, &tracker);
 *     ww_watch(tracker, heap, heap_size, 0);
 *     ...
 *     long n = ww_collect(tracker, heap, heap_size, WW_RESET, pages, capacity);
 *
 * Works on any mapping of the calling process: private anonymous memory (what malloc and mmap give)
 * at no cost up front; files, shared memory and hugetlb by arming every page when they are watched.
 * What counts as written: every store by a CPU through this process's mappings, and every copy into
 * them by a system call of this process (read, recv). What does not, and what is reported that was
 * not written: docs/deviations.md.
 *
 * Errors: functions return 0 or a count, or -errno; nothing is reported through errno itself. Every
 * function may answer -EINVAL for a NULL tracker, a misaligned start, an empty or wrapping range.
 * Ranges: start is a multiple of the page size (4096); sizes are in bytes and rounded up to pages.
 *
 * Threads: every function may be called by any thread at any time, except ww_close, which must be
 * the last. ww_collect, ww_collect_ranges and ww_reset take no lock, allocate nothing and are
 * async-signal-safe: a thread may be suspended or killed in them at any point.
 *
 * fork: a child may go on using an inherited tracker; at its first call every page that was
 * populated at the fork reads as written. Trackers do not survive exec.
 */
#ifndef WRITEWATCH_WRITEWATCH_H
#define WRITEWATCH_WRITEWATCH_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define WW_VERSION_MAJOR 0
#define WW_VERSION_MINOR 1
#define WW_VERSION_PATCH 0

/** \brief The library's version as 0xMMmmpp (which may be newer than the header's). */
unsigned ww_version(void);
/** \brief The same as text, such as "0.1.0". Static storage. */
const char* ww_version_string(void);

typedef struct ww_tracker ww_tracker;

/** \brief Options of ww_open. Set size to sizeof(struct ww_options) and the rest to 0 for defaults.
 */
struct ww_options {
    size_t size;
    /** "auto", "pagemap-scan", "mprotect"; NULL: what WRITEWATCH_BACKEND says, else auto. */
    const char* backend;
};

/**
 * \brief Opens a tracker.
 * \param options  NULL for defaults
 * \param tracker  receives it; the caller closes it with ww_close
 * \returns 0; -EINVAL (unknown backend, options of another size); what the probe of the named
 * backend met (-EPERM: userfaultfd is forbidden; -ENOTTY: no PAGEMAP_SCAN); -ENOMEM. A backend that
 * was asked for by name is never replaced by another.
 */
int ww_open(const struct ww_options* options, ww_tracker** tracker);

/**
 * \brief Ends all watches and frees the tracker; NULL is allowed. No other thread may be in a call.
 */
void ww_close(ww_tracker* tracker);

/** \brief "pagemap-scan" or "mprotect". Static storage. */
const char* ww_backend(const ww_tracker* tracker);
/** \brief Why not the better backend; "" when it is the best. Valid until ww_close. */
const char* ww_backend_reason(const ww_tracker* tracker);

/** ww_watch: the caller promises private anonymous memory, as fresh from mmap. Saves reading
 * /proc/self/maps. What MAP_POPULATE or mlockall(2) populated is reported until a reset. */
#define WW_FRESH 1u

/**
 * \brief Watches mapped memory: from here on writes are seen, and nothing counts as written yet.
 *
 * Private anonymous memory gets MADV_NOHUGEPAGE: one write to a huge page would report 512 pages.
 * With the mprotect backend the program must not mprotect the range itself.
 * \param flags  0 or WW_FRESH
 * \returns 0; -EEXIST (part of it is watched); -ENOMEM (part of it is not mapped, or no memory);
 * -EBUSY (another userfaultfd has it); -EPERM (it can never be written); -EINVAL (hugetlb: not
 *          aligned to its page size or mixed with other memory; mprotect: pages of different
 * protection).
 */
int ww_watch(ww_tracker* tracker, void* start, size_t bytes, unsigned flags);

/**
 * \brief Ends the watch of a range; it may be part of a watched region or span several, and call
 *        it before munmap.
 * \returns 0, also when nothing was watched there; -ENOMEM.
 */
int ww_unwatch(ww_tracker* tracker, void* start, size_t bytes);

/**
 * \brief After a watched range was replaced by fresh private anonymous memory (mmap with
 * MAP_FIXED): watches the new memory; it is clean. Without this call pagemap-scan notices the loss
 * at the next collect and reports whatever is populated there; mprotect does not notice it.
 * \returns 0, or as ww_watch; then the watched pages of the range are reported until they are
 * reset, and the call is to be repeated.
 */
int ww_rearm(ww_tracker* tracker, void* start, size_t bytes);

/**
 * \brief Keeps what is written now reported until it is reset, even if the contents are dropped
 * meanwhile (MADV_DONTNEED alone makes pages clean). \returns 0; -ENOMEM.
 */
int ww_latch(ww_tracker* tracker, void* start, size_t bytes);

/** ww_collect: make clean exactly the pages that are returned, in the same atomic step per page. */
#define WW_RESET 1u

/**
 * \brief The written pages of a range.
 * \param flags     0 or WW_RESET
 * \param pages     receives page addresses, ascending; must not be NULL
 * \param capacity  entries that \p pages holds, at least 1
 * \returns the number of entries written: less than capacity when all were found; with exactly
 *          capacity there may be more, from the last one's next page on. -ENOENT: the range does
 * not lie in one watched region; -EINVAL (or it cuts a hugetlb region, which is asked about as a
 * whole); -ENOMEM; -EIO. After an error nothing was lost: pages that were reset before it are
 * reported again.
 */
long ww_collect(ww_tracker* tracker, const void* start, size_t bytes, unsigned flags, void** pages,
                size_t capacity);

struct ww_range {
    uintptr_t start;
    uintptr_t end; /**< exclusive */
};

/** \brief ww_collect as runs of adjacent pages, each as long as possible. */
long ww_collect_ranges(ww_tracker* tracker, const void* start, size_t bytes, unsigned flags,
                       struct ww_range* ranges, size_t capacity);

/**
 * \brief Makes a range clean without telling what was written.
 * \returns 0; -ENOENT as ww_collect; -ENOMEM; -EIO.
 */
int ww_reset(ww_tracker* tracker, void* start, size_t bytes);

typedef struct ww_process ww_process;

/**
 * \brief Attaches to another process of this user, to read and reset its write watches.
 *
 * The target needs to do nothing for it but to watch memory with this library, libwritewatch-win32
 * or the Wine preload, and not to have turned its registry off (WRITEWATCH_REGISTRY=0). It is not
 * stopped, and its memory is not read. One process may be attached to many times.
 * \param pid      a Linux process id
 * \param process  receives it; the caller ends it with ww_detach
 * \returns 0; -ESRCH (no such process); -EPERM (the kernel's ptrace rights, PTRACE_MODE_READ in
 *          ptrace(2)); -ENOENT (it publishes nothing: it does not use the library, or watches
 *          nothing yet); -ENOMEM.
 */
int ww_attach(int pid, ww_process** process);

/** \brief Ends an attachment; NULL is allowed. No other thread may be in a call about it. */
void ww_detach(ww_process* process);

/** \brief 1 while the process runs the program that was attached to; 0 after its end, or exec. */
int ww_process_alive(const ww_process* process);

/** \brief A watched region of another process. */
struct ww_region {
    uintptr_t start; /**< in that process */
    size_t bytes;
    uint64_t id;              /**< never used twice in a process */
    uint64_t created_ns;      /**< when it was watched: CLOCK_REALTIME */
    uint64_t latched_pages;   /**< kept reported until reset (ww_latch) */
    unsigned long protection; /**< when it was watched: PROT_*, or PAGE_* of a Win32 program */
};

/**
 * \brief The target's watched regions, ascending by address.
 * \param regions     receives up to \p capacity entries; may be NULL when capacity is 0
 * \param entry_size  sizeof(struct ww_region)
 * \returns how many there are, which may be more than capacity; -ESRCH; -EINVAL; -ENOMEM; -EPROTO
 *          (what the target publishes is damaged).
 */
long ww_process_regions(ww_process* process, struct ww_region* regions, size_t entry_size,
                        size_t capacity);

/**
 * \brief ww_collect about another process: the written pages of a range of its memory.
 *
 * With WW_RESET the pages returned are clean for everybody, the target included: who resets shares
 * the pages out with all others who do. Allocates; calls about one attachment exclude each other.
 * \param start  in that process
 * \returns as ww_collect; and -ESRCH (it has ended, or become another program by exec); -ENOENT
 *          (the range does not, or not any more, lie in one watched region); -ENOTSUP (it uses
 *          another backend than pagemap-scan); -EAGAIN (its memory was replaced behind its back; at
 *          its own next call its library mends that); -ENOBUFS (it could not publish which pages
 *          are latched). After an error nothing is lost: pages that were reset before it are
 *          returned by the next call about this attachment.
 */
long ww_process_collect(ww_process* process, uintptr_t start, size_t bytes, unsigned flags,
                        uintptr_t* pages, size_t capacity);

/** \brief ww_reset about another process. \returns 0; errors as ww_process_collect. */
int ww_process_reset(ww_process* process, uintptr_t start, size_t bytes);

/** \brief One thing a backend needs of the kernel. */
struct ww_capability {
    char name[24];    /**< "userfaultfd", "wp-async", "pagemap", "pagemap-scan", "tracking", … */
    int supported;    /**< 0 or 1 */
    int error;        /**< errno of what was tried, 0 when supported or not tried */
    char how[64];     /**< what was tried */
    char reason[232]; /**< when not supported: what failed and what can be done; else "" */
};

/**
 * \brief What this kernel can do, found by trying it on scratch memory (under a millisecond).
 * \param capabilities  receives up to \p capacity entries; may be NULL when capacity is 0
 * \param entry_size    sizeof(struct ww_capability)
 * \returns how many there are, which may be more than capacity; -EINVAL; -ENOMEM. All are
 *          supported exactly when the pagemap-scan backend can be used.
 */
long ww_capabilities(struct ww_capability* capabilities, size_t entry_size, size_t capacity);

#ifdef __cplusplus
}
#endif

#endif /* WRITEWATCH_WRITEWATCH_H */
