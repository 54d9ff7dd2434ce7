/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Runs bdwgc's own test program and says how long it took and how long it stopped the world: the
 * collector reports both ends of a pause to its client, and its own log counts in clock ticks of 16
 * ms. The test's main() is compiled as gctest_main().
 */
#include <stdio.h>
#include <stdlib.h>
#include <windows.h>

#include <gc.h>

int gctest_main(void);

#define MOST_PAUSES 65536

static LARGE_INTEGER stopped_at;
static double pauses_ns[MOST_PAUSES];
static size_t pause_count;

static double ns_since(LARGE_INTEGER start)
{
    LARGE_INTEGER now, frequency;
    QueryPerformanceCounter(&now);
    QueryPerformanceFrequency(&frequency);
    return (double)(now.QuadPart - start.QuadPart) * 1e9 / (double)frequency.QuadPart;
}

/* Of all threads, in user mode and in the kernel: less disturbed by what else the machine does. */
static double cpu_ns(void)
{
    FILETIME created, ended, kernel, user;
    if (!GetProcessTimes(GetCurrentProcess(), &created, &ended, &kernel, &user))
        return 0;
    const ULARGE_INTEGER k = {.LowPart = kernel.dwLowDateTime, .HighPart = kernel.dwHighDateTime};
    const ULARGE_INTEGER u = {.LowPart = user.dwLowDateTime, .HighPart = user.dwHighDateTime};
    return (double)(k.QuadPart + u.QuadPart) * 100;
}

/* Called with the collector's lock held. */
static void GC_CALLBACK on_event(GC_EventType event)
{
    if (event == GC_EVENT_PRE_STOP_WORLD)
        QueryPerformanceCounter(&stopped_at);
    else if (event == GC_EVENT_POST_START_WORLD && pause_count < MOST_PAUSES)
        pauses_ns[pause_count++] = ns_since(stopped_at);
}

static int ascending(const void* left, const void* right)
{
    const double a = *(const double*)left, b = *(const double*)right;
    return (a > b) - (a < b);
}

static double percentile(unsigned percent)
{
    return pause_count == 0 ? 0 : pauses_ns[(pause_count - 1) * percent / 100];
}

int main(void)
{
    LARGE_INTEGER start;
    QueryPerformanceCounter(&start);
    GC_INIT();
    GC_set_on_collection_event(on_event);
    const int status = gctest_main();
    const double total_ns = ns_since(start);
    GC_set_on_collection_event(NULL);

    double in_pauses_ns = 0;
    for (size_t i = 0; i < pause_count; ++i)
        in_pauses_ns += pauses_ns[i];
    qsort(pauses_ns, pause_count, sizeof pauses_ns[0], ascending);
    /* No page is protected by the collector itself: the dirty pages come from GetWriteWatch. */
    const int write_watch =
        GC_is_incremental_mode() && GC_incremental_protection_needs() == GC_PROTECTS_NONE;
    printf("{\"schema\": \"writewatch.bench.bdwgc/1\", \"status\": %d, \"write_watch\": %s, "
           "\"total_ns\": %.0f, \"cpu_ns\": %.0f, \"collections\": %lu, \"pauses\": %lu, "
           "\"paused_ns\": %.0f, "
           "\"pause_p50_ns\": %.0f, \"pause_p99_ns\": %.0f, \"pause_max_ns\": %.0f}\n",
           status, write_watch ? "true" : "false", total_ns, cpu_ns(),
           (unsigned long)GC_get_gc_no(), (unsigned long)pause_count, in_pauses_ns, percentile(50),
           percentile(99), percentile(100));
    fflush(stdout);
    return status;
}
