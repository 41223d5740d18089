#include <weft/io/resolve.hpp>

#include "answer_cache.hpp"
#include "error_text.hpp"
#include "name_text.hpp"

#include <weft/io/detail/name_service.hpp>
#include <weft/io/detail/system_calls.hpp>
#include <weft/runtime/environment.hpp>
#include <weft/runtime/error.hpp>
#include <weft/runtime/offload_pool.hpp>
#include <weft/runtime/timeout.hpp>
#include <weft/runtime/waiter.hpp>

#include <charconv>
#include <memory>
#include <new>
#include <optional>
#include <utility>

namespace weft::inline v0::io {

using detail::name_query;
using detail::name_service;

namespace {

constexpr std::size_t longest_name = 255;  // the domain name system's limit

offload_pool& threads_for_names() {
  // Never destroyed: what still runs when the process ends may ask, and a look-up that hangs does not hold it up.
  static auto& pool = *new offload_pool{{.name = "names", .threads = 16}};
  return pool;
}

std::shared_ptr<name_service> current_names() {
  if (auto own = detail::current_calls().names()) return own;
  if (environment const* const world = detail::current_environment(); world != nullptr && world->closed()) {
    throw error("weft: names belong to the world outside, and cannot be looked up in a simulation");
  }
  return detail::system_names();
}

std::error_code invalid() noexcept { return std::make_error_code(std::errc::invalid_argument); }

bool is_bad_text(std::string_view text) noexcept {
  return text.empty() || text.size() > longest_name || text.find('\0') != text.npos;
}

/// @returns -1 if it is no number
int number_in(std::string_view text) noexcept {
  unsigned long number = 0;
  auto const [end, e] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (end != text.data() + text.size() || text.empty() || e == std::errc::invalid_argument) return -1;
  return e == std::errc{} && number <= 65535 ? static_cast<int>(number) : 65536;
}

template <class T>
struct answer {
  std::error_code error;
  T value;
};

/// Calls `question(value)`, which owns all that it touches.
template <class T, class Question>
answer<T> ask(name_service& names, std::chrono::nanoseconds limit, std::string_view what, Question question) {
  auto call = [q = std::move(question)]() mutable {
    answer<T> got;
    try {
      got.error = q(got.value);
    } catch (std::bad_alloc const&) {
      got.error = std::make_error_code(std::errc::not_enough_memory);
    }
    return got;
  };
  try {
    auto got = move_on_after(limit, [&] {
      if (!names.blocks()) return call();
      return threads_for_names().run({.name = what, .abandon_on_cancel = true}, std::move(call));
    });
    return got ? std::move(*got) : answer<T>{std::make_error_code(std::errc::timed_out), {}};
  } catch (std::system_error const& e) {  // no thread could be had
    return {e.code(), {}};
  }
}

/// An answer that says nothing.
std::error_code error_of(std::vector<endpoint> const& found) noexcept {
  return found.empty() ? make_error_code(name_error::no_address) : std::error_code{};
}
std::error_code error_of(detail::found_name const& found) noexcept {
  return found.host.empty() ? make_error_code(name_error::no_such_name) : std::error_code{};
}

/// What has been kept, or else what `names` answers, which is kept then. Names that do not block have nothing kept.
/// @param find  the member of `names` to be asked
/// @param kept  where its answers are
template <class Question, class Answer>
answer<Answer> look_up(std::error_code (name_service::*find)(Question const&, Answer&),
                       detail::answer_cache<Question, Answer> detail::kept_answers::* kept, Question question,
                       std::string_view what, std::chrono::nanoseconds timeout, std::chrono::nanoseconds max_age) {
  auto const names = current_names();
  auto& answers = names->kept().*kept;
  auto const now = detail::deadline_after(std::chrono::nanoseconds{0});
  if (names->blocks()) {
    if (auto known = answers.find(question, now, max_age)) return {{}, *std::move(known)};
  }
  return ask<Answer>(*names, timeout, what,
                     [names, &answers, find, question = std::move(question), now,
                      clears = answers.clears()](Answer& found) {  // `names` keeps `answers` alive
                       auto ec = (*names.*find)(question, found);
                       if (!ec) ec = error_of(found);
                       if (!ec && names->blocks()) answers.keep(question, now, clears, found);
                       return ec;
                     });
}

std::vector<endpoint> addresses_of(name_query query, resolve_options const& options, std::error_code& ec) {
  auto const what = std::string("look-up of ").append(query.host);
  auto got = look_up(&name_service::find, &detail::kept_answers::addresses, std::move(query), what, options.timeout,
                     options.max_age);
  ec = got.error;
  return ec ? std::vector<endpoint>{} : std::move(got.value);
}

}  // namespace

std::string in_words(std::string_view name) {
  constexpr std::size_t most = 80;
  std::string text{name.substr(0, most)};
  for (char& c : text) {
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) c = '?';
  }
  if (name.size() > most) text.append("...");
  return text;
}

std::string in_words(service at) {
  return at.name().empty() && at.port() >= 0 ? std::to_string(at.port()) : in_words(at.name());
}

std::vector<endpoint> resolve(std::string_view host, service at, resolve_options const& options, std::error_code& ec) {
  detail::check_cancelled();
  ec.clear();
  int const port = at.name().empty() ? at.port() : number_in(at.name());
  bool const by_name = port < 0;
  if (is_bad_text(host) || port > 65535 || (by_name && is_bad_text(at.name()))) {
    ec = invalid();
    return {};
  }
  std::error_code no_address;
  auto const address = ip_address::parse(host, no_address);
  if (!no_address && !by_name) {
    auto const family = address.is_v4() ? ip_address::family::v4 : ip_address::family::v6;
    if (options.family.value_or(family) == family) return {endpoint{address, static_cast<std::uint16_t>(port)}};
    ec = name_error::none_of_family;
    return {};
  }
  auto found = addresses_of({std::string(host), by_name ? std::string(at.name()) : std::string(), options.family},
                            options, ec);
  if (!by_name) {
    for (auto& one : found) one = endpoint{one.address(), static_cast<std::uint16_t>(port)};
  }
  return found;
}

std::vector<endpoint> resolve(std::string_view host, service at, resolve_options const& options) {
  std::error_code ec;
  auto found = resolve(host, at, options, ec);
  if (ec) throw_error(ec, {"looking up `", in_words(host), "`, port `", in_words(at), "`"});
  return found;
}

host_and_service reverse(endpoint const& of, reverse_options const& options, std::error_code& ec) {
  detail::check_cancelled();
  auto got = look_up(&name_service::find_name, &detail::kept_answers::names, of, "look-up of " + of.to_string(),
                     options.timeout, options.max_age);
  ec = got.error;
  return {std::move(got.value.host), std::move(got.value.service)};
}

host_and_service reverse(endpoint const& of, reverse_options const& options) {
  std::error_code ec;
  auto found = reverse(of, options, ec);
  if (ec) throw_error(ec, {"looking up the name of ", of.to_string()});
  return found;
}

void forget_resolved() {
  auto const names = current_names();
  names->kept().addresses.clear();
  names->kept().names.clear();
}

}  // namespace weft::inline v0::io
