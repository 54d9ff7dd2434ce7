// SPDX-License-Identifier: LGPL-2.1-or-later
//
// A reader meets segments that are damaged on purpose: it may be answered wrongly by one that is
// well-formed and lies, but must neither crash nor hang, and what is not well-formed is skipped
// with a reason. Each byte of a real segment is changed in several ways, and the file is cut at
// many lengths. (A child that runs into a time limit or a signal fails the case.)
#include "shim/backend/fake.h"
#include "shim/core/watch_set.h"
#include "shim/registry/publisher.h"
#include "shim/registry/segment.h"
#include "shim/sys/process.h"
#include "tests/support/pages.h"
#include "tests/support/registry.h"

#include <algorithm>
#include <array>
#include <chrono>
#include <fcntl.h>
#include <string>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include <vector>

namespace writewatch::test {

using namespace registry;

std::optional<Missing> missing()
{
    return missing_shared_memory();
}

namespace {

constexpr std::uintptr_t base = 0x7100'0000'0000;

// What a process with 40 regions (two chunks) and latched pages publishes.
std::vector<char> real_segment()
{
    Publisher publisher(Host::native_win32);
    publisher.set_backend("pagemap-scan", "");
    backend::Fake fake;
    core::WatchSet set(fake, &publisher);
    REQUIRE(publisher.open());
    REQUIRE(set.open());
    for (std::size_t i = 0; i < 40; ++i)
        REQUIRE(set.watch({.range = pages(base, 4 * i, 2)}, core::OnOverlap::fail, 4));
    fake.write(base);
    REQUIRE(set.latch(pages(base, 0, 2)));
    const auto names = segments_of(getpid());
    REQUIRE(names.size() == 1);
    std::vector<char> bytes;
    const int fd = shm_open(names[0].c_str(), O_RDONLY, 0);
    REQUIRE(fd >= 0);
    struct stat status = {};
    REQUIRE(fstat(fd, &status) == 0);
    bytes.resize(static_cast<std::size_t>(status.st_size));
    REQUIRE(pread(fd, bytes.data(), bytes.size(), 0) == static_cast<ssize_t>(bytes.size()));
    close(fd);
    set.close();
    return bytes;
}

// A file of such a name that looks alive: this process holds its lock.
class Fake {
  public:
    explicit Fake(const std::vector<char>& bytes, const char* unique = "f")
        : name_("writewatch." + std::to_string(getpid()) + "." +
                std::to_string(sys::start_time_of(getpid()).value()) + "." + unique),
          fd_(shm_open(name_.c_str(), O_RDWR | O_CREAT | O_EXCL, 0600))
    {
        REQUIRE(fd_ >= 0);
        REQUIRE(flock(fd_, LOCK_EX | LOCK_NB) == 0);
        write(0, bytes);
    }
    ~Fake()
    {
        shm_unlink(name_.c_str());
        close(fd_);
    }
    Fake(const Fake&) = delete;
    Fake& operator=(const Fake&) = delete;

    void write(std::size_t at, const std::vector<char>& bytes) const
    {
        REQUIRE(pwrite(fd_, bytes.data(), bytes.size(), static_cast<off_t>(at)) ==
                static_cast<ssize_t>(bytes.size()));
    }
    void cut(std::size_t size) const { REQUIRE(ftruncate(fd_, static_cast<off_t>(size)) == 0); }
    const std::string& name() const { return name_; }
    int fd() const { return fd_; }

