#pragma once
/// @file
/// A task's record: the fiber's control block, its callable and room for its result.

#include <weft/runtime/detail/fiber_record.hpp>
#include <weft/runtime/options.hpp>

#include <cstddef>
#include <cstdint>
#include <exception>
#include <functional>
#include <memory>
#include <new>
#include <type_traits>
#include <utility>

namespace weft::inline v0 {
template <class T>
class task;
}

namespace weft::inline v0::detail {

/// Records are kept in classes of 64 bytes; the last stands for all that are larger than 1 KiB.
inline constexpr std::uint8_t largest_class = 16;
constexpr std::uint8_t class_of_size(std::size_t bytes) noexcept {
  auto const granules = (bytes - 1) / 64;
  return granules < largest_class ? static_cast<std::uint8_t>(granules) : largest_class;
}

/// The result of type `T` (which may be `void` or a reference) or the exception in its place.
template <class T>
struct result_record : fiber_record {
  using stored = std::conditional_t<std::is_void_v<T>, char,
                                    std::conditional_t<std::is_reference_v<T>, std::remove_reference_t<T>*, T>>;
  static constexpr bool in_group = false;

  result_record() noexcept {}
  ~result_record() {
    if (has_value) value.~stored();
  }

  union {
    stored value;
  };
};

/// Says what `F` is, without RTTI: "... [with F = type]" or "... [F = type]".
template <class F>
constexpr char const* name_of_callable() noexcept {
  return __PRETTY_FUNCTION__;
}

template <class F>
inline constexpr bool is_sibling_callable = false;

/// @tparam Base  adds what else the record holds, as group_member does
template <class T, class F, class Base = result_record<T>>
struct task_record final : Base {
  static_assert(alignof(F) <= cache_line && alignof(typename result_record<T>::stored) <= cache_line,
                "weft: callables and results aligned to more than 64 bytes are not supported");

  template <class... Args>
  explicit task_record(Args&&... args) {
    ::new (static_cast<void*>(&callable)) F(std::forward<Args>(args)...);
    this->type = &type_of;
    this->size_class = class_of_size(sizeof(task_record));
  }
  ~task_record() {}

  union {
    F callable;
  };

  static constexpr bool trivial = std::is_trivially_destructible_v<typename result_record<T>::stored>;

  static void run(fiber_record& header, std::exception_ptr const* instead) noexcept {
    auto& self = static_cast<task_record&>(header);
    if (instead != nullptr) {
      self.error = *instead;
      if constexpr (is_sibling_callable<F>) {
        if (!self.cancelled_unstarted) self.callable.never_ran(self);
      }
    } else {
      try {
        if constexpr (std::is_void_v<T>) {
          std::move(self.callable)();
        } else if constexpr (std::is_reference_v<T>) {
          auto&& result = std::move(self.callable)();
          self.value = std::addressof(result);
        } else {
          ::new (static_cast<void*>(&self.value)) T(std::move(self.callable)());
        }
        self.has_value = true;
      } catch (...) {
        self.error = std::current_exception();
      }
    }
    self.callable.~F();
    // Nobody will take it: it goes while what belongs to the fiber is there.
    if constexpr (!trivial) {
      if ((self.end.flags() & fiber_record::detached) != 0) drop_result(self);
    }
  }
  static void destroy(fiber_record& header) noexcept { static_cast<task_record&>(header).~task_record(); }
  static void drop_result(fiber_record& header) noexcept {
    auto& self = static_cast<task_record&>(header);
    if (!self.has_value) return;
    self.has_value = false;
    std::destroy_at(std::addressof(self.value));
  }

