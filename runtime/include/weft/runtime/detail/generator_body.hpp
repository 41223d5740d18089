#pragma once
/// @file
/// A generator's body: a call on a stack of its own that stops at each value, and goes on when the next is wanted.
///
///     unstarted --first advance()--> running <--yield / advance()--> suspended
///         |                             |                                |
///         |                             v the call returns or throws     | the generator dies
///         +------ it dies ----------> ended <-- running, closing <-------+
///
/// The body is a context like a fiber's own (semantics, rule 24): exception state, floating-point control, cancel
/// scopes, bounds of the stack and sanitizers' handles are its own, exchanged at each crossing. But it is no fiber. It
/// runs for whoever advances it: what it waits for parks that fiber, and what it asks about itself is answered with
/// that fiber's name, values and worker. While it runs, the fiber's context continues on top of it; the description of
/// the fiber's own stack leads to the innermost body (stack::inner).
///
/// Its stack comes from a pool of the process (body_stacks.hpp), for a generator may outlive the runtime in which it
/// was made, and belong to none.

#include <weft/runtime/detail/fiber_record.hpp>
#include <weft/runtime/detail/scope_node.hpp>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <exception>

namespace weft::inline v0::detail {

struct stack;
class generator_body;

/// What a body does not know of its own type.
struct body_type {
  void (*call)(generator_body&);              ///< the callable
  void (*discard)(generator_body&) noexcept;  ///< destroys it, on the stack on which it ran
  void (*free)(generator_body*) noexcept;     ///< destroys what is left, and gives the memory back
};

/// How a crossing returns, in registers, as Boost.Context's jump does: in its place (see generator_body.cpp).
struct crossing {
  void* left;  ///< the context that jumped here, suspended
  void* data;
};

/// Fields without a comment on their threads: whoever advances it, and the body, one after the other.
class generator_body {
public:
  /// @param stack_size  bytes; 0: as the fiber that starts it.  @throws std::invalid_argument  if out of range
  generator_body(body_type const& type, std::size_t stack_size);
  generator_body(generator_body const&) = delete;

  // --- for who iterates ---

  /// Runs the body to its first value, unless it has begun already.  @throws as advance()
  void begin() {
    auto const now = state_.load(std::memory_order_relaxed);
    if (now == state::unstarted || now == state::running) advance();
  }
  /// Runs the body to its next value, or to its end.
  /// @throws what leaves the body; error  if it runs already, or has ended
  /// @throws stack_unavailable, runtime_stopped (in a forked child)  instead of starting it; it may be tried again
  void advance() {
    // relaxed, all of them: who advances it next has been told by other means; who has not learns that it runs.
    if (state_.load(std::memory_order_relaxed) != state::suspended) [[unlikely]]
      prepare();
    state_.store(state::running, std::memory_order_relaxed);
    context_ = enter().left;
    if (returned_) [[unlikely]]
      return finish();
    state_.store(state::suspended, std::memory_order_relaxed);
  }
  [[nodiscard]] bool has_ended() const noexcept { return state_.load(std::memory_order_relaxed) == state::ended; }
  /// Where the value is.  @throws error  if there is none
  [[nodiscard]] void const* value() const {
    if (value_ == nullptr) [[unlikely]]
      refuse_value();
    return value_;
  }
  /// Leaves the body by an exception if it is suspended, and frees it. Aborts if it runs.
  static void destroy(generator_body* body) noexcept;

  // --- for the body ---

  /// Stops here until advance().
  /// @throws cancelled (handle_dropped)  if the generator dies meanwhile or is dying
  /// @throws error  if it is not this body that calls
  void yield(void const* value) {
    resumer_context_ = leave(value).left;
    if (closing_) [[unlikely]]
      leave_by_exception();
  }

  // --- for the runtime ---

  /// The innermost body that runs for the caller, or null. For signal handlers, too.
  [[nodiscard]] static generator_body const* running() noexcept;
  /// The stack it runs on, while it has one.
  [[nodiscard]] [[gnu::always_inline]] stack& own_stack() const noexcept { return *stack_; }

protected:
  ~generator_body() = default;

private:
  friend struct body_main;  // of generator_body.cpp: the base loop of a body's stack
  enum class state : std::uint8_t { unstarted, suspended, running, ended };

  void prepare();
  void start();
  crossing enter() noexcept;
  void finish();
  void close() noexcept;
  void call() noexcept;
  crossing leave(void const* value);
  struct surroundings;
  static surroundings here() noexcept;
  static surroundings here_on_thread() noexcept;
  void* depart(surroundings const& at) noexcept;
  void arrive() noexcept;
  static void leave_by_exception();
  [[noreturn]] static void refuse_value();

  // What a crossing touches. `state_` is atomic so that whoever is wrongly second is told, and not a race.
  std::atomic<state> state_{state::unstarted};
  bool closing_ = false;
  bool returned_ = false;  // the call is over
  std::uint8_t stack_class_ = 0;
  void const* value_ = nullptr;
  void* context_ = nullptr;       // where the body is suspended, or would start
  exception_state exceptions_{};  // while it does not run
  void* resumer_context_ = nullptr;
  exception_state resumer_exceptions_{};  // while it runs
  stack* resumer_place_ = nullptr;        // of the fiber that it runs for; see surroundings in generator_body.cpp
  generator_body* outer_ = nullptr;       // the body within which it runs
  stack* stack_ = nullptr;
  scope_segment scopes_;

  body_type const& type_;
  std::exception_ptr error_;  // what left the body, until it is passed on
  // Of sanitizers; see sanitizers.hpp. `void*`s, so that programs built with and without them agree on the layout.
  void* identity_ = nullptr;
  void* resumer_identity_ = nullptr;
  void* resumer_fake_stack_ = nullptr;
  void const* resumer_bottom_ = nullptr;
  std::size_t resumer_size_ = 0;
};

}  // namespace weft::inline v0::detail
