/// Two fibers, and a parent that joins them.

#include <weft/weft.hpp>

#include <cstdio>
#include <string>

namespace {

std::string greeting(std::string const& whom) {
  weft::yield();  // everything else that is ready runs first
  return "hello, " + whom;
}

}  // namespace

int main() {
  weft::run([] {
    auto one = weft::spawn(greeting, "fiber");
    auto two = weft::spawn({.name = "second"}, greeting, "world");
    std::printf("%s\n", one.get().c_str());
    std::printf("%s, said %s\n", two.get().c_str(), std::string{two.name()}.c_str());
  });
}

// Prints:
//   hello, fiber
//   hello, world, said second