  static constexpr record_type type_of{
      &run,           trivial ? nullptr : &destroy, trivial ? nullptr : &drop_result, name_of_callable<F>(),
      Base::in_group, is_sibling_callable<F>};
};

/// What is called at a task's end, or is to learn of its cancellation: a place in the list of those who wait for the
/// end, without a waiter.
struct end_callback : wait_node {
  end_callback() noexcept : wait_node(nullptr) {}
  end_callback(end_callback const&) = delete;
  virtual ~end_callback() = default;
  /// Under the lock of the task's end.  @returns true if that is all: then the node is not touched again
  virtual bool told() noexcept { return false; }
  /// Then, without the lock, on the fiber that has ended; its record may be gone. The node is not touched afterwards.
  virtual void call() = 0;
  /// The task has been cancelled, and its ticket relays that. Under the list's lock.
  virtual void relay(cancel_reason reason) noexcept { (void)reason; }
  end_callback* next_callback = nullptr;
  context_ref context{};  ///< of who registered it
};
void add_end_callback_node(fiber_record& record, std::unique_ptr<end_callback> callback);
/// Lists `node`, whose owner keeps it and the record.  @returns false, having done nothing, if the task has ended
[[nodiscard]] bool enlist_for_end(fiber_record& record, end_callback& node) noexcept;
/// Takes `node` out if it is still in. When this returns, the fiber has done with it.
void withdraw_from_end(fiber_record& record, end_callback& node) noexcept;

template <class F>
void add_end_callback(fiber_record& record, F callback) {
  struct node final : end_callback {
    explicit node(F&& f) : f_(std::move(f)) {}
    void call() override {
      std::unique_ptr<node> const self{this};
      std::move(f_)();
    }
    F f_;
  };
  add_end_callback_node(record, std::make_unique<node>(std::move(callback)));
}

/// Cancels, waits for the end, shielded, and frees the record: what a dying handle does.
void cancel_and_join(fiber_record& record) noexcept;
/// The same without cancelling.
void join_and_release(fiber_record& record) noexcept;

class worker;

/// Memory for a record, and the worker that it came from.
struct reserved_record {
  void* memory;
  worker* by;
};
/// For the calling fiber's runtime.  @throws no_runtime, runtime_stopped, std::bad_alloc
[[nodiscard]] reserved_record reserve_record(std::size_t size);
/// For the runtime `home`, or the caller's if null.
/// @throws no_runtime, runtime_stopped, std::bad_alloc; std::invalid_argument for a bad stack size
[[nodiscard]] void* reserve_record(scheduler* home, std::size_t size, std::size_t stack_size);
/// Gives back what reserve_record() gave: of a record that has ended, or could not be constructed in it.
void discard_record(void* memory, std::uint8_t size_class) noexcept;
/// Queues a new fiber, or runs it, as `options` say.
/// @param prepared  called, if not null, when the record can be cancelled, and before the fiber takes its first step
void submit(fiber_record& record, scheduler* home, spawn_options const& options,
            void (*prepared)(fiber_record&) noexcept = nullptr) noexcept;
/// Queues a new fiber of the caller's runtime.
/// @param on  the worker on which the caller runs
void submit(fiber_record& record, worker* on) noexcept;
/// The same with what it inherits.
/// @throws std::bad_alloc  having discarded the record, whose callable needs no destruction
void submit_heir(fiber_record& record, worker* on);
/// The same as `options` say, which do not ask for a stack of another size.
void submit_heir(fiber_record& record, worker* on, spawn_options const& options);
[[nodiscard]] worker* current_worker() noexcept;

/// Spawns `f` as a fiber of `home`, or of the caller's runtime if null. In line, as all that leads here, so that what
/// it calls finds the place of the spawn in its return address.
/// @tparam Plain  moving `f` runs no code of its own, so that it cannot wait
template <class T, bool Plain, class F>
[[gnu::always_inline]] inline task<T> make_task(scheduler* home, spawn_options const* options, F&& f) {
  using record = task_record<T, std::decay_t<F>>;
  // Nothing that could wait lies between the two steps: the worker is still the same.
  if constexpr (Plain) {
    if (home == nullptr && (options == nullptr || (options->stack_size == 0 && options->name.empty()))) {
      auto const reserved = reserve_record(sizeof(record));
      auto* const made = ::new (reserved.memory) record(std::forward<F>(f));
      if (options == nullptr) {
        submit_heir(*made, reserved.by);
        return task<T>{made};
      }
      bool const keeps = !options->detached;  // read now: who made them may be gone when an eager fiber waits
      submit_heir(*made, reserved.by, *options);
      return task<T>{keeps ? made : nullptr};
    }
  }
  auto extras = extras_for_spawn(home, options);
  void* const memory = reserve_record(home, sizeof(record), options != nullptr ? options->stack_size : 0);
  record* made = nullptr;
  try {
    made = ::new (memory) record(std::forward<F>(f));
  } catch (...) {
    discard_record(memory, class_of_size(sizeof(record)));
    throw;
  }
  task<T> handle{made};
  made->set_extras(extras.release());
  if (options == nullptr && home == nullptr) {
    submit(*made, current_worker());
    return handle;
  }
  submit(*made, home, options != nullptr ? *options : spawn_options{});
  if (options != nullptr && options->detached) handle.record_ = nullptr;
  return handle;
}

}  // namespace weft::inline v0::detail
