// SPDX-License-Identifier: LGPL-2.1-or-later
// Reads of files and pipes into watched memory.
#include "ask.h"
#include "memory.h"

#include <string>
#include <vector>

#ifndef _WIN32
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <unistd.h>
#endif

using namespace conformance;

namespace {

constexpr char source[] = "observed: Wine's tests";

/// A file of so many bytes, deleted at the end; reading starts at its first byte.
class File {
  public:
    explicit File(std::size_t size)
    {
        const std::vector<char> bytes(size, 'x');
#ifdef _WIN32
        char folder[MAX_PATH];
        char path[MAX_PATH];
        require("a temporary file can be made", GetTempPathA(MAX_PATH, folder) != 0 &&
                                                    GetTempFileNameA(folder, "ww", 0, path) != 0);
        handle_ = CreateFileA(path, GENERIC_READ | GENERIC_WRITE, 0, nullptr, CREATE_ALWAYS,
                              FILE_FLAG_DELETE_ON_CLOSE, nullptr);
        DWORD done = 0;
        require("the file can be filled",
                handle_ != INVALID_HANDLE_VALUE &&
                    WriteFile(handle_, bytes.data(), static_cast<DWORD>(size), &done, nullptr) &&
                    SetFilePointer(handle_, 0, nullptr, FILE_BEGIN) == 0);
#else
        char path[] = "/tmp/writewatch-conformance-XXXXXX";
        fd_ = mkstemp(path);
        require("a temporary file can be made", fd_ >= 0);
        unlink(path);
        require("the file can be filled",
                ::write(fd_, bytes.data(), size) == static_cast<ssize_t>(size) &&
                    lseek(fd_, 0, SEEK_SET) == 0);
#endif
    }
    File(const File&) = delete;
    File& operator=(const File&) = delete;
#ifdef _WIN32
    ~File()
    {
        CloseHandle(handle_);
    }
    HANDLE handle() const
    {
        return handle_;
    }
#else
    ~File()
    {
        close(fd_);
    }
#endif

    void read(void* buffer, std::size_t size, std::size_t expected) const
    {
#ifdef _WIN32
        DWORD got = 0;
        const bool ok = ReadFile(handle_, buffer, static_cast<DWORD>(size), &got, nullptr) != FALSE;
        require("ReadFile succeeds, got " + show(Error{GetLastError()}), ok);
        const std::size_t count = got;
#else
        const ssize_t got = ::read(fd_, buffer, size);
        require(std::string("read(2) succeeds, got ") + std::strerror(errno), got >= 0);
        const auto count = static_cast<std::size_t>(got);
#endif
        require("the read returns as many bytes as the file has",
                check_equal("bytes read", count, expected));
    }

  private:
#ifdef _WIN32
    HANDLE handle_;
#else
    int fd_;
#endif
};

} // namespace

RULE(files, read_marks_the_pages_it_fills, source)
{
    const File file(3 * page_size);
    Region region(8);
    file.read(region.page(2), 3 * page_size, 3 * page_size);
    check_equal("pages returned", region.take(), Pages{2, 3, 4});
    check_equal("pages reported afterwards", region.written(), Pages{});
}

RULE(files, read_marks_pages_that_were_reset, source)
{
    const File file(3 * page_size);
    Region region(8);
    region.write_all();
    region.reset();
    file.read(region.page(2), 3 * page_size, 3 * page_size);
    check_equal("pages reported", region.written(), Pages{2, 3, 4});
}

RULE(files, read_into_part_of_two_pages, source)
{
    const File file(100);
    Region region(8);
    file.read(region.page(3, page_size - 50), 100, 100);
    check_equal("pages reported", region.written(), Pages{3, 4});
}

RULE(files, read_into_pages_half_of_them_dirty, source)
{
    const File file(8 * page_size);
    Region region(8);
    region.write_all();
    region.reset();
    region.write(Pages{0, 2, 4, 6});
    file.read(region.base(), 8 * page_size, 8 * page_size);
    check_equal("pages reported", region.written(), every(1, 8));
}

#ifdef _WIN32

RULE(files, write_from_watched_memory_is_not_a_write, "Microsoft Learn: WriteFile")
{
    const File file(1);
    Region region(8);
    region.write_all();
    region.reset();
    DWORD done = 0;
    require("WriteFile succeeds",
            WriteFile(file.handle(), region.base(), static_cast<DWORD>(region.size()), &done,
                      nullptr) != 0);
    check_equal("pages reported", region.written(), Pages{});
}

RULE(files, short_read_marks_the_whole_buffer, source)
{
    const File file(10);
    Region region(8);
    file.read(region.page(2), 4 * page_size, 10);
    check_equal("pages reported", region.written(), Pages{2, 3, 4, 5});
}

RULE(files, read_at_the_end_marks_the_whole_buffer, source)
{
    const File file(10);
    char bytes[10];
    file.read(bytes, sizeof bytes, 10);
    Region region(8);
    file.read(region.page(2), 4 * page_size, 0);
    check_equal("pages reported", region.written(), Pages{2, 3, 4, 5});
}

