#include "workload.hpp"

#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <string>

#include <sys/resource.h>

namespace bench {

arguments parse(int argc, char** argv) {
  unsigned const workers = argc >= 3 ? static_cast<unsigned>(std::strtoul(argv[2], nullptr, 10)) : 0;
  if (argc > 4 || workers == 0) {
    std::fprintf(stderr, "usage: %s WORKLOAD WORKERS [VARIANT]\n", argv[0]);
    std::exit(2);
  }
  return {argv[1], workers, argc == 4 ? argv[3] : ""};
}

void unknown(arguments const& args) {
  std::fprintf(stderr, "not known: %s %u %s\n", args.workload.c_str(), args.workers, args.variant.c_str());
  std::exit(2);
}

void check(bool right, char const* what) {
  if (right) return;
  std::fprintf(stderr, "wrong result: %s\n", what);
  std::_Exit(3);  // other threads may be running still: no destructors
}

std::size_t size(char const* name, std::size_t usual) {
  char const* const text = std::getenv(name);
  return text != nullptr ? std::strtoull(text, nullptr, 10) : usual;
}

void metric(char const* name, double value, char const* unit) { std::printf("%s %.6g %s\n", name, value, unit); }

std::size_t memory_bytes(char const* field, std::string const& path) {
  std::ifstream status{path};
  for (std::string line; std::getline(status, line);) {
    if (line.starts_with(std::string{field} + ':')) return std::stoull(line.substr(line.find(':') + 1)) * 1024;
  }
  return 0;
}

double cpu_seconds() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  auto const seconds = [](timeval t) { return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_usec) * 1e-6; };
  return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

std::uint64_t plain_fib(unsigned n) { return n < 2 ? n : plain_fib(n - 1) + plain_fib(n - 2); }

}  // namespace bench
