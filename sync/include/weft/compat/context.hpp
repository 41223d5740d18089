#pragma once
/// @file
/// `context`: what a fiber is, whether it was made by these names, is any other fiber of weft, or is a plain thread,
/// `main` included, which counts as a fiber here.

#include <weft/compat/launch.hpp>
#include <weft/compat/wait_queue.hpp>

#include <compare>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <ostream>

namespace weft::inline v0::compat {

namespace fibers {
class context;
}

namespace detail {

using context_ptr = std::shared_ptr<fibers::context>;

/// A callable with its arguments.
struct fiber_body {
  virtual ~fiber_body() = default;
  virtual void run() = 0;
};

/// Runs `body` as a fiber: in the runtime of the calling fiber or, on a plain thread, in the thread's own.
/// @throws what weft::spawn() throws
[[nodiscard]] context_ptr start_fiber(fibers::launch policy, std::size_t stack_size, std::unique_ptr<fiber_body> body);

/// Lets the others run; see this_fiber::yield().
void yield();
void sleep_until(time_point deadline);

/// What a fiber_specific_ptr does with the values that it has.
struct fss_cleanup {
  virtual ~fss_cleanup() = default;
  virtual void operator()(void* value) = 0;
};

struct fiber_access;

}  // namespace detail

namespace fibers {

/// A fiber, or a plain thread.
/// @par Thread safety
/// get_id(), comparison and join() from anywhere; fiber-specific values on the fiber itself.
class context {
public:
  /// Identifies a fiber, or a thread, for as long as the process lives.
  class id {
  public:
    /// Of no fiber.
    id() noexcept = default;
    friend auto operator<=>(id const&, id const&) noexcept = default;
    explicit operator bool() const noexcept { return number_ != 0; }
    bool operator!() const noexcept { return number_ == 0; }

    template <class Char, class Traits>
    friend std::basic_ostream<Char, Traits>& operator<<(std::basic_ostream<Char, Traits>& to, id const& of) {
      if (of.number_ == 0) return to << "{not-valid}";
      return to << of.number_;
    }

  private:
    friend class context;
    friend struct std::hash<id>;
    explicit id(std::uint64_t number) noexcept : number_(number) {}
    std::uint64_t number_ = 0;
  };

  context();
  context(context const&) = delete;
  context& operator=(context const&) = delete;
  /// Cleans up what is left of its fiber-specific values.
  ~context();

  /// The caller's. Valid as long as the fiber, or the thread, lives.
  /// @throws std::bad_alloc  when a fiber that was not made by `fibers::fiber` first asks
  [[nodiscard]] static context* active();
  [[nodiscard]] id get_id() const noexcept { return id_; }
  friend bool operator==(context const& a, context const& b) noexcept { return &a == &b; }

  /// Waits until the fiber has ended. A cancellation point.
  void join();

  /// The value under `key`, or null.
  [[nodiscard]] void* get_fss_data(std::uint64_t key) const noexcept;
  /// Puts `value` in its place; null: nothing.
  /// @throws std::bad_alloc  if there was no value before; then there still is none
  void set_fss_data(std::uint64_t key, std::shared_ptr<detail::fss_cleanup> const& cleanup, void* value,
                    bool clean_up_existing);

private:
  friend struct detail::fiber_access;
  struct fss_value {
    void* value;
    std::shared_ptr<detail::fss_cleanup> cleanup;
  };

  void clean_up() noexcept;
  void end() noexcept;

  id const id_;
  std::map<std::uint64_t, fss_value> values_;
  detail::guard guard_;
  detail::wait_queue joiners_;
  bool ended_ = false;
};

}  // namespace fibers
}  // namespace weft::inline v0::compat

template <>
struct std::hash<weft::compat::fibers::context::id> {
  std::size_t operator()(weft::compat::fibers::context::id const& id) const noexcept {
    return std::hash<std::uint64_t>{}(id.number_);
  }
};
