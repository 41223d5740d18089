#pragma once
/// @file
/// `fiber_specific_ptr`: a pointer for each fiber, and for each plain thread.

#include <weft/compat/context.hpp>
#include <weft/runtime/fiber_local.hpp>

#include <cstdint>
#include <memory>

namespace weft::inline v0::compat::fibers {

/// A fiber owns what it has put here: it is deleted, or cleaned up by the given function, when the fiber ends, before
/// anyone sees that, or at reset(). When the object dies, so does the calling fiber's value; those of others when their
/// fibers end.
/// @par Thread safety
/// Any member, from any fiber and thread, at once: each sees its own.
template <class T>
class fiber_specific_ptr {
public:
  using element_type = T;

  /// Values are deleted.
  fiber_specific_ptr() : fiber_specific_ptr([](T* value) { delete value; }) {}
  /// Values are passed to `clean_up`, if that is not null.
  explicit fiber_specific_ptr(void (*clean_up)(T*)) : cleanup_(std::make_shared<cleanup>(clean_up)) {}
  fiber_specific_ptr(fiber_specific_ptr const&) = delete;
  fiber_specific_ptr& operator=(fiber_specific_ptr const&) = delete;
  ~fiber_specific_ptr() { context::active()->set_fss_data(key_, cleanup_, nullptr, true); }

  /// The caller's, or null.
  [[nodiscard]] T* get() const { return static_cast<T*>(context::active()->get_fss_data(key_)); }
  T* operator->() const { return get(); }
  T& operator*() const { return *get(); }
  /// The caller's, which is no longer ours to clean up.
  T* release() {
    T* const value = get();
    context::active()->set_fss_data(key_, cleanup_, nullptr, false);
    return value;
  }
  /// Cleans up the caller's and puts `value` in its place, unless that is it.
  /// @throws std::bad_alloc  and then `value` is still who gave it's to clean up
  void reset(T* value = nullptr) {
    if (get() != value) context::active()->set_fss_data(key_, cleanup_, value, true);
  }

private:
  struct cleanup final : detail::fss_cleanup {
    explicit cleanup(void (*with)(T*)) noexcept : clean_up(with) {}
    void operator()(void* value) override {
      if (clean_up != nullptr) clean_up(static_cast<T*>(value));
    }
    void (*clean_up)(T*);
  };

  std::uint64_t const key_ = weft::detail::new_local_key();  // no other has it, ever: an address would come again
  std::shared_ptr<detail::fss_cleanup> cleanup_;
};

}  // namespace weft::inline v0::compat::fibers