  private:
    std::string name_;
    int fd_;
};

// Everything a reader can be made to do with a segment; true if it took it for one.
bool use(const std::string& name)
{
    auto segment = SegmentReader::open(name);
    if (!segment)
        return false;
    segment->set_patience(1'000'000);
    const auto info = segment->read();
    (void)segment->read_regions();
    const auto latched = segment->read_latched({0, address_space_end});
    if (latched)
        (void)segment->request_reset(*latched, latched->bits);
    if (!info)
        return false;
    // Whatever it says, it is bounded and consistent in itself.
    for (std::size_t i = 0; i < info->regions.size(); ++i) {
        const RegionInfo& region = info->regions[i];
        REQUIRE_FALSE(region.range.empty());
        REQUIRE(region.range.end <= address_space_end);
        REQUIRE(region.latched_pages <= region.range.pages());
    }
    REQUIRE(info->regions.size() <= max_regions);
    REQUIRE(info->image.size() < sizeof(Header::image));
    return true;
}

} // namespace

TEST_CASE("every byte of a segment changed", "[registry]")
{
    const std::vector<char> real = real_segment();
    const Fake fake(real);
    REQUIRE(use(fake.name()));

    const auto start = std::chrono::steady_clock::now();
    std::size_t taken = 0;
    std::size_t refused = 0;
    for (std::size_t at = 0; at < real.size(); ++at) {
        // Beyond the header's fields and the records in use nothing is looked at twice in vain.
        const bool zero = real[at] == 0 && at % 64 != 0;
        for (const int change : {0x01, 0x80, 0xff}) {
            if (zero && change != 0xff)
                continue;
            fake.write(at, {static_cast<char>(real[at] ^ change)});
            ++(use(fake.name()) ? taken : refused);
        }
        // Requests may have been written elsewhere.
        fake.write(at, {real[at]});
        if (at % 256 == 255)
            fake.write(0, real);
    }
    const auto seconds =
        std::chrono::duration_cast<std::chrono::seconds>(std::chrono::steady_clock::now() - start)
            .count();
    WARN(real.size() << " bytes: " << taken << " taken for a segment, " << refused << " refused, "
                     << seconds << " s");
    REQUIRE(refused > 0);
    REQUIRE(taken > 0);
}

TEST_CASE("a segment cut at any length", "[registry]")
{
    const std::vector<char> real = real_segment();
    const Fake fake(real);
    for (std::size_t size = real.size(); size-- > 0;) {
        if (size % 127 != 0 && size % segment_page > 130)
            continue;
        fake.cut(size);
        REQUIRE_FALSE(use(fake.name()));
    }
}

TEST_CASE("what is not a segment is skipped with a reason", "[registry]")
{
    const std::vector<char> real = real_segment();
    const auto reason_of = [](const std::string& name) {
        const auto listing = list();
        REQUIRE(listing);
        for (const ProcessInfo& info : listing->processes)
            REQUIRE(info.segment != name);
        for (const SkippedSegment& skipped : listing->skipped) {
            if (skipped.segment == name)
                return skipped.reason;
        }
        return std::string();
    };
    {
        const Fake fake(std::vector<char>(8192, 'x'));
        REQUIRE(reason_of(fake.name()).find("does not begin as a registry") != std::string::npos);
    }
    {
        std::vector<char> newer = real;
        newer[offsetof(Header, version)] = 2;
        const Fake fake(newer);
        REQUIRE(reason_of(fake.name()).find("another version") != std::string::npos);
    }
    {
        const Fake fake(real);
        REQUIRE(fchmod(fake.fd(), 0644) == 0);
        REQUIRE(reason_of(fake.name()).find("others may open it") != std::string::npos);
    }
    {
        // In the name of another process: init.
        const std::string name =
            "writewatch.1." + std::to_string(sys::start_time_of(1).value_or(0)) + ".a";
        const Fake fake(real);
        REQUIRE(rename(("/dev/shm/" + fake.name()).c_str(), ("/dev/shm/" + name).c_str()) == 0);
        REQUIRE(reason_of(name).find("belongs to another process") != std::string::npos);
        shm_unlink(name.c_str());
    }
    {
        const std::string name = "writewatch." + std::to_string(getpid()) + ".1.b";
        REQUIRE(symlink("/etc/passwd", ("/dev/shm/" + name).c_str()) == 0);
        REQUIRE_FALSE(SegmentReader::open(name));
        REQUIRE_FALSE(reason_of(name).empty());
        shm_unlink(name.c_str());
    }
    {
        const std::string name = "writewatch." + std::to_string(getpid()) + ".1.c";
        REQUIRE(mkfifo(("/dev/shm/" + name).c_str(), 0600) == 0);
        REQUIRE(reason_of(name).find("not a regular file") != std::string::npos);
        shm_unlink(name.c_str());
    }
}

TEST_CASE("a segment whose records never stand still ends in an error", "[registry]")
{
    const std::vector<char> real = real_segment();
    std::vector<char> odd = real;
    odd[sizeof(Header) + sizeof(RegionRecord)] ^= 1; // the sequence of record 1
    const Fake fake(odd);
    const auto segment = SegmentReader::open(fake.name());
    REQUIRE(segment);
    const auto info = segment->read();
    REQUIRE_FALSE(info);
    REQUIRE(info.error().code == EPROTO);
}

} // namespace writewatch::test
