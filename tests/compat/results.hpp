#pragma once
/// @file
/// Results of several types, so that one case can be about promises of each: a value, a reference, nothing, and what
/// only moves.

#include "compat/names.hpp"

#include <memory>
#include <stdexcept>

namespace compat_test {

/// What a case does with results of type `R`.
template <class R>
struct sample;

template <>
struct sample<std::string> {
  static std::string make() { return "a string that is too long to be small"; }
  static void set(fibers::promise<std::string>& p) {
    std::string const text = make();
    p.set_value(text);
  }
  template <class Future>
  static bool got(Future& f) {
    return f.get() == make();
  }
};

template <>
struct sample<int&> {
  inline static int target = 7;
  static int& make() { return target; }
  static void set(fibers::promise<int&>& p) { p.set_value(target); }
  template <class Future>
  static bool got(Future& f) {
    return &f.get() == &target;
  }
};

template <>
struct sample<void> {
  static void make() {}
  static void set(fibers::promise<void>& p) { p.set_value(); }
  template <class Future>
  static bool got(Future& f) {
    f.get();
    return true;
  }
};

template <>
struct sample<std::unique_ptr<int>> {
  static std::unique_ptr<int> make() { return std::make_unique<int>(3); }
  static void set(fibers::promise<std::unique_ptr<int>>& p) { p.set_value(make()); }
  template <class Future>
  static bool got(Future& f) {
    return *f.get() == 3;
  }
};

/// For shared futures, which hand out references.
#define SHARED_RESULTS std::string, int&, void
#define EVERY_RESULT int&, void, std::unique_ptr<int>

inline std::exception_ptr some_error() { return std::make_exception_ptr(std::runtime_error("some error")); }

/// What `f` throws, if it is some_error().
template <class F>
bool throws_some_error(F&& f) {
  try {
    f();
  } catch (std::runtime_error const& e) {
    return std::string(e.what()) == "some error";
  }
  return false;
}

/// Counts what it allocates, in all copies of it.
template <class T>
struct counting_allocator {
  using value_type = T;
  explicit counting_allocator(int& allocated_) noexcept : allocated(&allocated_) {}
  template <class U>
  counting_allocator(counting_allocator<U> const& other) noexcept : allocated(other.allocated) {}  // NOLINT
  T* allocate(std::size_t n) {
    ++*allocated;
    return std::allocator<T>().allocate(n);
  }
  void deallocate(T* p, std::size_t n) noexcept {
    --*allocated;
    std::allocator<T>().deallocate(p, n);
  }
  friend bool operator==(counting_allocator const& a, counting_allocator const& b) noexcept {
    return a.allocated == b.allocated;
  }
  int* allocated;
};

}  // namespace compat_test
