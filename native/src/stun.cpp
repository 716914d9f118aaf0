#include "stun.hpp"

#include <openssl/crypto.h>

#include <algorithm>

#include "hmac_sha1.hpp"

namespace plane::stun {
namespace {

constexpr std::size_t header_size = 20;
constexpr std::size_t attribute_header_size = 4;
constexpr std::size_t integrity_size = 20;
constexpr std::size_t fingerprint_size = 4;
constexpr std::uint32_t magic_cookie = 0x2112A442;
constexpr std::uint32_t fingerprint_mask = 0x5354554E;  // "STUN", RFC 8489 section 14.7

constexpr std::uint16_t binding_request = 0x0001;
constexpr std::uint16_t binding_success = 0x0101;
constexpr std::uint16_t binding_error = 0x0111;

enum Attribute : std::uint16_t {
    mapped_address = 0x0001,
    username = 0x0006,
    message_integrity = 0x0008,
    error_code = 0x0009,
    unknown_attributes = 0x000A,
    realm = 0x0014,
    nonce = 0x0015,
    xor_mapped_address = 0x0020,
    priority = 0x0024,
    use_candidate = 0x0025,
    first_comprehension_optional = 0x8000,
    fingerprint = 0x8028,
    ice_controlled = 0x8029,
    ice_controlling = 0x802A,
};

constexpr std::array<std::uint32_t, 256> crc_table = [] {
    std::array<std::uint32_t, 256> table{};
    for (std::uint32_t byte = 0; byte < 256; ++byte) {
        std::uint32_t crc = byte;
        for (int bit = 0; bit < 8; ++bit) crc = crc >> 1 ^ (crc & 1 ? 0xEDB88320 : 0);
        table[byte] = crc;
    }
    return table;
}();

// The CRC-32 of ITU V.42.
std::uint32_t crc32(Bytes bytes) noexcept {
    std::uint32_t crc = 0xFFFFFFFF;
    for (std::uint8_t byte : bytes) crc = crc >> 8 ^ crc_table[(crc ^ byte) & 0xFF];
    return ~crc;
}

std::size_t padded(std::size_t size) noexcept { return (size + 3) & ~std::size_t{3}; }

HmacSha1 integrity_key(std::string_view password) noexcept {
    return HmacSha1({reinterpret_cast<const std::uint8_t*>(password.data()), password.size()});
}

// RFC 8489 section 14.5: the MAC covers the message up to the attribute, with the length field as if it ended with it.
HmacSha1::Digest integrity(Bytes datagram, std::size_t offset, std::string_view password) noexcept {
    std::array<std::uint8_t, header_size> header;
    std::copy_n(datagram.begin(), header_size, header.begin());
    store16(&header[2],
            static_cast<std::uint16_t>(offset - header_size + attribute_header_size + integrity_size));
    return integrity_key(password).mac(header, datagram.subspan(header_size, offset - header_size));
}

// Takes one attribute in front of MESSAGE-INTEGRITY into the request; false when its length is wrong.
bool take(Request& request, std::uint16_t type, Bytes value) noexcept {
    switch (type) {
    case username: {
        if (request.username.data() != nullptr) return true;  // of duplicates the first counts (section 14)
        request.username = {reinterpret_cast<const char*>(value.data()), value.size()};
        const std::size_t colon = request.username.find(':');
        request.local_ufrag = request.username.substr(0, colon);
        return colon != std::string_view::npos;
    }
    case priority:
        if (value.size() != 4) return false;
        request.priority = load32(value.data());
        return true;
    case use_candidate:
        request.use_candidate = true;
        return value.empty();
    case ice_controlled:
        request.controlled = true;
        return value.size() == 8;
    case ice_controlling:
        return value.size() == 8;
    case mapped_address:
    case error_code:
    case unknown_attributes:
    case realm:
    case nonce:
    case xor_mapped_address:
        return true;  // understood, but out of place in a request: passed over (section 6.3)
    default:
        if (type < first_comprehension_optional && request.unknown_attribute == 0) request.unknown_attribute = type;
        return true;
    }
}

// Builds a message attribute by attribute.
class Writer {
public:
    Writer(MutableBytes out, std::uint16_t type, const Transaction& transaction) noexcept : out_(out) {
        if (out_.size() < header_size) {
            fits_ = false;
            return;
        }
        store16(out_.data(), type);
        store32(out_.data() + 4, magic_cookie);
        std::copy(transaction.begin(), transaction.end(), out_.begin() + 8);
    }

