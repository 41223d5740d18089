/// @file
/// The record pool by itself: classes, the register of live records, and records that outlive it.

#include "record_pool.hpp"

#include "support/catch.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <new>
#include <set>
#include <stdexcept>
#include <string>
#include <sys/mman.h>
#include <thread>
#include <vector>

using weft::detail::class_of_size;
using weft::detail::fiber_record;
using weft::detail::record_cache;
using weft::detail::record_pool;

namespace {

std::size_t live(record_pool& pool) {
  std::size_t n = 0;
  pool.for_each_live([&n](fiber_record&) { ++n; });
  return n;
}

/// A record in `memory`, as spawn makes it.
fiber_record* begin(void* memory) {
  auto* const record = ::new (memory) fiber_record;
  record_pool::set_live(*record);
  return record;
}

}  // namespace

TEST_CASE("sizes map to classes without gaps", "[record]") {
  CHECK(class_of_size(1) == 0);
  CHECK(class_of_size(64) == 0);
  CHECK(class_of_size(65) == 1);
  CHECK(class_of_size(1024) == 15);
  CHECK(class_of_size(1025) == record_pool::classes);
  CHECK(class_of_size(1U << 20U) == record_pool::classes);
}

TEST_CASE("records are apart, aligned, and know their pool", "[record]") {
  auto* const pool = new record_pool(nullptr);
  {
    record_cache cache{*pool};
    std::vector<void*> held;
    std::set<std::uintptr_t> places;
    for (int i = 0; i < 20'000; ++i) {  // past the first slab of huge pages
      void* const r = cache.take(192);
      CHECK(record_pool::of(r) == pool);
      CHECK(record_pool::bytes_of(r) >= 192);
      CHECK(reinterpret_cast<std::uintptr_t>(r) % 64 == 0);
      places.insert(reinterpret_cast<std::uintptr_t>(r));
      held.push_back(r);
    }
    CHECK(places.size() == held.size());
    for (std::uintptr_t last = 0; auto const p : places) {
      CHECK(p - last >= 192);
      last = p;
    }
    CHECK(cache.out() == 20'000);
    for (void* const r : held) {
      record_pool::set_dead(*static_cast<fiber_record*>(r));
      cache.give(r, class_of_size(192));
    }
    CHECK(cache.out() == 0);
    void* const again = cache.take(192);
    CHECK(places.count(reinterpret_cast<std::uintptr_t>(again)) == 1);  // reused
    record_pool::set_dead(*static_cast<fiber_record*>(again));
    cache.give(again, class_of_size(192));
  }
  record_pool::orphan(pool, 0);
}

TEST_CASE("the register has the live records and no others", "[record]") {
  auto* const pool = new record_pool(nullptr);
  {
    record_cache cache{*pool};
    CHECK(live(*pool) == 0);
    auto* const small = begin(cache.take(sizeof(fiber_record)));
    CHECK(live(*pool) == 1);  // of all that its chunk holds
    auto* const middle = begin(cache.take(500));
    auto* const large = begin(cache.take(5000));
    CHECK(live(*pool) == 3);
    for (auto const& [record, bytes] :
         {std::pair{small, sizeof(fiber_record)}, {middle, std::size_t{500}}, {large, std::size_t{5000}}}) {
      auto const before = live(*pool);
      record_pool::set_dead(*record);
      CHECK(live(*pool) == before - 1);
      cache.give(record, class_of_size(bytes));
    }
    CHECK(live(*pool) == 0);
  }
  record_pool::orphan(pool, 0);
}

TEST_CASE("a large record that is given back keeps its place, and not its pages", "[record]") {
  // The place, because a worker may be about to fetch what the record's header points to.
  auto* const pool = new record_pool(nullptr);
  {
    constexpr std::size_t bytes = 1'000'000;
    constexpr std::size_t page = 4096;
    record_cache cache{*pool};
    auto* const record = begin(cache.take(bytes));
    auto* const memory = reinterpret_cast<unsigned char*>(record);
    std::fill(memory + sizeof(fiber_record), memory + bytes, static_cast<unsigned char>(1));
    record_pool::set_dead(*record);
    cache.give(record, class_of_size(bytes));
    auto* const inside = memory + (bytes / 2 / page * page - reinterpret_cast<std::uintptr_t>(memory) % page);
    unsigned char resident = 0;
    REQUIRE(::mincore(inside, page, &resident) == 0);  // it is mapped
    CHECK((resident & 1U) == 0);
    CHECK(record->context == nullptr);
    CHECK(cache.take(bytes) == record);
    cache.give(record, class_of_size(bytes));
    CHECK(cache.take(bytes / 4 * 3) == record);  // the same power of two
    cache.give(record, class_of_size(bytes));
    CHECK(cache.out() == 0);
    CHECK(live(*pool) == 0);
  }
  record_pool::orphan(pool, 0);
}

TEST_CASE("rule 16: a record that outlives its pool is the last to leave, from any thread", "[record][rule16]") {
  // That the pool goes with it shows LeakSanitizer, and that it does not go before, AddressSanitizer.
  auto* const pool = new record_pool(nullptr);
  std::int64_t out = 0;
  void* kept = nullptr;
  {
    record_cache cache{*pool};
    kept = begin(cache.take(200));
    out = cache.out();
  }
  CHECK(out == 1);
  record_pool::orphan(pool, out);
  std::thread{[kept] {
    record_pool::set_dead(*static_cast<fiber_record*>(kept));
    record_pool::of(kept)->give_one(kept, class_of_size(200));
  }}.join();
}

TEST_CASE("what nobody collected goes to the handler, whose own exceptions are ignored", "[record]") {
  std::string heard;
  auto* const pool = new record_pool([&](std::exception_ptr error, std::string_view task) {
    try {
      std::rethrow_exception(error);
    } catch (std::runtime_error const& e) {
      heard = std::string(task) + ": " + e.what();
    }
    throw std::logic_error("the handler's own");
  });
  pool->report_unhandled(std::make_exception_ptr(std::runtime_error("lost")), "name");
  CHECK(heard == "name: lost");
  record_pool::orphan(pool, 0);
}
