/// @file
/// Tables of values, and who has which: a fiber in its extras, a thread in a `thread_local`.

#include <weft/runtime/context_var.hpp>

#include "fatal.hpp"
#include "sanitizers.hpp"
#include "scheduler.hpp"
#include "stack_pool.hpp"
#include "task_end.hpp"

#include <weft/runtime/cancel_scope.hpp>
#include <weft/runtime/detail/fiber_record.hpp>
#include <weft/runtime/error.hpp>
#include <weft/runtime/options.hpp>

#include <cstddef>
#include <cstring>
#include <new>

namespace weft::inline v0::detail {

/// Some keys and their values, in the order in which they were first set. Immutable once it is somebody's.
class context_table {
public:
  struct entry {
    std::uint64_t key;
    context_value_ref value;
  };

  /// @throws std::bad_alloc
  [[nodiscard]] static context_table* make(std::size_t capacity) {
    void* const memory = ::operator new(sizeof(context_table) + capacity * sizeof(entry));
    return ::new (memory) context_table;
  }
  static void drop(context_table* table) noexcept {
    // release: what this owner did comes before the end; acquire: pairs with the others' releases.
    if (table->owners_.fetch_sub(1, std::memory_order_acq_rel) != 1) return;
    for (std::size_t i = table->size_; i > 0; --i) table->entries()[i - 1].~entry();
    ::operator delete(table);
  }
  void add_owner() noexcept { owners_.fetch_add(1, std::memory_order_relaxed); }  // who adds one is one

  /// For make()'s caller.
  void append(std::uint64_t key, context_value_ref value) noexcept {
    ::new (static_cast<void*>(entries() + size_)) entry{key, std::move(value)};
    ++size_;
  }
  [[nodiscard]] context_value* find(std::uint64_t key) const noexcept {
    for (std::size_t i = 0; i < size_; ++i) {
      if (entries()[i].key == key) return entries()[i].value.get();
    }
    return nullptr;
  }
  [[nodiscard]] std::size_t size() const noexcept { return size_; }
  [[nodiscard]] entry* entries() noexcept { return reinterpret_cast<entry*>(this + 1); }
  [[nodiscard]] entry const* entries() const noexcept { return reinterpret_cast<entry const*>(this + 1); }

private:
  context_table() = default;
  ~context_table() = default;

