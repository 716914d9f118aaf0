// The physical floor of how long a packet stays in a server: a program that does nothing but take it, open it, seal it for each
// listener and send it. Nothing of ours is used.
//
//   relay ADDRESS PORT_FILE
//
// PORT_FILE names the UDP ports of the listeners, one a line. Prints its own port, and then relays until its input ends or no
// packet has come for a minute: each datagram is decrypted with AES-128-GCM under one key, its payload is sealed under a key of each
// listener's, and goes out 64 to a sendmmsg, from an unconnected socket.
#include <arpa/inet.h>
#include <openssl/evp.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <vector>

namespace {

constexpr std::size_t batch = 64;
constexpr std::size_t header_size = 28;  // RTP with a CSRC, mid and audio level, as the server sends it
constexpr std::size_t tag_size = 16;
constexpr std::size_t largest = 1500;
constexpr int patience_ms = 60'000;

EVP_CIPHER_CTX* context(bool seals) {
    std::array<unsigned char, 16> key;
    for (unsigned char& byte : key) byte = static_cast<unsigned char>(std::rand());
    EVP_CIPHER_CTX* made = EVP_CIPHER_CTX_new();
    EVP_CipherInit_ex(made, EVP_aes_128_gcm(), nullptr, key.data(), nullptr, seals ? 1 : 0);
    return made;
}

struct Sink {
    sockaddr_in address{};
    EVP_CIPHER_CTX* cipher = context(true);
};

}  // namespace

int main(int argc, char** argv) {
    if (argc != 3) return std::fprintf(stderr, "usage: relay ADDRESS PORT_FILE\n"), 2;
    std::vector<Sink> sinks;
    std::ifstream ports{argv[2]};
    for (unsigned port; ports >> port;) {
        Sink& sink = sinks.emplace_back();
        sink.address.sin_family = AF_INET;
        sink.address.sin_port = htons(static_cast<std::uint16_t>(port));
        inet_pton(AF_INET, argv[1], &sink.address.sin_addr);
    }
    const int fd = socket(AF_INET, SOCK_DGRAM, 0);
    const int buffer = 4 << 20;
    setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &buffer, sizeof buffer);
    sockaddr_in own{};
    own.sin_family = AF_INET;
    inet_pton(AF_INET, argv[1], &own.sin_addr);
    socklen_t own_size = sizeof own;
    if (bind(fd, reinterpret_cast<sockaddr*>(&own), sizeof own) != 0) return std::perror("bind"), 1;
    getsockname(fd, reinterpret_cast<sockaddr*>(&own), &own_size);
    std::printf("%u\n", ntohs(own.sin_port));
    std::fflush(stdout);

    EVP_CIPHER_CTX* opener = context(false);
    std::array<unsigned char, largest> in, plain;
    std::vector<unsigned char> space(batch * (largest + header_size + tag_size));
    std::array<iovec, batch> vectors;
    std::array<mmsghdr, batch> messages{};
    for (std::size_t i = 0; i < batch; ++i) {
        messages[i].msg_hdr.msg_iov = &vectors[i];
        messages[i].msg_hdr.msg_iovlen = 1;
        messages[i].msg_hdr.msg_namelen = sizeof(sockaddr_in);
    }
    for (unsigned n = 0;; ++n) {
        std::array<pollfd, 2> ready{pollfd{fd, POLLIN, 0}, pollfd{STDIN_FILENO, POLLIN, 0}};
        if (poll(ready.data(), ready.size(), patience_ms) <= 0 || ready[1].revents != 0) return 0;
        const ssize_t got = recv(fd, in.data(), in.size(), 0);
        if (got <= static_cast<ssize_t>(header_size + tag_size)) continue;
        const std::size_t payload_size = static_cast<std::size_t>(got) - header_size - tag_size;
        std::array<unsigned char, 12> iv{0, 0, 0, 0, 0, 1, 0, 0, 0, 0, static_cast<unsigned char>(n >> 8), static_cast<unsigned char>(n)};
        int written;
        // It does not authenticate, as the sender knows no key; it costs the same.
        EVP_DecryptInit_ex(opener, nullptr, nullptr, nullptr, iv.data());
        EVP_DecryptUpdate(opener, nullptr, &written, in.data(), header_size);
        EVP_DecryptUpdate(opener, plain.data(), &written, in.data() + header_size, static_cast<int>(payload_size));
        EVP_CIPHER_CTX_ctrl(opener, EVP_CTRL_AEAD_SET_TAG, tag_size, in.data() + header_size + payload_size);
        EVP_DecryptFinal_ex(opener, plain.data() + payload_size, &written);
        const std::size_t size = header_size + payload_size + tag_size;
        for (std::size_t first = 0; first < sinks.size(); first += batch) {
            const std::size_t count = std::min(batch, sinks.size() - first);
            for (std::size_t i = 0; i < count; ++i) {
                Sink& sink = sinks[first + i];
                unsigned char* out = space.data() + i * size;
                std::memcpy(out, in.data(), header_size);
                EVP_EncryptInit_ex(sink.cipher, nullptr, nullptr, nullptr, iv.data());
                EVP_EncryptUpdate(sink.cipher, nullptr, &written, out, header_size);
                // What came is passed on, whatever it says: the number by which the sender knows it.
                EVP_EncryptUpdate(sink.cipher, out + header_size, &written, plain.data(), static_cast<int>(payload_size));
                EVP_EncryptFinal_ex(sink.cipher, out + header_size + payload_size, &written);
                EVP_CIPHER_CTX_ctrl(sink.cipher, EVP_CTRL_AEAD_GET_TAG, tag_size, out + header_size + payload_size);
                vectors[i] = {out, size};
                messages[i].msg_hdr.msg_name = &sink.address;
            }
            for (std::size_t done = 0; done < count;) {
                const int sent = sendmmsg(fd, messages.data() + done, static_cast<unsigned>(count - done), 0);
                if (sent < 0) return std::perror("sendmmsg"), 1;
                done += static_cast<std::size_t>(sent);
            }
        }
    }
}
