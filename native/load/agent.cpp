#include "agent.hpp"

#include <algorithm>

namespace load {

using namespace plane;

namespace {

constexpr std::uint32_t priority = 0x6E7F1EFF;  // of a peer-reflexive host candidate, RFC 8445 section 5.1.2

}  // namespace

Agent::Agent(AgentConfig config, Instant now)
    : config_{std::move(config)}, random_{config_.seed}, give_up_{now + give_up}, due_{now} {
    const std::size_t count = std::min(config_.candidates.size(), max_candidates);
    for (std::size_t i = 0; i < count; ++i) {
        checks_.push_back({.to = config_.candidates[i], .due = now + pace * static_cast<int>(i)});
    }
    failed_ = checks_.empty();
    plan();
}

Agent::Output Agent::advance(Instant now, MutableBytes out) {
    if (failed_) return {};
    if (now >= (selected_ ? consent_until_ : give_up_)) {
        failed_ = true;
        plan();
        return {};
    }
    if (nominating_) {
        Check& check = checks_[*nominating_];
        return now < check.due ? Output{} : send(check, now, out, !selected_);
    }
    for (Check& check : checks_) {
        if (now >= check.due) return send(check, now, out, false);
    }
    return {};
}

Agent::Output Agent::receive(Instant now, const Endpoint& from, Bytes datagram, MutableBytes out) {
    if (const auto request = stun::parse_request(datagram)) {
        if (request->local_ufrag != config_.local_ufrag || !stun::authentic(datagram, *request, config_.local_password)) return {};
        return {stun::write_success(out, request->transaction, from, config_.local_password), from};
    }
    const auto response = stun::parse_response(datagram);
    if (!response || failed_) return {};
    const auto check = std::find_if(checks_.begin(), checks_.end(), [&](const Check& each) {
        // RFC 8445 section 7.2.5.2.1: the answer comes from where the check went.
        return each.sent && each.transaction == response->transaction && each.to == from;
    });
    if (check == checks_.end() || !stun::authentic(datagram, *response, config_.remote_password)) return {};
    if (!response->success) return {};  // a refused check is repeated until time is up
    check->sent = false;
    if (!nominating_) {
        nominating_ = static_cast<std::size_t>(check - checks_.begin());
        check->due = now;
        check->timeout = first_timeout;
    } else if (&checks_[*nominating_] == &*check) {
        selected_ = check->to;
        consent_until_ = now + consent_lifetime;
        check->timeout = first_timeout;
        // RFC 7675 section 5.1: every 5 s, more or less by a fifth.
        check->due = now + std::chrono::duration_cast<Duration>(std::chrono::duration<double>{4.0 + 2.0 * random_.share()});
    }
    plan();
    return {};
}

Agent::Output Agent::send(Check& check, Instant now, MutableBytes out, bool nominate) {
    // A repetition is the same transaction, so that an answer to any of them counts.
    if (!check.sent) {
        store64(check.transaction.data(), random_.bits());
        store32(check.transaction.data() + 8, static_cast<std::uint32_t>(random_.bits()));
    }
    check.sent = true;
    check.due = now + check.timeout;
    check.timeout = std::min<Duration>(check.timeout * 2, seconds{2});
    plan();
    const std::string user = config_.remote_ufrag + ":" + config_.local_ufrag;
    return {stun::write_request(out, check.transaction, user, config_.remote_password, priority, nominate, config_.seed), check.to};
}

void Agent::plan() noexcept {
    if (failed_) {
        due_ = Instant::max();
        return;
    }
    due_ = selected_ ? consent_until_ : give_up_;
    if (nominating_) {
        due_ = std::min(due_, checks_[*nominating_].due);
    } else {
        for (const Check& check : checks_) due_ = std::min(due_, check.due);
    }
}

}  // namespace load