  std::atomic<std::uint32_t> owners_{1};
  std::size_t size_ = 0;
};
static_assert(sizeof(context_table) % alignof(context_table::entry) == 0);

namespace {

struct seen_on_thread {
  seen_on_thread() noexcept = default;
  seen_on_thread(seen_on_thread const&) = delete;
  ~seen_on_thread() { context_ref const last{std::exchange(seen, nullptr)}; }
  context_table* seen = nullptr;  // owned
  std::uint64_t number = 0;       // see context_holder()
};

// Never inlined and opaque, as current_worker() is: the address of what is a thread's must not be kept over a wait. And
// not watched: callbacks at the ends of fibers use their worker's, one after another. That goes for the mark of what
// has been made, too: so it is in a function, for that of a variable outside is in one of the compiler's, which is
// watched.

WEFT_UNINSTRUMENTED [[gnu::noinline]] seen_on_thread& values_seen_on_thread() noexcept {
  static thread_local seen_on_thread here;
  return here;
}

/// The caller's table, or null.
WEFT_UNINSTRUMENTED [[gnu::noinline]] context_table* seen_by_caller() noexcept {
  asm volatile("" ::: "memory");
  fiber_record* const self = current_fiber();
  if (self == nullptr) return values_seen_on_thread().seen;
  auto* const extras = self->extras.load(std::memory_order_relaxed);  // its own
  return extras != nullptr ? extras->context : nullptr;
}

/// Puts `table` in the place of the caller's.  @returns that
/// A fiber without a place for one is given none: ensure_place() comes before.
WEFT_UNINSTRUMENTED [[gnu::noinline]] context_table* exchange_seen(context_table* table) noexcept {
  asm volatile("" ::: "memory");
  context_table** place = nullptr;
  if (fiber_record* const self = current_fiber(); self == nullptr) {
    place = &values_seen_on_thread().seen;
  } else if (auto* const extras = self->extras.load(std::memory_order_relaxed); extras != nullptr) {
    place = &extras->context;
  } else {
    return nullptr;
  }
  context_table* const before = *place;
  *place = table;
  return before;
}

/// @throws std::bad_alloc
void ensure_place() {
  if (current_fiber() != nullptr) (void)own_extras();
}

/// `from`, in which `key` has `value`, or no value if that is null.  @throws std::bad_alloc
context_ref changed(context_table const* from, std::uint64_t key, context_value_ref value) {
  auto const count = from != nullptr ? from->size() : 0;
  bool const had = from != nullptr && from->find(key) != nullptr;
  auto const needed = count + (value.get() != nullptr ? 1 : 0) - (had ? 1 : 0);
  if (needed == 0) return {};
  context_ref made{context_table::make(needed)};
  bool done = value.get() == nullptr;
  for (std::size_t i = 0; i < count; ++i) {
    auto const& e = from->entries()[i];
    if (e.key != key) {
      made.get()->append(e.key, e.value);
    } else if (!done) {
      made.get()->append(key, std::move(value));
      done = true;
    }
  }
  if (!done) made.get()->append(key, std::move(value));
  return made;
}

context_value_ref value_in(context_table const* table, std::uint64_t key) noexcept {
  auto* const value = table != nullptr ? table->find(key) : nullptr;
  if (value == nullptr) return {};
  value->owners.fetch_add(1, std::memory_order_relaxed);  // who holds the table owns it
  return context_value_ref{value};
}

}  // namespace

void context_ref::add_owner(context_table& table) noexcept { table.add_owner(); }
void context_ref::drop_owner(context_table* table) noexcept { context_table::drop(table); }

context_ref context_ref::current() noexcept {
  context_table* const seen = seen_by_caller();
  if (seen != nullptr) seen->add_owner();
  return context_ref{seen};
}

// A fiber is given what it had already, or nothing: in both cases it need not be made a place.
context_scope::context_scope(context_ref given) noexcept : before_(exchange_seen(given.release())) {}

context_scope::~context_scope() {
  // Out first, and then let go: a value's destructor may look at the context.
  context_ref const last{exchange_seen(before_.release())};
}

context_value const* find_context_value(std::uint64_t key) noexcept {
  context_table const* const seen = seen_by_caller();
  return seen != nullptr ? seen->find(key) : nullptr;
}

context_value_ref set_context_value(std::uint64_t key, context_value_ref value) {
  auto const change = begin_context_change(key, std::move(value));
  return value_in(change.before.get(), key);
}

context_change begin_context_change(std::uint64_t key, context_value_ref value) {
  ensure_place();
  context_change change;
  change.after = changed(seen_by_caller(), key, std::move(value));
  change.before = context_ref{exchange_seen(context_ref{change.after}.release())};
  return change;
}

void end_context_change(std::uint64_t key, context_change& change) noexcept {
  context_ref put_back;
  if (seen_by_caller() == change.after.get()) {
    put_back = change.before;
  } else {
    try {
      put_back = changed(seen_by_caller(), key, value_in(change.before.get(), key));
    } catch (std::bad_alloc const&) {
      fatal("there is no memory to put back the value of a context_var at the end of set_scoped()");
    }
  }
  context_ref const last{exchange_seen(put_back.release())};
}

WEFT_UNINSTRUMENTED [[gnu::noinline]] std::uint64_t context_holder() noexcept {
  asm volatile("" ::: "memory");
  if (fiber_record const* const self = current_fiber(); self != nullptr) return self->id;
  auto& number = values_seen_on_thread().number;
  constexpr std::uint64_t of_a_thread = std::uint64_t{1} << 63U;  // no fiber's id comes so far
  if (number == 0) number = new_local_key() | of_a_thread;
  return number;
}

void refuse_context_token(bool other_variable) {
  throw error(other_variable
                  ? "weft::context_var::reset: the token is of another variable"
                  : "weft::context_var::reset: the token is of another fiber or thread, whose values are not "
                    "the caller's to change");
}

void refuse_context_end() noexcept {
  fatal(
      "what context_var::set_scoped() returned dies on another fiber or thread than the one that made it: it must have "
      "automatic storage");
}

void leave_things(stack& of) noexcept {
  // Again and again, for destructors may set variables, and ask for values of fiber_locals.
  do {
    destroy_locals(of);
    cancel_shield const shielded;
    context_ref const last{exchange_seen(nullptr)};
  } while (of.locals != nullptr || seen_by_caller() != nullptr);
}

// --- extras, in which fibers keep them ---

extras_owner make_extras(std::string_view name) {
  auto const room = name.empty() ? 0 : name.size() + 1;
  void* const memory = ::operator new(sizeof(fiber_extras) + room);
  extras_owner made{::new (memory) fiber_extras};
  if (room == 0) return made;
  auto* const text = static_cast<char*>(memory) + sizeof(fiber_extras);
  std::memcpy(text, name.data(), name.size());
  text[name.size()] = '\0';
  made->name = text;
  return made;
}

void extras_deleter::operator()(fiber_extras* extras) const noexcept {
  context_ref const last{extras->context};
  ::operator delete(extras);
}

fiber_extras& own_extras() {
  fiber_record& self = *current_fiber();
  if (auto* const extras = self.extras.load(std::memory_order_relaxed); extras != nullptr) return *extras;  // its own
  self.set_extras(make_extras({}).release());
  return *self.extras.load(std::memory_order_relaxed);
}

extras_owner extras_for_spawn(scheduler const& home, spawn_options const* options, void const* site) {
  auto const name = options != nullptr ? options->name : std::string_view{};
  auto context = context_ref::current();
  bool const debug = home.options.debug;
  if (name.empty() && context.get() == nullptr && !debug) return nullptr;
  auto made = make_extras(name);
  made->context = context.release();
  if (!debug) return made;
  if (options != nullptr) {
    made->file = options->where.file;
    made->line = options->where.line;
  }
  made->code = site;
  return made;
}

extras_owner extras_for_spawn(scheduler const* home, spawn_options const* options) {
  if (home == nullptr) {
    worker const* const w = current_worker();
    if (w == nullptr || w->current == nullptr) return nullptr;  // and the spawn is about to be refused
    home = &w->home;
  }
  return extras_for_spawn(*home, options, __builtin_return_address(0));
}

}  // namespace weft::inline v0::detail