RULE(files, invalid_handle_marks_nothing, source)
{
    Region region(8);
    DWORD got = 0;
    SetLastError(ERROR_SUCCESS);
    check("the read fails", ReadFile(reinterpret_cast<HANDLE>(std::uintptr_t{0x7ffffffc}),
                                     region.base(), page_size, &got, nullptr) == FALSE);
    check_equal("last error", Error{GetLastError()}, Error{ERROR_INVALID_HANDLE});
    check_equal("pages reported", region.written(), Pages{});
}

namespace {

/// A byte pipe whose reading end is overlapped.
class Pipe {
  public:
    Pipe()
    {
        static unsigned number = 0;
        const std::string name = "\\\\.\\pipe\\writewatch-conformance-" +
                                 std::to_string(GetCurrentProcessId()) + "-" +
                                 std::to_string(++number);
        reader = CreateNamedPipeA(name.c_str(), PIPE_ACCESS_INBOUND | FILE_FLAG_OVERLAPPED,
                                  PIPE_TYPE_BYTE | PIPE_WAIT, 1, 65536, 65536, 0, nullptr);
        writer = CreateFileA(name.c_str(), GENERIC_WRITE, 0, nullptr, OPEN_EXISTING, 0, nullptr);
        event = CreateEventA(nullptr, TRUE, FALSE, nullptr);
        require("a pipe can be made", reader != INVALID_HANDLE_VALUE &&
                                          writer != INVALID_HANDLE_VALUE && event != nullptr);
    }
    Pipe(const Pipe&) = delete;
    Pipe& operator=(const Pipe&) = delete;
    ~Pipe()
    {
        CancelIo(reader);
        CloseHandle(writer);
        CloseHandle(reader);
        CloseHandle(event);
    }

    void write(std::size_t size) const
    {
        const std::vector<char> bytes(size, 'x');
        DWORD done = 0;
        require("the pipe takes bytes",
                WriteFile(writer, bytes.data(), static_cast<DWORD>(size), &done, nullptr) != 0 &&
                    done == size);
    }

    HANDLE reader = INVALID_HANDLE_VALUE;
    HANDLE writer = INVALID_HANDLE_VALUE;
    HANDLE event = nullptr;
};

} // namespace

RULE(files, pending_read_marks_the_whole_buffer_at_submission, source)
{
    Pipe pipe;
    Region region(8);
    OVERLAPPED overlapped{};
    overlapped.hEvent = pipe.event;
    require("the read is pending",
            !ReadFile(pipe.reader, region.page(2), 4 * page_size, nullptr, &overlapped) &&
                GetLastError() == ERROR_IO_PENDING);
    check_equal("pages returned at submission", region.take(), Pages{2, 3, 4, 5});
    check_equal("pages reported while pending", region.written(), Pages{});
    pipe.write(100);
    DWORD got = 0;
    require("the read ends", GetOverlappedResult(pipe.reader, &overlapped, &got, TRUE) != 0);
    check_equal("bytes read", std::size_t{got}, std::size_t{100});
    check_equal("pages reported at completion", region.written(), Pages{2});
}

RULE(files, overlapped_structure_is_written, source)
{
    Pipe pipe;
    Region region(8);
    auto* const overlapped = reinterpret_cast<OVERLAPPED*>(region.page(5));
    *overlapped = {};
    overlapped->hEvent = pipe.event;
    region.reset();
    std::vector<char> buffer(100);
    require("the read is pending",
            !ReadFile(pipe.reader, buffer.data(), 100, nullptr, overlapped) &&
                GetLastError() == ERROR_IO_PENDING);
    pipe.write(100);
    DWORD got = 0;
    require("the read ends", GetOverlappedResult(pipe.reader, overlapped, &got, TRUE) != 0);
    check_equal("pages reported", region.written(), Pages{5});
}

RULE(files, byte_count_is_written, "Microsoft Learn: ReadFile")
{
    const File file(10);
    Region region(8);
    char bytes[10];
    auto* const count = reinterpret_cast<DWORD*>(region.page(6));
    require("ReadFile succeeds",
            ReadFile(file.handle(), bytes, sizeof bytes, count, nullptr) != FALSE);
    check_equal("pages reported", region.written(), Pages{6});
    check_equal("bytes read", std::size_t{*count}, std::size_t{10});
}

#else

RULE(files, write_from_watched_memory_is_not_a_write, "Microsoft Learn: WriteFile")
{
    int ends[2];
    require("a pipe can be made", pipe(ends) == 0);
    Region region(8);
    region.write_all();
    region.reset();
    const ssize_t done = ::write(ends[1], region.base(), region.size());
    close(ends[0]);
    close(ends[1]);
    check_equal("bytes written", static_cast<std::size_t>(done), region.size());
    check_equal("pages reported", region.written(), Pages{});
}

namespace {
constexpr char no_handles[] = "ReadFile's own behaviour; natively there is only read(2)";
}
NOT_APPLICABLE(files, short_read_marks_the_whole_buffer, no_handles)
NOT_APPLICABLE(files, read_at_the_end_marks_the_whole_buffer, no_handles)
NOT_APPLICABLE(files, invalid_handle_marks_nothing, no_handles)
NOT_APPLICABLE(files, pending_read_marks_the_whole_buffer_at_submission, no_handles)
NOT_APPLICABLE(files, overlapped_structure_is_written, no_handles)
NOT_APPLICABLE(files, byte_count_is_written, no_handles)

#endif
