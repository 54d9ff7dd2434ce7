// SPDX-License-Identifier: LGPL-2.1-or-later
// Receives from sockets. Windows marks the buffer when the receive is submitted (Windows 11 not
// even then) and does not report the copy that follows; Linux reports the copy
// (docs/deviations.md). So what is asked everywhere is that nothing outside the buffer is marked,
// and outside Windows that no byte is missed.
#include "conformance.h"

#ifdef _WIN32
#include <winsock2.h>
#include <ws2tcpip.h>
#else
#include <cerrno>
#include <cstring>
#include <sys/socket.h>
#include <unistd.h>
#endif

#include "memory.h"

#include <algorithm>
#include <string>
#include <vector>

using namespace conformance;

namespace {

#ifdef _WIN32

/// Two connected TCP sockets on the loopback interface.
class Sockets {
  public:
    Sockets()
    {
        WSADATA data;
        if (WSAStartup(MAKEWORD(2, 2), &data) != 0)
            skip("WSAStartup fails");
        const SOCKET listener = socket(AF_INET, SOCK_STREAM, 0);
        sockaddr_in address{};
        address.sin_family = AF_INET;
        address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        int size = sizeof address;
        auto* const name = reinterpret_cast<sockaddr*>(&address);
        if (listener != INVALID_SOCKET && bind(listener, name, size) == 0 &&
            getsockname(listener, name, &size) == 0 && listen(listener, 1) == 0) {
            sender_ = socket(AF_INET, SOCK_STREAM, 0);
            if (connect(sender_, name, size) == 0)
                receiver_ = accept(listener, nullptr, nullptr);
        }
        closesocket(listener);
        if (receiver_ == INVALID_SOCKET)
            skip("no TCP on the loopback interface: error " + std::to_string(WSAGetLastError()));
    }
    ~Sockets()
    {
        closesocket(sender_);
        closesocket(receiver_);
        WSACleanup();
    }
    SOCKET receiver() const { return receiver_; }

    void send_bytes(std::size_t size) const
    {
        const std::vector<char> bytes(size, 'x');
        require("the bytes are sent",
                send(sender_, bytes.data(), static_cast<int>(size), 0) == static_cast<int>(size));
    }

    void receive(void* buffer, std::size_t size, std::size_t expected) const
    {
        const int got = recv(receiver_, static_cast<char*>(buffer), static_cast<int>(size), 0);
        require("recv returns what was sent, got " + std::to_string(got),
                got == static_cast<int>(expected));
    }

  private:
    SOCKET sender_ = INVALID_SOCKET;
    SOCKET receiver_ = INVALID_SOCKET;
};

#else

class Sockets {
  public:
    Sockets()
    {
        require("a socket pair can be made", socketpair(AF_UNIX, SOCK_STREAM, 0, fds_) == 0);
    }
    ~Sockets()
    {
        close(fds_[0]);
        close(fds_[1]);
    }

    void send_bytes(std::size_t size) const
    {
        const std::vector<char> bytes(size, 'x');
        require("the bytes are sent",
                send(fds_[0], bytes.data(), size, 0) == static_cast<ssize_t>(size));
    }

    void receive(void* buffer, std::size_t size, std::size_t expected) const
    {
        const ssize_t got = recv(fds_[1], buffer, size, 0);
        require("recv returns what was sent, got " +
                    (got < 0 ? std::string(std::strerror(errno)) : std::to_string(got)),
                got == static_cast<ssize_t>(expected));
    }

  private:
    int fds_[2];
};

#endif

void check_within(const Pages& pages, std::size_t first, std::size_t count)
{
    check("only pages of the buffer are reported, got " + show(pages),
          std::all_of(pages.begin(), pages.end(),
                      [=](std::size_t page) { return page >= first && page < first + count; }));
}

} // namespace

RULE(sockets, receive_marks_nothing_outside_its_buffer, "observed: Wine's tests")
{
    const Sockets sockets;
    Region region(8);
    sockets.send_bytes(100);
    sockets.receive(region.page(2), 2 * page_size, 100);
    check_within(region.written(), 2, 2);
}

RULE(sockets, received_page_is_reported, "contract 1: recv is a write")
{
    if (platform() == Platform::windows)
        not_applicable("Windows does not report what a receive copies");
    const Sockets sockets;
    Region region(8);
    region.write_all();
    region.reset();
    sockets.send_bytes(100);
    sockets.receive(region.page(2), 100, 100);
    check_equal("pages reported", region.written(), Pages{2});
}

#ifdef _WIN32

RULE(sockets, pending_receive_is_reported_when_it_completes, "contract 1: recv is a write")
{
    const Sockets sockets;
    Region region(8);
    WSAOVERLAPPED overlapped{};
    overlapped.hEvent = WSACreateEvent();
    WSABUF buffer{2 * page_size, reinterpret_cast<char*>(region.page(2))};
    DWORD flags = 0;
    require("the receive is pending",
            WSARecv(sockets.receiver(), &buffer, 1, nullptr, &flags, &overlapped, nullptr) != 0 &&
                WSAGetLastError() == WSA_IO_PENDING);
    check_within(region.take(), 2, 2);
    sockets.send_bytes(100);
    DWORD got = 0;
    require("the receive ends",
            WSAGetOverlappedResult(sockets.receiver(), &overlapped, &got, TRUE, &flags) != FALSE);
    WSACloseEvent(overlapped.hEvent);
    const Pages pages = region.written();
    check_within(pages, 2, 2);
    if (platform() != Platform::windows)
        check("the page that was filled is reported",
              std::find(pages.begin(), pages.end(), std::size_t{2}) != pages.end());
}

#else

NOT_APPLICABLE(sockets, pending_receive_is_reported_when_it_completes,
               "overlapped receives are Windows'")

#endif
