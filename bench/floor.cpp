// The physical floor of forwarding one packet: seal it with OpenSSL, hand it to the kernel. Nothing else is done, and
// nothing of ours is used: what a server adds to this is its own cost.
//
//   floor ADDRESS PORT_FILE PACKETS PAYLOAD_BYTES [INTERVAL_US]
//
// PORT_FILE names the UDP ports of the sinks, one a line. PACKETS times a packet goes to every sink, each sealed under a
// key of its own with AES-128-GCM (one prepared EVP context per sink), 64 to a sendmmsg, from an unconnected socket.
// They follow each other at once, or every INTERVAL_US, which is then slept. Prints CPU seconds of the thread and datagrams sent.
#include <arpa/inet.h>
#include <openssl/evp.h>
#include <sys/socket.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <fstream>
#include <vector>

namespace {

constexpr std::size_t batch = 64;
constexpr std::size_t header_size = 28;  // RTP with a CSRC, mid and audio level, as the server sends it
constexpr std::size_t tag_size = 16;

double cpu_seconds() {
    timespec t{};
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_nsec) * 1e-9;
}

struct Sink {
    sockaddr_in address{};
    EVP_CIPHER_CTX* cipher = nullptr;
};

}  // namespace

int main(int argc, char** argv) {
    if (argc != 5 && argc != 6) return std::fprintf(stderr, "usage: floor ADDRESS PORT_FILE PACKETS PAYLOAD_BYTES [INTERVAL_US]\n"), 2;
    const long interval_ns = argc == 6 ? std::atol(argv[5]) * 1000 : 0;
    const int packets = std::atoi(argv[3]);
    const auto payload_size = static_cast<std::size_t>(std::atoi(argv[4]));

    std::vector<Sink> sinks;
    std::ifstream ports{argv[2]};
    for (unsigned port; ports >> port;) {
        Sink sink;
        sink.address.sin_family = AF_INET;
        sink.address.sin_port = htons(static_cast<std::uint16_t>(port));
        inet_pton(AF_INET, argv[1], &sink.address.sin_addr);
        unsigned char key[16];
        for (unsigned char& byte : key) byte = static_cast<unsigned char>(std::rand());
        sink.cipher = EVP_CIPHER_CTX_new();
        EVP_EncryptInit_ex(sink.cipher, EVP_aes_128_gcm(), nullptr, key, nullptr);
        sinks.push_back(sink);
    }
    const int fd = socket(AF_INET, SOCK_DGRAM, 0);
    const int buffer = 4 << 20;
    setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &buffer, sizeof buffer);

    const std::vector<unsigned char> payload(payload_size, 0x55);
    const std::size_t size = header_size + payload_size + tag_size;
    std::vector<unsigned char> space(batch * size);
    std::vector<iovec> vectors(batch);
    std::vector<mmsghdr> messages(batch);
    for (std::size_t i = 0; i < batch; ++i) {
        vectors[i] = {space.data() + i * size, size};
        messages[i].msg_hdr.msg_iov = &vectors[i];
        messages[i].msg_hdr.msg_iovlen = 1;
        messages[i].msg_hdr.msg_namelen = sizeof(sockaddr_in);
    }

    unsigned long sent = 0;
    timespec due{};
    clock_gettime(CLOCK_MONOTONIC, &due);
    const double before = cpu_seconds();
    for (int n = 0; n < packets; ++n) {
        if (interval_ns != 0) {
            due.tv_nsec += interval_ns;
            for (; due.tv_nsec >= 1'000'000'000; ++due.tv_sec) due.tv_nsec -= 1'000'000'000;
            clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &due, nullptr);
        }
        unsigned char iv[12] = {0, 0, 0, 0, 0, 1, 0, 0, 0, 0, static_cast<unsigned char>(n >> 8), static_cast<unsigned char>(n)};
        for (std::size_t first = 0; first < sinks.size(); first += batch) {
            const std::size_t count = std::min(batch, sinks.size() - first);
            for (std::size_t i = 0; i < count; ++i) {
                Sink& sink = sinks[first + i];
                unsigned char* out = space.data() + i * size;
                int written;
                std::memset(out, 0x90, header_size);
                EVP_EncryptInit_ex(sink.cipher, nullptr, nullptr, nullptr, iv);
                EVP_EncryptUpdate(sink.cipher, nullptr, &written, out, header_size);
                EVP_EncryptUpdate(sink.cipher, out + header_size, &written, payload.data(), static_cast<int>(payload_size));
                EVP_EncryptFinal_ex(sink.cipher, out + header_size + payload_size, &written);
                EVP_CIPHER_CTX_ctrl(sink.cipher, EVP_CTRL_AEAD_GET_TAG, tag_size, out + header_size + payload_size);
                messages[i].msg_hdr.msg_name = &sink.address;
            }
            const int done = sendmmsg(fd, messages.data(), static_cast<unsigned>(count), 0);
            if (done < 0) return std::perror("sendmmsg"), 1;
            sent += static_cast<unsigned long>(done);
        }
    }
    std::printf("%.9f %lu\n", cpu_seconds() - before, sent);
}
