// ControlListener of join.h.
#include <arpa/inet.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netdb.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <memory>
#include <system_error>

#include "core/control/join.h"
#include "kernels/common/check.h"

namespace cuclip {
namespace {

/// A socket that listens; none, and errno, where it cannot. Port 0: any.
Descriptor listen_at(ControlListener::Reach reach, bool ipv6, int port) {
  Descriptor socket(::socket(ipv6 ? AF_INET6 : AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!socket) return socket;
  const int on = 1, off = 0;
  ::setsockopt(socket.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  int bound = 0;
  const auto network_port = htons(static_cast<uint16_t>(port));
  if (ipv6) {
    ::setsockopt(socket.get(), IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof off);  // IPv4 too
    sockaddr_in6 address{};
    address.sin6_family = AF_INET6;
    address.sin6_port = network_port;
    address.sin6_addr = in6addr_any;
    bound = ::bind(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address);
  } else {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = network_port;
    address.sin_addr.s_addr =
        htonl(reach == ControlListener::Reach::this_machine ? INADDR_LOOPBACK : INADDR_ANY);
    bound = ::bind(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address);
  }
  if (bound != 0 || ::listen(socket.get(), SOMAXCONN) != 0) return Descriptor();
  return socket;
}

Descriptor listen_at(ControlListener::Reach reach, int port) {
  if (reach == ControlListener::Reach::network) {
    Descriptor both = listen_at(reach, true, port);
    if (both || errno == EADDRINUSE) return both;
  }
  return listen_at(reach, false, port);
}

std::string reason() { return std::generic_category().message(errno); }

}  // namespace

ControlListener::ControlListener(Reach reach) : reach_(reach), socket_(listen_at(reach, 0)) {
  if (!socket_) fail("the ranks' control channel: rank 0 cannot listen on any port: {}", reason());
}

ControlListener::ControlListener(int first_port, int ports) : reach_(Reach::network) {
  for (int i = 0; i < ports && !socket_; ++i) socket_ = listen_at(reach_, first_port + i);
  if (!socket_) {
    fail("the ranks' control channel: rank 0 cannot listen on any port from {} to {}: {}", first_port,
         first_port + ports - 1, reason());
  }
}

int ControlListener::port() const {
  sockaddr_storage address{};
  socklen_t size = sizeof address;
  if (::getsockname(fd(), reinterpret_cast<sockaddr*>(&address), &size) != 0) {
    fail("the ranks' control channel: getsockname: {}", reason());
  }
  return ntohs(address.ss_family == AF_INET6 ? reinterpret_cast<const sockaddr_in6&>(address).sin6_port
                                             : reinterpret_cast<const sockaddr_in&>(address).sin_port);
}

std::vector<std::string> ControlListener::hosts() const {
  std::vector<std::string> hosts, ipv6;
  ifaddrs* interfaces = nullptr;
  if (reach_ == Reach::network && ::getifaddrs(&interfaces) == 0) {
    const std::unique_ptr<ifaddrs, void (*)(ifaddrs*)> owner(interfaces, ::freeifaddrs);
    for (const ifaddrs* i = interfaces; i != nullptr; i = i->ifa_next) {
      if (i->ifa_addr == nullptr || (i->ifa_flags & IFF_UP) == 0 || (i->ifa_flags & IFF_LOOPBACK) != 0)
        continue;
      const int family = i->ifa_addr->sa_family;
      if (family != AF_INET && family != AF_INET6) continue;
      char text[NI_MAXHOST];
      const socklen_t size = family == AF_INET ? sizeof(sockaddr_in) : sizeof(sockaddr_in6);
      if (::getnameinfo(i->ifa_addr, size, text, sizeof text, nullptr, 0, NI_NUMERICHOST) != 0) continue;
      // Addresses of one cable alone (fe80::...%eth0) mean nothing elsewhere.
      if (std::string_view(text).find('%') == std::string_view::npos)
        (family == AF_INET ? hosts : ipv6).push_back(text);
    }
  }
  hosts.insert(hosts.end(), ipv6.begin(), ipv6.end());
  hosts.push_back("127.0.0.1");  // where there is no network, for ranks of one machine
  return hosts;
}

}  // namespace cuclip