    void attribute(std::uint16_t type, Bytes value) noexcept {
        const std::size_t total = attribute_header_size + padded(value.size());
        if (!fits_ || value.size() > 0xFFFF || out_.size() - size_ < total) {
            fits_ = false;
            return;
        }
        const MutableBytes target = out_.subspan(size_, total);
        store16(target.data(), type);
        store16(target.data() + 2, static_cast<std::uint16_t>(value.size()));
        const auto padding = std::copy(value.begin(), value.end(), target.begin() + attribute_header_size);
        std::fill(padding, target.end(), std::uint8_t{0});
        size_ += total;
    }

    void attribute(std::uint16_t type, std::string_view value) noexcept {
        attribute(type, Bytes{reinterpret_cast<const std::uint8_t*>(value.data()), value.size()});
    }

    // Appends MESSAGE-INTEGRITY when there is a password, then FINGERPRINT; the size of the message, 0 if it did not fit.
    std::size_t finish(std::string_view password) noexcept {
        if (!password.empty() && fits_) attribute(message_integrity, integrity(out_, size_, password));
        // The length that the CRC covers includes the FINGERPRINT itself.
        const std::size_t length = size_ - header_size + attribute_header_size + fingerprint_size;
        if (!fits_ || length > 0xFFFF) return 0;
        store16(out_.data() + 2, static_cast<std::uint16_t>(length));
        std::array<std::uint8_t, fingerprint_size> crc;
        store32(crc.data(), crc32(out_.first(size_)) ^ fingerprint_mask);
        attribute(fingerprint, crc);
        return fits_ ? size_ : 0;
    }

private:
    MutableBytes out_;
    std::size_t size_ = header_size;
    bool fits_ = true;
};

std::string_view reason(Error error) noexcept {
    switch (error) {
    case Error::bad_request: return "Bad Request";
    case Error::unauthorized: return "Unauthenticated";
    case Error::unknown_attribute: return "Unknown Attribute";
    case Error::role_conflict: return "Role Conflict";
    }
    return "";
}

}  // namespace

namespace {

// Whether this is a STUN message of a size that its header tells.
bool well_formed(Bytes datagram) noexcept {
    if (datagram.size() < header_size || datagram.size() % 4 != 0) return false;
    return load16(datagram.data() + 2) == datagram.size() - header_size && load32(datagram.data() + 4) == magic_cookie;
}

// Every attribute in front of MESSAGE-INTEGRITY goes to take(type, value), until it is false. Sets where the integrity is.
// False when an attribute's length is wrong, or FINGERPRINT is not there, not the last or not right.
template <class Take>
bool walk(Bytes datagram, std::size_t& integrity_offset, Take&& take_one) noexcept {
    bool fingerprinted = false;
    for (std::size_t offset = header_size; offset < datagram.size();) {
        if (fingerprinted) return false;  // nothing may follow it (section 14.7)
        const std::uint16_t type = load16(&datagram[offset]);
        const std::size_t length = load16(&datagram[offset + 2]);
        // All sizes are multiples of 4, so what holds the value also holds its padding.
        if (length > datagram.size() - offset - attribute_header_size) return false;
        const Bytes value = datagram.subspan(offset + attribute_header_size, length);

        if (type == fingerprint) {
            if (length != fingerprint_size) return false;
            if (load32(value.data()) != (crc32(datagram.first(offset)) ^ fingerprint_mask)) return false;
            fingerprinted = true;
        } else if (integrity_offset == 0) {
            if (type == message_integrity) {
                if (length != integrity_size) return false;
                integrity_offset = offset;
            } else if (!take_one(type, value)) {
                return false;
            }
        }
        offset += attribute_header_size + padded(length);
    }
    return fingerprinted;
}

bool authentic_at(Bytes datagram, std::size_t offset, std::string_view password) noexcept {
    if (password.empty()) return false;  // anybody can make the MAC of an empty key
    if (offset < header_size || datagram.size() < attribute_header_size + integrity_size) return false;
    if (offset > datagram.size() - attribute_header_size - integrity_size) return false;
    const HmacSha1::Digest expected = integrity(datagram, offset, password);
    return CRYPTO_memcmp(expected.data(), &datagram[offset + attribute_header_size], expected.size()) == 0;
}

}  // namespace

std::optional<Request> parse_request(Bytes datagram) noexcept {
    if (!well_formed(datagram) || load16(datagram.data()) != binding_request) return std::nullopt;
    Request request;
    std::copy_n(datagram.begin() + 8, request.transaction.size(), request.transaction.begin());
    const bool good = walk(datagram, request.integrity_offset,
                           [&](std::uint16_t type, Bytes value) { return take(request, type, value); });
    if (!good || request.username.data() == nullptr) return std::nullopt;
    return request;
}

std::optional<Response> parse_response(Bytes datagram) noexcept {
    if (!well_formed(datagram)) return std::nullopt;
    const std::uint16_t kind = load16(datagram.data());
    if (kind != binding_success && kind != binding_error) return std::nullopt;
    Response response;
    response.success = kind == binding_success;
    std::copy_n(datagram.begin() + 8, response.transaction.size(), response.transaction.begin());
    const bool good = walk(datagram, response.integrity_offset, [&](std::uint16_t type, Bytes value) {
        if (type != error_code) return true;
        if (value.size() < 4) return false;
        response.error = static_cast<std::uint16_t>((value[2] & 7) * 100 + value[3]);
        return true;
    });
    if (!good) return std::nullopt;
    return response;
}

bool authentic(Bytes datagram, const Request& request, std::string_view password) noexcept {
    return authentic_at(datagram, request.integrity_offset, password);
}

bool authentic(Bytes datagram, const Response& response, std::string_view password) noexcept {
    return authentic_at(datagram, response.integrity_offset, password);
}

std::size_t write_success(MutableBytes out, const Transaction& transaction, const Endpoint& mapped,
                          std::string_view password) noexcept {
    // RFC 8489 section 14.2: port and address are XORed with the magic cookie and, for IPv6, the transaction id.
    std::array<std::uint8_t, 16> mask;
    store32(mask.data(), magic_cookie);
    std::copy(transaction.begin(), transaction.end(), mask.begin() + 4);

    std::array<std::uint8_t, 4 + 16> value{};
    value[1] = mapped.is_ipv6() ? 0x02 : 0x01;
    store16(&value[2], mapped.port() ^ load16(mask.data()));
    const Bytes address = mapped.address();
    for (std::size_t i = 0; i < address.size(); ++i) value[4 + i] = address[i] ^ mask[i];

    Writer writer(out, binding_success, transaction);
    writer.attribute(xor_mapped_address, Bytes{value}.first(4 + address.size()));
    return writer.finish(password);
}

std::size_t write_error(MutableBytes out, const Request& request, Error error, std::string_view password) noexcept {
    const std::string_view phrase = reason(error);
    std::array<std::uint8_t, 4 + 32> value{};
    const auto code = static_cast<std::uint16_t>(error);
    value[2] = static_cast<std::uint8_t>(code / 100);
    value[3] = static_cast<std::uint8_t>(code % 100);
    std::copy(phrase.begin(), phrase.end(), value.begin() + 4);

    Writer writer(out, binding_error, request.transaction);
    writer.attribute(error_code, Bytes{value}.first(4 + phrase.size()));
    if (error == Error::unknown_attribute) {
        std::array<std::uint8_t, 2> unknown;
        store16(unknown.data(), request.unknown_attribute);
        writer.attribute(unknown_attributes, unknown);
    }
    return writer.finish(password);
}

std::size_t write_request(MutableBytes out, const Transaction& transaction, std::string_view user,
                          std::string_view password, std::uint32_t candidate_priority, bool nominate,
                          std::uint64_t tie_breaker) noexcept {
    std::array<std::uint8_t, 4> priority_value;
    store32(priority_value.data(), candidate_priority);
    std::array<std::uint8_t, 8> role;
    store64(role.data(), tie_breaker);

    Writer writer(out, binding_request, transaction);
    writer.attribute(username, user);
    writer.attribute(ice_controlling, role);
    writer.attribute(priority, priority_value);
    if (nominate) writer.attribute(use_candidate, Bytes{});
    return writer.finish(password);
}

}  // namespace plane::stun
