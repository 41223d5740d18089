#pragma once
/// @file
/// `fiber_local<T>`: a value for each fiber, as `thread_local` has one for each thread. (`thread_local` itself is of no
/// use to a fiber, which may go on on another thread after any wait.)
///
/// The values of a fiber hang on the description of its stack (stack_pool.hpp), newest first, each with the number of
/// the object that it belongs to. Fibers that have none pay one load when they end.

#include <concepts>
#include <cstdint>
#include <memory>
#include <type_traits>
#include <utility>

namespace weft::inline v0 {

namespace detail {

/// One value of one fiber; touched by that fiber alone.
struct local_node {
  local_node* older;
  std::uint64_t key;
  void (*destroy_value)(local_node&) noexcept;  ///< the value, and not yet the node; null while that runs
  void (*free)(local_node*) noexcept;
};

/// The calling fiber's values; outside of a fiber, the thread's. It stays the same as long as that lives.
[[nodiscard]] local_node*& local_nodes() noexcept;
/// A number that no other object has, ever: so values may outlive the object that they belong to.
[[nodiscard]] std::uint64_t new_local_key() noexcept;
[[nodiscard]] inline local_node* find_local(local_node* newest, std::uint64_t key) noexcept {
  while (newest != nullptr && newest->key != key) newest = newest->older;
  return newest;
}
/// Destroys the value, takes the node out and frees it. Nothing while the value is being destroyed.
void destroy_local(local_node*& newest, local_node& node) noexcept;

template <class T>
struct local_value final : local_node {
  template <class Maker>
  local_value(std::uint64_t for_key, Maker& maker)
      : local_node{nullptr, for_key, &destroy, &deallocate}, value(maker.make()) {}
  ~local_value() {}  // destroy() has been called

  static void destroy(local_node& node) noexcept {
    std::destroy_at(std::addressof(static_cast<local_value&>(node).value));
  }
  static void deallocate(local_node* node) noexcept { delete static_cast<local_value*>(node); }

  union {
    T value;
  };
};

/// What makes a fiber_local's values.
template <class T>
struct local_maker {
  virtual ~local_maker() = default;
  virtual T make() = 0;
};

}  // namespace detail

/// A value for each fiber, made when the fiber first asks for it.
///
/// It is destroyed when the fiber ends, on the fiber, after its callable and before anyone sees it ended, the newest
/// first. Its destructor may wait, inside of a `cancel_shield`. A destructor that asks for a value which has been
/// destroyed already makes a new one, which is destroyed in turn. On a thread outside of any fiber the value is the
/// thread's, and is destroyed when the thread ends.
///
/// The object itself may die before the fibers that have a value: these are destroyed when their fibers end all the
/// same. Whoever uses it must see to it that it lives.
/// @par Thread safety
/// Any member, from any fiber and thread, at once: each sees its own value. The callable that makes values may be
/// called by several at once.
/// @par Cost
/// One allocation for each value. get() looks through the fiber's values, newest first: meant for a handful.
template <class T>
class fiber_local {
  static_assert(std::is_object_v<T> && !std::is_const_v<T>);

public:
  /// Values are `T{}`.
  fiber_local()
    requires std::default_initializable<T>
      : fiber_local([] { return T{}; }) {}
  /// Values are what `make()` returns, on the fiber that asks. It may wait.
  template <class Make>
    requires(!std::same_as<std::remove_cvref_t<Make>, fiber_local>) && std::is_invocable_r_v<T, Make&>
  explicit fiber_local(Make make) {
    struct maker final : detail::local_maker<T> {
      explicit maker(Make&& make) : make_(std::move(make)) {}
      T make() override { return make_(); }
      Make make_;
    };
    maker_ = std::make_unique<maker>(std::move(make));
  }
  fiber_local(fiber_local const&) = delete;
  fiber_local& operator=(fiber_local const&) = delete;

  /// The caller's value, made if there is none. It stays where it is until the fiber ends, or reset(), wherever the
  /// fiber goes on. Throws what making it throws; then there is none.
  [[nodiscard]] T& get() {
    // On a fiber, whatever thread it is on, this is one place: it may be kept while make() waits.
    detail::local_node*& newest = detail::local_nodes();
    auto* node = static_cast<detail::local_value<T>*>(detail::find_local(newest, key_));
    if (node == nullptr) {
      node = new detail::local_value<T>(key_, *maker_);
      node->older = newest;
      newest = node;
    }
    return node->value;
  }
  [[nodiscard]] T& operator*() { return get(); }
  [[nodiscard]] T* operator->() { return std::addressof(get()); }

  /// Whether the caller has a value.
  [[nodiscard]] bool has_value() const noexcept { return detail::find_local(detail::local_nodes(), key_) != nullptr; }
  /// Destroys the caller's value, if there is one; the next get() makes a new one.
  void reset() noexcept {
    detail::local_node*& newest = detail::local_nodes();
    if (auto* const node = detail::find_local(newest, key_)) detail::destroy_local(newest, *node);
  }

private:
  std::uint64_t const key_ = detail::new_local_key();
  std::unique_ptr<detail::local_maker<T>> maker_;
};

}  // namespace weft::inline v0
