#pragma once
/// @file
/// The values of all `context_var`s that a fiber or a thread sees: one immutable table, shared by all who see the same.
/// To set a variable makes a new table, which only the caller then has; so a child that inherits takes one reference,
/// and neither side sees what the other sets later.

#include <atomic>
#include <cstdint>
#include <utility>

namespace weft::inline v0::detail {

class context_table;

/// A value, in one or several tables. Constant but for the count.
struct context_value {
  explicit context_value(void (*how_to_destroy)(context_value*) noexcept) noexcept : destroy(how_to_destroy) {}
  context_value(context_value const&) = delete;

  std::atomic<std::uint32_t> owners{1};
  void (*destroy)(context_value*) noexcept;
};

template <class T>
struct context_value_of final : context_value {
  explicit context_value_of(T&& v)
      : context_value([](context_value* self) noexcept { delete static_cast<context_value_of*>(self); }),
        value(std::move(v)) {}
  T const value;
};

/// An owner's pointer to a value; null: none.
class context_value_ref {
public:
  context_value_ref() noexcept = default;
  /// Takes over one count.
  explicit context_value_ref(context_value* value) noexcept : value_(value) {}
  context_value_ref(context_value_ref const& other) noexcept : value_(other.value_) {
    // relaxed: who adds an owner is one.
    if (value_ != nullptr) value_->owners.fetch_add(1, std::memory_order_relaxed);
  }
  context_value_ref(context_value_ref&& other) noexcept : value_(std::exchange(other.value_, nullptr)) {}
  context_value_ref& operator=(context_value_ref other) noexcept {
    std::swap(value_, other.value_);
    return *this;
  }
  ~context_value_ref() {
    // release: all that this owner did with the value comes before its end; acquire: pairs with the others' releases.
    if (value_ != nullptr && value_->owners.fetch_sub(1, std::memory_order_acq_rel) == 1) value_->destroy(value_);
  }
  [[nodiscard]] context_value* get() const noexcept { return value_; }

private:
  context_value* value_ = nullptr;
};

/// An owner's pointer to a table; null: no variable is set.
class context_ref {
public:
  context_ref() noexcept = default;
  /// Takes over one count.
  explicit context_ref(context_table* table) noexcept : table_(table) {}
  context_ref(context_ref const& other) noexcept : table_(other.table_) {
    if (table_ != nullptr) add_owner(*table_);
  }
  context_ref(context_ref&& other) noexcept : table_(std::exchange(other.table_, nullptr)) {}
  context_ref& operator=(context_ref other) noexcept {
    std::swap(table_, other.table_);
    return *this;
  }
  ~context_ref() {
    if (table_ != nullptr) drop_owner(table_);
  }

  /// What the calling fiber, or thread, sees now.
  [[nodiscard]] static context_ref current() noexcept;
  [[nodiscard]] context_table* get() const noexcept { return table_; }
  [[nodiscard]] context_table* release() noexcept { return std::exchange(table_, nullptr); }

private:
  static void add_owner(context_table& table) noexcept;
  static void drop_owner(context_table* table) noexcept;

  context_table* table_ = nullptr;
};

/// While it lives, the calling fiber or thread sees `given`; what is set meanwhile is gone with it. It may wait.
class context_scope {
public:
  explicit context_scope(context_ref given) noexcept;
  context_scope(context_scope const&) = delete;
  ~context_scope();

private:
  context_ref before_;
};

/// The caller's value for `key`, or null. It stays until the caller sets that variable again.
[[nodiscard]] context_value const* find_context_value(std::uint64_t key) noexcept;
/// Sets the caller's value for `key`; null: it has none any more.  @returns the one before  @throws std::bad_alloc
context_value_ref set_context_value(std::uint64_t key, context_value_ref value);

/// A value set for a while.
struct context_change {
  context_ref before;
  context_ref after;
};
/// @throws std::bad_alloc
[[nodiscard]] context_change begin_context_change(std::uint64_t key, context_value_ref value);
/// Puts back what was before for `key` alone. Allocates only if other variables have been set since, and not put back.
void end_context_change(std::uint64_t key, context_change& change) noexcept;

/// A number for the calling fiber or thread that no other has, ever.
[[nodiscard]] std::uint64_t context_holder() noexcept;
/// @throws error
[[noreturn]] void refuse_context_token(bool other_variable);
/// Aborts with a message.
[[noreturn]] void refuse_context_end() noexcept;

}  // namespace weft::inline v0::detail
