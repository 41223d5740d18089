#pragma once
/// @file
/// What the models share: a base for each, and the program around them.
///
///     model_x [weakened] [ITERATIONS]
///
/// explores every sound variant, or every weakened copy, of which each must be caught. WEFT_MODEL_ITERATIONS is the
/// default. Runs are repeatable: an iteration's number is its seed.

#include "relacy_atomics.hpp"

#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <initializer_list>
#include <iostream>
#include <string_view>

namespace weft::models {

/// A model is a class derived from this, made anew for each iteration, with `void run(unsigned thread)` and, if there
/// is something to check when all threads have ended, `void after()`.
template <class Model, int Threads, class Atomics>
class model : public rl::test_suite<Model, Threads> {
public:
  model() { Atomics::barrier::begin(); }
  void thread(unsigned index) {
    Atomics::barrier::enter();
    static_cast<Model*>(this)->run(index);
  }
};

/// Relacy gets a model's memory from malloc, which knows nothing of cache lines.
template <class T>
class aligned_place {
public:
  aligned_place() : value_(*new(aligned()) T) {}
  ~aligned_place() { value_.~T(); }
  aligned_place(aligned_place const&) = delete;
  T* operator->() noexcept { return &value_; }
  T& operator*() noexcept { return value_; }

private:
  void* aligned() noexcept {
    auto const address = reinterpret_cast<std::uintptr_t>(memory_.data());
    return memory_.data() + (alignof(T) - address % alignof(T)) % alignof(T);
  }

  std::array<std::byte, sizeof(T) + alignof(T)> memory_;
  T& value_;
};

/// Does nothing for up to `most` steps of the calling thread, so that it does not always come first.
inline void let_others_run(unsigned most) {
  for (auto steps = rl::rand(most); steps != 0; --steps) rl::ctx().sched();
}

enum class expected : bool { sound, weakened };

struct variant {
  char const* name;
  expected what;
  rl::test_result_e (*explore)(rl::test_params&);
};

template <class Model>
[[nodiscard]] variant explored(char const* name, expected what = expected::sound) {
  return {name, what, [](rl::test_params& parameters) {
            rl::simulate<Model>(parameters);
            return parameters.test_result;
          }};
}

/// @returns whether the variant went as expected
inline bool explore(variant const& v, std::uint64_t iterations) {
  std::ostream nowhere{nullptr};
  rl::ostringstream report;  // std's would take memory that Relacy hands out and gives back
  rl::test_params parameters;
  parameters.iteration_count = iterations;
  parameters.execution_depth_limit = 10'000;
  parameters.progress_stream = &nowhere;
  parameters.output_stream = &report;
  auto const begin = std::chrono::steady_clock::now();
  auto const result = v.explore(parameters);
  std::chrono::duration<double> const took = std::chrono::steady_clock::now() - begin;
  std::cout << v.name << ": ";
  if (result == rl::test_result_success) {
    std::cout << parameters.stop_iteration << " interleavings in " << took.count() << " s, no fault found" << std::endl;
  } else {
    std::cout << rl::test_result_str(result) << " at interleaving " << parameters.stop_iteration << std::endl;
  }
  if (v.what == expected::sound) {
    if (result == rl::test_result_success) return true;
    std::cout << report.str() << std::flush;
    return false;
  }
  // An endless loop or a misuse of Relacy would be the model's own fault.
  bool const caught = result == rl::test_result_user_assert_failed || result == rl::test_result_data_race ||
                      result == rl::test_result_deadlock;
  if (!caught) std::cout << v.name << ": the weakened copy was not caught\n";
  return caught;
}

inline int main(int argc, char** argv, std::initializer_list<variant> variants) {
  std::uint64_t iterations = 20'000;
  auto what = expected::sound;
  if (char const* const set = std::getenv("WEFT_MODEL_ITERATIONS")) iterations = std::strtoull(set, nullptr, 10);
  for (int i = 1; i < argc; ++i) {
    if (std::string_view{argv[i]} == "weakened") {
      what = expected::weakened;
    } else {
      iterations = std::strtoull(argv[i], nullptr, 10);
    }
  }
  if (iterations == 0) {
    std::cerr << "usage: " << argv[0] << " [weakened] [ITERATIONS]\n";
    return 2;
  }
  bool good = true;
  for (auto const& v : variants) {
    if (v.what == what) good = explore(v, iterations) && good;
  }
  return good ? 0 : 1;
}

}  // namespace weft::models
