#include <weft/io/signal_stream.hpp>

#include "signal_inbox.hpp"

#include <weft/runtime/environment.hpp>
#include <weft/runtime/error.hpp>
#include <weft/runtime/spawn.hpp>

#include <span>

namespace weft::inline v0::io {

namespace {

std::unique_ptr<detail::signal_inbox> make_inbox(std::initializer_list<int> signals) {
  if (environment const* const world = detail::current_environment(); world != nullptr && world->closed()) {
    throw error("weft: signals belong to the world outside, and do not come to a simulation");
  }
  return std::make_unique<detail::signal_inbox>(std::span{signals.begin(), signals.size()});
}

constexpr std::size_t moved_ahead = 16;

}  // namespace

signal_stream::signal_stream(std::initializer_list<int> signals)
    : inbox_(make_inbox(signals)),
      arrived_(std::make_shared<channel<int>>(moved_ahead)),
      mover_(spawn({.name = "signals"}, [this] { move_all(); })) {
  // Not by the mover itself, which does not run if it is cancelled before it began.
  mover_.on_done([arrived = arrived_] { arrived->close(); });
}

signal_stream::~signal_stream() { mover_ = {}; }

/// What is not moved yet stays counted: however slowly signals are received, none is lost.
void signal_stream::move_all() {
  while (int const signal = inbox_->next()) arrived_->send(signal);
}

}  // namespace weft::inline v0::io
