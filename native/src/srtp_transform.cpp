#include "srtp_transform.hpp"

namespace plane::srtp {

std::unique_ptr<Transform> make_transform(Profile profile, Direction direction, const SessionKeys& keys) {
    switch (profile) {
    case Profile::aes128_cm_sha1_80: return make_counter_mode(keys);
    case Profile::aead_aes_128_gcm:
    case Profile::aead_aes_256_gcm: return make_gcm(profile, direction, keys);
    }
    throw std::invalid_argument("srtp: unknown profile");
}

}  // namespace plane::srtp
