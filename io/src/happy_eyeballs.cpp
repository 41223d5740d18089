#include "happy_eyeballs.hpp"

#include "error_text.hpp"
#include "name_text.hpp"

#include <weft/runtime/task_group.hpp>
#include <weft/runtime/timeout.hpp>
#include <weft/sync/channel.hpp>
#include <weft/sync/select.hpp>

#include <algorithm>
#include <cstddef>
#include <exception>
#include <optional>
#include <string>
#include <utility>

namespace weft::inline v0::io {

namespace {

/// How an attempt ended.
struct attempt_end {
  std::size_t which;
  tcp_stream connected;
  std::error_code why_not;
  std::exception_ptr thrown;
};

attempt_end attempt_connection(std::vector<endpoint> const& to, std::size_t which) {
  attempt_end end{which, {}, {}, {}};
  try {
    end.connected = tcp_stream::connect(to[which], end.why_not);
  } catch (cancelled const&) {
    throw;  // nobody waits for it any more
  } catch (...) {
    end.thrown = std::current_exception();
  }
  return end;
}

}  // namespace

std::vector<endpoint> interleaved(std::vector<endpoint> const& found) {
  std::vector<endpoint> same;
  std::vector<endpoint> other;
  for (auto const& one : found) {
    (one.address().is_v4() == found.front().address().is_v4() ? same : other).push_back(one);
  }
  std::vector<endpoint> mixed;
  mixed.reserve(found.size());
  for (std::size_t i = 0; i < std::max(same.size(), other.size()); ++i) {
    if (i < same.size()) mixed.push_back(same[i]);
    if (i < other.size()) mixed.push_back(other[i]);
  }
  return mixed;
}

namespace {

tcp_stream first_of(task_group& attempts, std::vector<endpoint> const& to, std::chrono::nanoseconds stagger,
                    channel<attempt_end>& ends, std::vector<failed_attempt>& failures, std::error_code& ec) {
  std::size_t begun = 0;
  std::error_code first_failure;
  for (std::size_t ended = 0; ended < to.size();) {
    // The first; or the time of the last is over, or one has failed: the next is tried beside those under way.
    if (begun < to.size()) {
      attempts.spawn([&ends, &to, begun] { ends.send(attempt_connection(to, begun)); });
      ++begun;
    }
    std::optional<attempt_end> end;
    auto const take = [&end](std::optional<attempt_end> got) { end = std::move(got); };
    if (begun < to.size()) {
      (void)select(on_receive(ends, take), on_timeout(stagger));
    } else {
      take(ends.receive());
    }
    if (end && end->thrown) std::rethrow_exception(end->thrown);
    if (end && end->connected.is_open()) {
      ec.clear();
      return std::move(end->connected);
    }
    if (end) {
      ++ended;
      failures.push_back({to[end->which], end->why_not});
      if (end->which == 0) first_failure = end->why_not;
    }
  }
  ec = first_failure;
  return {};
}

}  // namespace

tcp_stream connect_to_first(std::vector<endpoint> const& to, std::chrono::nanoseconds stagger,
                            std::vector<failed_attempt>& failures, std::error_code& ec) {
  if (to.size() == 1) {
    auto connected = tcp_stream::connect(to[0], ec);
    if (ec) failures.push_back({to[0], ec});
    return connected;
  }
  channel<attempt_end> ends{to.size()};  // no attempt waits to say how it ended
  // An attempt that cannot even begin, for want of a stack, says nothing, but cancels the body.
  return with_task_group([&](task_group& attempts) {
    auto connected = first_of(attempts, to, stagger, ends, failures, ec);
    attempts.cancel();  // what is left
    return connected;
  });
}

namespace {

tcp_stream connect_by_name(std::string_view host, service at, connect_options const& options,
                           std::vector<failed_attempt>& failures, std::error_code& ec) {
  auto connected = move_on_after(options.timeout, [&]() -> tcp_stream {
    auto const found = resolve(host, at, options.names, ec);
    return ec ? tcp_stream{} : connect_to_first(interleaved(found), options.stagger, failures, ec);
  });
  if (connected) return std::move(*connected);
  ec = std::make_error_code(std::errc::timed_out);
  return {};
}

}  // namespace

tcp_stream tcp_stream::connect(std::string_view host, service at, connect_options const& options, std::error_code& ec) {
  std::vector<failed_attempt> failures;
  return connect_by_name(host, at, options, failures, ec);
}

tcp_stream tcp_stream::connect(std::string_view host, service at, connect_options const& options) {
  std::error_code ec;
  std::vector<failed_attempt> failures;
  auto connected = connect_by_name(host, at, options, failures, ec);
  if (!ec) return connected;
  std::string each;
  for (auto const& [to, why] : failures) {
    each.append(each.empty() ? " (" : ", ").append(to.to_string()).append(": ").append(why.message());
  }
  throw_error(ec, {"connecting to `", in_words(host), "`, port `", in_words(at), "`", each, each.empty() ? "" : ")"});
}

}  // namespace weft::inline v0::io
